#!/usr/bin/env bash
# Runs the first job and shows the tables it made.
set -euo pipefail
cd "$(dirname "$0")/.."

dativo run jobs/quickstart.yaml
python scripts/show_tables.py out/quickstart.duckdb
cat <<'TEXT'

Next:
  .venv/bin/dativo run jobs/quickstart.yaml       again: only what is new comes, nothing is doubled
  .venv/bin/dativo state show jobs/quickstart.yaml
  .venv/bin/dativo runs
  .venv/bin/dativo init                           a job of your own
TEXT
