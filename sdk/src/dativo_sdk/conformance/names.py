"""Names of any text: each column and each stream keeps its own place."""

from __future__ import annotations

from dativo_protocols import StreamId

from dativo_sdk._writer import ConfiguredStream, Quarantining
from dativo_sdk.conformance._bench import Bench
from dativo_sdk.conformance._check import check
from dativo_sdk.conformance._data import batch, rejects
from dativo_sdk.conformance._expect import same

_MAX_BYTES = 63
_COLUMNS = ["id", "ID", "Id", "a b", "a-b", "a.b", "", "\U0001f600", "1st", "select", 'quo"te', "x" * 300, "日本語"]
_COLUMNS += ["_dativo_x", "é", "e\u0301", "null", "rowid", "a\x00b"]
_STREAMS = [
    "orders",
    "Orders",
    "orders__quarantine",
    "",
    "\U0001f600",
    "a/b",
    "..",
    "x" * 300,
    "_dativo_state",
    "con",
    'q"q',
    "c",
]


@check()
def hostile_column_names_hold_their_own_values(bench: Bench) -> None:
    values = {name: [f"value of {number}"] for number, name in enumerate(_COLUMNS)}
    bench.load(batch(values))
    backwards = {name: [f"{values[name][0]} again"] for name in reversed(_COLUMNS)}
    bench.load(batch(backwards))
    rows = bench.rows(order=None)
    names = list(rows[0])
    same(len({name.casefold() for name in names}), len(_COLUMNS), "columns that differ in more than the case of letters")
    same([name for name in names if len(name.encode()) > _MAX_BYTES], [], f"names of more than {_MAX_BYTES} bytes")
    found = {tuple(sorted(row[name] for row in rows)) for name in names}
    same(found, {(f"value of {number}", f"value of {number} again") for number in range(len(_COLUMNS))})


@check()
def hostile_stream_names_have_their_own_tables(bench: Bench) -> None:
    streams = [StreamId(name) for name in _STREAMS]
    streams += [StreamId("c", "a__b"), StreamId("b__c", "a"), StreamId("orders", "eu")]
    for number in range(2):
        writer = bench.open(*(ConfiguredStream(stream) for stream in streams))
        for index, stream in enumerate(streams):
            writer.write_batch(batch({"id": [index], "run": [number]}, stream))
        if isinstance(writer, Quarantining):
            writer.write_rejects(rejects())
        writer.commit(b"1", final=True)
    same([stream for stream in streams if writer.get_schema(stream) is None], [], "streams without a table")
    bench.close()
    same(sorted((row["id"], row["run"]) for row in bench.rows("c")), [(11, 0), (11, 1)], "rows of `c`")
    same([row["id"] for row in bench.rows("eu__orders")], [len(streams) - 1] * 2, "rows of `eu__orders`")
