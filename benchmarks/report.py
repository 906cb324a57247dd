"""Results, kept from one run of the benchmark to the next, and the tables made of them."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import platform
import re
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Measurement

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- tables: begin, written by `make bench` -->", "<!-- tables: end -->"
TITLES = {
    "orders": "records of twelve columns",
    "wide": "records of 200 columns",
    "orders-x10": "records of twelve columns, ten times the data",
    "airbyte": "Airbyte messages, users as the faker makes them",
    "merge": "rows of twelve columns merged by key into ten times as many, half of them new",
    "postgres": "rows of twelve columns read from PostgreSQL",
    "csv": "rows of twelve columns of a CSV file",
    "csv-python": "rows of twelve columns of a CSV file, by readers in Rust and in Python",
    "isolation": "rows of twelve columns of a CSV file, read in Dativo's process and in others",
    "parts": "rows of twelve columns of a CSV file, by one and by two processes in Python",
    "jsonl": "rows of twelve columns of a file of JSON lines",
    "faker": "users of `airbyte-source-faker`, and what they bought",
    "container": "users of `airbyte-source-faker` as a package and as an image, and what they bought",
    "start": "Start-up",
}


def processor() -> str:
    names = [
        line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    return names[0] if names else platform.machine()


@dataclass
class Results:
    """Measurements by case and contender.

    Attributes:
        cases: Per case its `rows`, `bytes`, and per contender the medians: `wall`, `cpu`, `peak`, the `walls` of all rounds, the
            `runs` and the `day`.
    """

    cases: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Results:
        return cls(json.loads(path.read_text())) if path.exists() else cls()

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self.cases, indent=1))

    def begin(self, case: str, rows: int, size: int) -> dict[str, Any]:
        """The entry of a case."""
        entry = self.cases.setdefault(case, {"contenders": {}})
        entry["rows"] = rows
        entry["bytes"] = size or entry.get("bytes", 0)
        return entry

    def put_absent(self, case: str, contender: str, reason: str) -> None:
        """Says why there is no figure of a contender."""
        self.cases[case].setdefault("absent", {})[contender] = reason

    def put(self, case: str, rows: int, size: int, contender: str, runs: list[Measurement]) -> None:
        entry = self.begin(case, rows, size)
        entry.get("absent", {}).pop(contender, None)
        columns = {name: [getattr(run, name) for run in runs] for name in (f.name for f in dataclasses.fields(Measurement))}
        entry["contenders"][contender] = {
            "wall": statistics.median(columns["wall_seconds"]),
            "cpu": statistics.median(columns["cpu_seconds"]),
            "peak": max(columns["peak_bytes"]),
            "server": statistics.median(columns["server_seconds"]),
            "walls": columns["wall_seconds"],
            "runs": len(runs),
            "day": datetime.date.today().isoformat(),
        }


def tables(results: Results) -> str:
    """One table a case; ratios are against Dativo with the same target."""
    parts = []
    for case, title in TITLES.items():
        entry = results.cases.get(case)
        if entry is None:
            continue
        if case == "start":
            rows = [
                f"| `{name}` | {1000 * m['wall']:.0f} ms | {m['peak'] / 2**20:.0f} MiB |"
                for name, m in entry["contenders"].items()
            ]
            parts.append("\n".join([f"### {title}", "", "| | wall, median of 20 | peak memory |", "|---|---|---|", *rows]))
            continue
        size = f" ({entry['bytes'] / 1e6:.0f} MB)" if entry["bytes"] else ""
        heading = f"### {entry['rows']:,} {title}{size}"
        served = any(m.get("server") for m in entry["contenders"].values())
        names = [
            "wall, s",
            "CPU, s",
            *(["server's CPU, s"] if served else []),
            "peak memory, MiB",
            "rows/s",
            "wall ÷ Dativo's",
            "CPU ÷ Dativo's",
            "s longer",
            "runs",
        ]
        lines = [heading, "", f"| | {' | '.join(names)} |", f"|---|{'--:|' * len(names)}"]
        lines += [
            line(name, entry, served)
            for name in sorted(entry["contenders"], key=lambda n: (n.split(" → ")[1], entry["contenders"][n]["wall"]))
        ]
        absent = [f"- {name}: {reason}" for name, reason in sorted(entry.get("absent", {}).items())]
        lines += ["", "Without a figure:", "", *absent] if absent else []
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def line(name: str, entry: dict[str, Any], served: bool) -> str:
    m = entry["contenders"][name]
    target = name.split(" → ")[1]
    known = entry["contenders"]
    ours = known.get(f"dativo → {target}") or known.get("dativo → parquet") or known.get("dativo → duckdb")
    ratios = [f"{m[key] / ours[key]:.2f}" if ours else "" for key in ("wall", "cpu")]
    cells = [
        f"{m['wall']:.2f}",
        f"{m['cpu']:.2f}",
        *([f"{m['server']:.2f}" if m.get("server") else ""] if served else []),
        f"{m['peak'] / 2**20:.0f}",
        f"{entry['rows'] / m['wall']:,.0f}",
        *ratios,
        f"{more:+.2f}" if (more := longer(m, ours)) is not None else "",
        str(m["runs"]),
    ]
    return f"| {name} | {' | '.join(cells)} |"


def longer(one: dict[str, Any], other: dict[str, Any] | None) -> float | None:
    """By how many seconds one took longer than the other in the same round: the median. None when they shared no rounds."""
    if other is None or one is other or len(one.get("walls", ())) != len(other.get("walls", ())):
        return None
    return statistics.median(mine - theirs for mine, theirs in zip(one["walls"], other["walls"], strict=True))


def document(results: Results) -> None:
    """Replaces the tables in `docs/benchmarks.md`, and nothing else in it; those of cases without results stay."""
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    days = sorted({m["day"] for entry in results.cases.values() for m in entry["contenders"].values()})
    system = f"{platform.system()} {platform.release()}, CPython {platform.python_version()}"
    machine = f"{os.cpu_count()} × {processor()}, {system}; {' to '.join(dict.fromkeys([days[0], days[-1]]))}"
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{machine}\n\n{updated(old, tables(results))}\n\n{END}{after}")


def updated(old: str, new: str) -> str:
    """The new tables, and the old ones of other cases, in the order of `TITLES`."""
    known = {case: table for table in [*sections(old), *sections(new)] if (case := case_of(table))}
    return "\n\n".join(known[case] for case in TITLES if case in known)


def sections(text: str) -> list[str]:
    return [f"### {part.strip()}" for part in text.split("### ")[1:]]


def case_of(table: str) -> str | None:
    """Which case a table is of, by its heading: a number of rows, the title, and a size in brackets."""
    heading = re.sub(r"^### ([\d,]+ )?| \(\d+ MB\)$", "", table.split("\n")[0])
    return next((case for case, title in TITLES.items() if title == heading), None)
