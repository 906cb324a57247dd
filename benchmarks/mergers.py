"""Who merges, and how each is told to."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.contenders import DLT, PEERS, ROOT, environment, own
from benchmarks.merge import TIMES, Merger, Place, Rows
from benchmarks.merged_tables import Facts, in_delta, in_duckdb, in_iceberg, in_postgres

SLING = ("sling-linux-amd64==1.4.11", "duckdb-cli==1.5.5", "duckdb-extension-httpfs==1.5.5", "duckdb-extension-json==1.5.5")
SLING_DUCKDB = "1.5.5"

CONFIGS: dict[str, Callable[[Place], dict[str, Any]]] = {
    "duckdb": lambda place: {"path": str(place.folder / "out.duckdb")},
    "postgres": lambda place: {"url": place.url},
    "delta": lambda place: {"path": str(place.folder / "lake")},
    "iceberg": lambda place: {"path": str(place.folder / "lake")},
}


def dativo(target: str) -> Merger:
    def job(place: Place, tap: str) -> list[str]:
        program = place.folder / "tap-replay"
        program.write_text(f"#!/bin/sh\nexec {tap}\n")
        program.chmod(0o755)
        source = {"connector": f"singer:{program}", "discover": False}
        whole = {
            "name": "benchmark",
            "source": source,
            "target": {"connector": target, "config": CONFIGS[target](place), "write": "merge"},
        }
        (place.folder / "job.yaml").write_text(json.dumps(whole))
        return [own("dativo"), "run", "job.yaml"]

    def load(place: Place, rows: Rows) -> list[str]:
        return job(place, f"{sys.executable} {ROOT / 'benchmarks' / 'stretch.py'} {rows.base} {TIMES}")

    def facts(place: Place) -> Facts:
        if target == "duckdb":
            return in_duckdb(place.folder / "out.duckdb", "orders")
        if target == "postgres":
            return in_postgres(place.url, "orders")
        lake = place.folder / "lake"
        return in_delta(lake / "orders") if target == "delta" else in_iceberg(lake, "dativo", "default.orders")

    return Merger("dativo", target, load, lambda place, rows: job(place, f"cat {rows.changes}"), facts)


def dlt(target: str) -> Merger:
    def program(place: Place, messages: Path, disposition: str, times: int) -> list[str]:
        python = environment(DLT) / "python"
        arguments = [str(messages), str(place.folder), place.url or target, disposition, str(times)]
        return [str(python), str(PEERS / "dlt_merge.py"), *arguments]

    def facts(place: Place) -> Facts:
        if target == "duckdb":
            return in_duckdb(place.folder / "dlt.duckdb", "shop.orders")
        if target == "postgres":
            return in_postgres(place.url, "shop.orders")
        if target == "delta":
            return in_delta(place.folder / "lake" / "shop" / "orders")
        return in_iceberg(place.folder, "default", "shop.orders")

    return Merger(
        "dlt",
        target,
        lambda place, rows: program(place, rows.base, "append", TIMES),
        lambda place, rows: program(place, rows.changes, "merge", 1),
        facts,
        DLT,
        slow=True,
    )


def sling_home() -> Path:
    """A home with the DuckDB program that Sling calls, and the extensions that it would download."""
    programs = environment(SLING)
    home = programs.parent / "home"
    if not (home / ".ready").exists():
        program = home / "bin" / "duckdb" / SLING_DUCKDB / "duckdb"
        program.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(programs / "duckdb", program)
        for extension in programs.parent.glob("lib/**/*.duckdb_extension"):
            kept = home / ".duckdb" / "extensions" / f"v{SLING_DUCKDB}" / "linux_amd64"
            kept.mkdir(parents=True, exist_ok=True)
            shutil.copy(extension, kept)
        (home / ".ready").touch()
    return home


def sling(target: str) -> Merger:
    def run(place: Place, csv: Path, mode: str) -> list[str]:
        home = sling_home()
        program = next(home.parent.glob("lib/*/site-packages/sling_linux_amd64/bin/sling-linux-amd64"))
        program.chmod(0o755)
        address = place.url or f"duckdb://{place.folder / 'sling.duckdb'}"
        settings = {
            "HOME": home,
            "SLING_HOME_DIR": home,
            "SLING_DISABLE_TELEMETRY": "true",
            "DUCKDB_VERSION": SLING_DUCKDB,
            "MERGED": address,
        }
        columns = {"id": "bigint", "created_at": "timestampz", "price": "float", "weight": "float", "quantity": "bigint"}
        return [
            "env",
            *(f"{key}={value}" for key, value in settings.items()),
            *(str(program), "run", "--src-stream", f"file://{csv}", "--tgt-conn", "MERGED"),
            *("--tgt-object", f"{'public' if place.url else 'main'}.orders", "--mode", mode, "--primary-key", "id"),
            *("--columns", json.dumps(columns)),
        ]

    def facts(place: Place) -> Facts:
        return in_postgres(place.url, "orders") if place.url else in_duckdb(place.folder / "sling.duckdb", "orders")

    return Merger(
        "Sling",
        target,
        lambda place, rows: run(place, rows.csv("base"), "full-refresh"),
        lambda place, rows: run(place, rows.csv("changes"), "incremental"),
        facts,
        SLING,
        slow=True,
        absent=ABSENT.get(target, ""),
    )


ABSENT = {
    "delta": "Sling 1.4.11 writes no Delta tables",
    "iceberg": "Sling appends to Iceberg tables by an update key, and merges into none",
}

MERGERS = [make(target) for target in CONFIGS for make in (dativo, dlt, sling)]
"""In the order of a round; the next round goes backwards."""
