# Every recipe brings what a fresh machine lacks; it needs python3 (with venv and pip) and cargo.
# Nothing is redone when nothing changed: stamps lie beside what they stand for.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := all

PYTHON ?= python3
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
UV := .tools/uv/bin/uv
BIN := .venv/bin
RUST := $(shell find protocols -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
READERS := $(shell find protocols/codec sdk/rust connectors/readers -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
MANIFESTS := pyproject.toml protocols/pyproject.toml sdk/pyproject.toml engines/pyproject.toml
# Rust is tested without optimisation: with overflow checks, and in a fifth of the time that linking optimised test programs takes.
CARGO_TEST := cargo test --workspace --exclude dativo-protocols-python --exclude dativo-readers-python --features dativo-sdk/program

export CARGO_PROFILE_DEV_DEBUG := line-tables-only
export UV_PYTHON_DOWNLOADS := never
# As pip does: else each start compiles every module anew where PYTHONDONTWRITEBYTECODE is set, which is half a CPU second.
export UV_COMPILE_BYTECODE := 1
export VIRTUAL_ENV := $(CURDIR)/.venv
export PATH := $(CURDIR)/$(BIN):$(CURDIR)/.tools/uv/bin:$(PATH)
unexport PYTHONPATH PYTHONDONTWRITEBYTECODE

.PHONY: all help setup readers quickstart test lint format bench crash matrix specs fuzz lock clean

all: test lint ## The tests, then the linters (what you get without a target)

help: ## What there is to make
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 14

setup: .venv/.packages .venv/.extension .venv/.readers ## Python environment, extensions in release, the five distributions

readers: ## The built-in readers as programs that need no Python, in target/release (minutes)
	cargo build --release --package dativo-readers

# Without the readers in Rust, which take as long to build as all else.
quickstart: .venv/.packages .venv/.extension ## Set up, run the first job, show its tables
	scripts/quickstart.sh

test: setup ## Set up, then pass all tests, Rust and Python
	scripts/servers.sh
# Images come from the network and take one core, and nothing in Rust needs them.
	scripts/images.sh & code=0; $(CARGO_TEST) || code=$$?; wait $$! || code=$$?; exit $$code
	$(BIN)/pytest -n $(JOBS) --dist loadgroup --durations 10 $(PYTEST)

lint: setup ## ruff, mypy, stubtest, clippy, rustfmt
	scripts/lint.sh

format: setup ## Let ruff and rustfmt write
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cargo fmt --all

bench: setup ## Time Dativo and its peers, write docs/benchmarks.md (an hour; BENCH="--rows 100000" for a short one)
	$(BIN)/python -m benchmarks $(BENCH)

crash: setup ## Kill a run at 200 random instants in each target, compare the rows (hours; CRASH="--kills 20", or "--source docker" for a container)
	$(BIN)/python tests/crash/crash.py --kills 200 --rows 1000000 --target duckdb --target parquet --target jsonl $(CRASH)

matrix: setup ## Interrupt 1,000 runs over every target and write mode, compare all rows (an hour; MATRIX="--target duckdb")
	$(BIN)/python -m tests.crash.matrix --kills 1000 $(MATRIX)

specs: setup ## Install the connector of every recipe (2 GB), compare what it says with the registry
	$(BIN)/pytest -m specs tests/recipes

fuzz: setup ## Ten million mutated lines through the decoder (minutes)
	$(BIN)/python protocols/tests/fuzz.py --lines 10000000 $(FUZZ)

lock: $(UV) ## Resolve requirements.lock anew
	scripts/lock.sh

clean: ## Remove what make made, except the tools
	rm -rf .venv target out dist

$(UV):
	$(PYTHON) -m venv .tools/uv
	.tools/uv/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/.python: | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	touch $@

.venv/.requirements: requirements.lock .venv/.python
	$(UV) pip install --quiet -r requirements.lock
	touch $@

.venv/.extension: $(RUST) protocols/pyproject.toml .venv/.requirements
	cd protocols && maturin develop --uv --release --quiet
	touch $@

.venv/.packages: $(MANIFESTS) .venv/.requirements
	$(UV) pip install --quiet --no-deps -e ./sdk -e ./engines -e .
	touch $@

.venv/.readers: $(READERS) connectors/readers/pyproject.toml .venv/.packages .venv/.extension
	cd connectors/readers && maturin develop --uv --release --quiet
	touch $@
