"""Twenty kinds of change between two versions of a stream, and what becomes of them under each mode of the contract.

python -m tests.contracts.changes      # writes the table in docs/contracts.md
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import duckdb
from dativo_protocols import Message, SingerDecoder, StreamId
from dativo_protocols.errors import ContractError
from dativo_sdk import JobKey, WriteCatalog

from dativo._interruption import Interruption
from dativo._job import Job
from dativo._pipeline import Pipeline
from dativo._progress import Progress
from dativo._report import AttemptReport
from dativo._selection import StreamRules
from dativo.contracts._terms import ContractMode
from dativo.targets.duckdb import DuckDBWriter

DOCUMENT = Path(__file__).parents[2] / "docs" / "contracts.md"
BEGIN, END = "<!-- changes: begin -->\n", "<!-- changes: end -->\n"
MODES: tuple[str, ...] = get_args(ContractMode)

ID = {"type": "integer"}
Properties = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Change:
    """One kind of change: the stream's only property besides `id`, and a value of it, before and after."""

    name: str
    before: Properties
    after: Properties
    first: Mapping[str, Any]
    second: Mapping[str, Any]
    key: tuple[str, ...] = ("id",)


def typed(name: str, before: dict[str, Any], after: dict[str, Any], first: Any, second: Any) -> Change:
    """Another type of the property `x`."""
    return Change(name, {"x": before}, {"x": after}, {"x": first}, {"x": second})


INTEGER, NUMBER, STRING, BOOLEAN = ({"type": ["null", kind]} for kind in ("integer", "number", "string", "boolean"))
MONEY = {"type": ["null", "number"], "multipleOf": 0.01}
CENTS = {"type": ["null", "number"], "multipleOf": 0.0001}
DATE, MOMENT = ({"type": ["null", "string"], "format": each} for each in ("date", "date-time"))
OBJECT, LIST = ({"type": ["null", kind]} for kind in ("object", "array"))
ANYTHING: dict[str, Any] = {}

CHANGES = [
    Change("a new property with a value", {}, {"x": STRING}, {}, {"x": "a"}),
    Change("a new property, null in every row", {}, {"x": STRING}, {}, {"x": None}),
    Change("a new property that the schema does not name", {}, {}, {}, {"x": "a"}),
    Change("a new nested object", {}, {"x": OBJECT}, {}, {"x": {"a": 1}}),
    Change("a property that is gone", {"x": STRING}, {}, {"x": "a"}, {}),
    Change("a property that is renamed", {"x": STRING}, {"y": STRING}, {"x": "a"}, {"y": "a"}),
    Change("other capital letters", {"x": STRING}, {"X": STRING}, {"x": "a"}, {"X": "b"}),
    typed("integer to number, a whole one", INTEGER, NUMBER, 1, 2.0),
    typed("integer to number, with a fraction", INTEGER, NUMBER, 1, 2.5),
    typed("number to integer", NUMBER, INTEGER, 1.5, 2),
    typed("integer to string, of digits", INTEGER, STRING, 1, "2"),
    typed("integer to string, of letters", INTEGER, STRING, 1, "two"),
    typed("string to integer", STRING, INTEGER, "one", 2),
    typed("boolean to string", BOOLEAN, STRING, True, "yes"),
    typed("decimal with more places", MONEY, CENTS, 1.25, 1.2345),
    typed("date to date-time", DATE, MOMENT, "2026-01-02", "2026-01-02T03:04:05Z"),
    typed("date-time to date", MOMENT, DATE, "2026-01-02T03:04:05Z", "2026-01-02"),
    typed("date-time to string", MOMENT, STRING, "2026-01-02T03:04:05Z", "yesterday"),
    typed("object to array", OBJECT, LIST, {"a": 1}, [1]),
    typed("a type that is lost", INTEGER, ANYTHING, 1, {"a": 1}),
    Change("another key", {"x": STRING}, {"x": STRING}, {"x": "a"}, {"x": "a"}, ("x",)),
]


class Lines:
    """What the pipeline needs of a reading: a tap's lines, decoded."""

    bytes_in = 1

    def __init__(self, folder: Path, lines: list[dict[str, Any]]) -> None:
        path = folder / "messages.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        self._file = path.open("rb")
        self.rows_in: dict[StreamId, int] = {StreamId("orders"): sum(line["type"] == "RECORD" for line in lines)}

    def __iter__(self) -> Iterator[Message]:
        with self._file:
            yield from SingerDecoder(self._file.fileno())


def load(folder: Path, properties: Properties, row: Mapping[str, Any], key: tuple[str, ...], mode: str) -> AttemptReport:
    """One run of one row into `folder/data.duckdb`."""
    number = 1 + len(list(folder.glob("ran-*")))
    (folder / f"ran-{number}").touch()
    schema = {"type": "object", "properties": {"id": ID, **properties}}
    lines = [
        {"type": "SCHEMA", "stream": "orders", "schema": schema, "key_properties": list(key)},
        {"type": "RECORD", "stream": "orders", "record": {"id": number, **row}},
    ]
    job = Job.model_validate({"name": "x", "source": {"connector": "c"}, "target": {"connector": "duckdb"}, "contract": mode})
    writer, report = DuckDBWriter(), AttemptReport()
    catalog = WriteCatalog(JobKey("default", "x"), f"r{number}")
    writer.initialize({"path": str(folder / "data.duckdb")}, catalog)
    try:
        Pipeline(
            job,
            StreamRules(None),
            writer,
            catalog,
            write_modes=frozenset(DuckDBWriter.write_modes),
            report=report,
            progress=Progress(),
            interruption=Interruption(),
            committed=lambda state: None,
            log=lambda level, line: None,
        ).run(Lines(folder, lines))  # type: ignore[arg-type]
    finally:
        writer.close()
    return report


def outcome(change: Change, mode: str, folder: Path) -> str:
    """What became of the second version, in a few words."""
    load(folder, change.before, change.first, ("id",), "evolve")
    try:
        report = load(folder, change.after, change.second, change.key, mode)
    except ContractError:
        return "the run fails"
    (stream,) = report.streams
    if stream.quarantined:
        return "the row is quarantined"
    said = [_said(each.kind, each.column, each.before, each.after) for each in stream.changes]
    if said:
        return "; ".join(said)
    with duckdb.connect(str(folder / "data.duckdb"), read_only=True) as db:
        columns = [name for name, *_ in db.execute("DESCRIBE orders").fetchall()]
        (row,) = db.sql("FROM orders ORDER BY id DESC LIMIT 1").to_arrow_table().to_pylist()
    value = next((each for each in change.second.values() if each is not None), None)
    kept = any(name in columns and row[name] is not None for name in {name.lower() for name in change.second} | {"_dativo_extra"})
    return "loaded as it is" if value is None or kept else "the value is dropped"


def _said(kind: str, column: str | None, before: str | None, after: str | None) -> str:
    if column == "_dativo_changes":
        return "the value is nulled"
    return f"new column `{column}` {after}" if kind == "column" else f"`{column}` becomes {after}"


def table() -> str:
    """All changes under all modes, in Markdown."""
    rows = [f"| change | {' | '.join(f'`{mode}`' for mode in MODES)} |", f"|---|{'---|' * len(MODES)}"]
    for change in CHANGES:
        cells = []
        for mode in MODES:
            with tempfile.TemporaryDirectory() as folder:
                cells.append(outcome(change, mode, Path(folder)))
        rows.append(f"| {change.name} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    DOCUMENT.write_text(before + BEGIN + table() + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
