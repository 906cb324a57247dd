#!/usr/bin/env bash
# Resolves requirements.lock: every package the project and its development need, for each supported Python.
# No index address goes in, so the file works with whatever index the machine is set up for.
set -euo pipefail
cd "$(dirname "$0")/.."

uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-annotate --no-emit-index-url \
  --custom-compile-command "make lock" --all-extras --group dev \
  --no-emit-package dativo --no-emit-package dativo-protocols --no-emit-package dativo-plugin-sdk --no-emit-package dativo-engines \
  --no-emit-package dativo-readers \
  pyproject.toml sdk/pyproject.toml engines/pyproject.toml protocols/pyproject.toml connectors/readers/pyproject.toml --output-file requirements.lock

if grep -nE '://|^-e ' requirements.lock; then
  echo "requirements.lock names an address or a path" >&2
  exit 1
fi
