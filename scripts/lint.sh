#!/usr/bin/env bash
# Runs every linter, also after one has failed, and names those that failed.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=()
run() {
  echo "── $*"
  "$@" || failed+=("$*")
}

run ruff check .
run ruff format --check .
run mypy
run stubtest --ignore-disjoint-bases dativo_protocols._codec dativo_readers._readers
run cargo fmt --all --check
run cargo clippy --workspace --all-targets --quiet -- -D warnings

if ((${#failed[@]})); then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "linters: all clean"
