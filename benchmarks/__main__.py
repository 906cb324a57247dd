"""Times whole processes side by side and writes the tables of `docs/benchmarks.md`.

    python -m benchmarks                                  # everything: an hour
    python -m benchmarks --rows 100000 --rounds 1         # short, into the terminal only
    python -m benchmarks --case orders --only dativo      # some contenders; the others' figures are kept

Rounds alternate their order. A figure is the median of its rounds; contenders that take minutes run once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.contenders import AIRBYTE_MESSAGES, CONTENDERS, FAKED, PACKED, TEN_TIMES, Contender, environment, own
from benchmarks.copiers import chosen as chosen_copiers
from benchmarks.copiers import job
from benchmarks.files import FILES, run_files
from benchmarks.generate import Protocol, Shape, write
from benchmarks.measure import Measurement, measure
from benchmarks.merge import run_merge
from benchmarks.mergers import MERGERS
from benchmarks.postgres import COPIERS, run_postgres
from benchmarks.report import Results, document, tables

ROWS: dict[str, int] = {
    "orders": 1_000_000,
    "wide": 50_000,
    "orders-x10": 1_000_000,
    "airbyte": 1_000_000,
    "merge": 1_000_000,
    "postgres": 1_000_000,
    "csv": 7_000_000,
    "csv-python": 1_000_000,
    "isolation": 7_000_000,
    "parts": 3_000_000,
    "jsonl": 3_000_000,
    "faker": 100_000,
    "container": 20_000,
    "start": 0,
}
SHAPES: dict[str, Shape] = {"wide": "wide", "airbyte": "users"}
OTHERS = {"orders-x10": TEN_TIMES, "airbyte": AIRBYTE_MESSAGES, "faker": FAKED, "container": PACKED}
START_ROUNDS = 20


def messages_file(cache: Path, shape: Shape, rows: int, protocol: Protocol) -> Path:
    suffix = ".airbyte" if protocol == "airbyte" else ""
    return write(cache / f"{shape}.{rows}{suffix}.jsonl", shape, rows, protocol)


def time_once(contender: Contender, messages: Path, scratch: Path) -> Measurement:
    with tempfile.TemporaryDirectory(dir=scratch, prefix="run-") as name:
        folder = Path(name)
        return measure(contender.command(messages, folder), folder)


def run_case(case: str, contenders: list[Contender], rows: int, rounds: int, cache: Path, results: Results) -> None:
    protocols: set[Protocol] = {contender.protocol for contender in contenders}
    # The faker makes its rows itself.
    files = {
        protocol: Path(str(rows))
        if case in ("faker", "container")
        else messages_file(cache, SHAPES.get(case, "orders"), rows, protocol)
        for protocol in protocols
    }
    size = max((file.stat().st_size for file in files.values() if file.is_absolute()), default=0)
    runs: dict[str, list[Measurement]] = {contender.key: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            if contender.slow and number:
                continue
            measurement = time_once(contender, files[contender.protocol], cache)
            runs[contender.key].append(measurement)
            print(f"{case:10} {contender.key:40} {measurement}", file=sys.stderr, flush=True)
    for key, measured in runs.items():
        times = 10 if case == "orders-x10" else 1
        results.put(case, rows * times, size * times, key, measured)


def run_start(results: Results, scratch: Path) -> None:
    """What there is to wait for when there is nothing to do."""
    with tempfile.TemporaryDirectory(dir=scratch, prefix="run-") as name:
        folder = Path(name)
        (folder / "row.csv").write_text("id,name\n1,one\n")
        # Each run loads the row anew.
        streams = {"row": {"mode": "full_refresh"}}
        one_row = job(folder, {"connector": "csv", "config": {"path": "row.csv"}, "streams": streams})
        commands = {
            "dativo --version": [own("dativo"), "--version"],
            "dativo --help": [own("dativo"), "--help"],
            "dativo run, one row of CSV to Parquet": one_row,
        }
        for title, command in commands.items():
            runs = [measure(command, folder) for _ in range(START_ROUNDS)]
            results.put("start", 0, 0, title, runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=list(ROWS), help="all of them by default")
    parser.add_argument("--only", action="append", default=[], help="contenders whose name contains it")
    parser.add_argument("--rows", type=int, help="instead of each case's own; the document is then left alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--cache", type=Path, default=Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dativo-bench"
    )
    chosen = parser.parse_args()
    chosen.cache.mkdir(parents=True, exist_ok=True)
    results = Results() if chosen.rows else Results.load(chosen.cache / "results.json")
    for case in chosen.case or list(ROWS):
        if case == "start":
            run_start(results, chosen.cache)
            continue
        if case == "merge":
            mergers = [m for m in MERGERS if not chosen.only or any(word in m.key for word in chosen.only)]
            run_merge(mergers, chosen.rows or ROWS[case], chosen.rounds, chosen.cache, results)
            continue
        if case == "postgres":
            run_postgres(chosen_copiers(COPIERS, chosen.only), chosen.rows or ROWS[case], chosen.rounds, chosen.cache, results)
            continue
        if case in FILES:
            copiers = chosen_copiers(FILES[case][1], chosen.only)
            run_files(case, copiers, chosen.rows or ROWS[case], chosen.rounds, chosen.cache, results)
            continue
        everyone = OTHERS.get(case, CONTENDERS)
        contenders = [c for c in everyone if not chosen.only or any(word in c.key for word in chosen.only)]
        for contender in contenders:
            if contender.requirements:
                environment(contender.requirements)
        rounds = 1 if case == "orders-x10" else chosen.rounds
        run_case(case, contenders, chosen.rows or ROWS[case], rounds, chosen.cache, results)
    print(tables(results))
    if not chosen.rows:
        results.save(chosen.cache / "results.json")
        document(results)


if __name__ == "__main__":
    if shutil.which("uv") is None:
        sys.exit("uv is not on PATH: run `make bench`")
    main()
