#!/usr/bin/env bash
# Runs every linter, also after one has failed, and names those that failed. All at once: Python's have one core each.
set -uo pipefail
cd "$(dirname "$0")/.."

output=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$output"' EXIT
linters=()
start() {
  "$@" >"$output/${#linters[@]}" 2>&1 &
  linters+=("$! $*")
}

start cargo clippy --workspace --all-targets --quiet -- -D warnings
start cargo fmt --all --check
start ruff check .
start ruff format --check .
start mypy
start stubtest --ignore-disjoint-bases dativo_protocols._codec dativo_readers._readers

failed=()
for index in "${!linters[@]}"; do
  read -r process command <<<"${linters[index]}"
  wait "$process" || failed+=("$command")
  echo "── $command"
  cat "$output/$index"
done

if ((${#failed[@]})); then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "linters: all clean"
