"""The decoder holds against the slow, obvious one, for any schemas, records, texts and pieces."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pyarrow as pa
from dativo_protocols import Batch, Rejects, State
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.tests import reference
from protocols.tests.transcripts import decoding

TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
NAMES = ["id", "ID", "a", "b", "", "größe", "🙂", 'q"', "_dativo_extra", "_dativo_version"]
NAME = st.one_of(st.sampled_from(NAMES), TEXT).filter(lambda name: "\0" not in name)
LITERAL = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.integers(-20, 20).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,14})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from("0 -0 0.0 -0.0 0E-10 1e3 1.10 9223372036854775808 1e400 1e-400 1e22 1e23 5e-324".split()),
)
DATES = st.one_of(
    st.dates().map(dt.date.isoformat),
    st.sampled_from(
        "2023-02-29 0000-00-00 2024-1-1 2024-01-01T00:00:00Z 2024-01-01T00:00:00+00 2024-01-01T00:00:00+01:00".split()
    ),
)
ODD_TIMES = ["24:00:00", "10:00", "10:00:00Z", "10:00:00.1234567", "10:00:60"]
TIMES = st.one_of(st.times().map(dt.time.isoformat), st.sampled_from(ODD_TIMES))
OFFSETS = st.sampled_from(["", "Z", "z", "+02:00", "-0530", "+14", "+00:00", "+24:00", "x"])
MOMENTS = st.builds("{}{}{}{}".format, DATES, st.sampled_from(["T", " ", "t", "_"]), TIMES, OFFSETS)

PLAIN: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"type": "integer"},
        {"type": "integer", "airbyte_type": "big_integer"},
        {"type": "number"},
        {"type": "number", "multipleOf": 0.01},
        {"type": "number", "multipleOf": 1e-10},
        {"type": "boolean"},
        {"type": "string"},
        {"type": "string", "format": "date"},
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "time"},
        {"type": "string", "contentEncoding": "base64"},
        {"type": "object"},
        {"type": "array"},
        {"type": "null"},
        {},
    ]
)
SCHEMA = st.one_of(
    PLAIN,
    PLAIN.map(lambda plain: {**plain, "type": ["null", plain["type"]]} if "type" in plain else plain),
    st.lists(PLAIN, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches}),
    st.sampled_from([{"type": ["integer", "string"]}, {"type": ["number", "integer", "null"]}]),
)


def quoted(text: str, escapes: int) -> str:
    """A JSON string; the bits of `escapes` say which of its characters are escaped."""
    out = []
    for place, char in enumerate(text):
        if char in '"\\' or char < " " or escapes >> (place % 16) & 1:
            units = char.encode("utf-16-be")
            out += [f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)]
        else:
            out.append(char)
    return '"' + "".join(out) + '"'


STRING = st.builds(quoted, st.one_of(TEXT, DATES, TIMES, MOMENTS), st.one_of(st.just(0), st.integers(0, 2**16)))
ODD_STRING = st.sampled_from(r'"\ud83d" "\ud83d\ude00" "\ude00\ud83d" "a\u0000b" "AP8=" "\/\b\f\n\r\t"'.split())
SCALAR = st.one_of(LITERAL, STRING, ODD_STRING, st.sampled_from(["null", "true", "false", "NaN", "-Infinity"]))
STAMP = st.one_of(
    st.tuples(st.sampled_from(['"version"', '"v\\u0065rsion"']), SCALAR),
    st.tuples(st.just('"time_extracted"'), st.one_of(st.builds(quoted, MOMENTS, st.sampled_from([0, 0, 1])), SCALAR)),
)
SPACE = st.sampled_from(["", "", "", " ", "\t", "  "])


def object_of(members: list[tuple[str, str]], space: str) -> str:
    return "{" + space + f"{space},{space}".join(f"{name}{space}:{space}{value}" for name, value in members) + space + "}"


VALUE = st.recursive(
    SCALAR,
    lambda inner: st.one_of(
        st.builds(lambda items, space: f"[{space}{f',{space}'.join(items)}{space}]", st.lists(inner, max_size=3), SPACE),
        st.builds(object_of, st.lists(st.tuples(STRING, inner), max_size=3), SPACE),
    ),
    max_leaves=5,
)


@st.composite
def streams(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    names = draw(st.lists(NAME, min_size=1, max_size=3, unique=True))
    return {name: draw(st.dictionaries(NAME, SCHEMA, max_size=5)) for name in names}


@st.composite
def transcripts(draw: st.DrawFn) -> bytes:
    """SCHEMAs first, then RECORDs and STATEs in any order."""
    described = draw(streams())
    lines = []
    for stream, properties in described.items():
        key = draw(st.lists(st.sampled_from(sorted(properties)), max_size=1)) if properties else []
        schema = {"type": "object", "properties": properties}
        lines.append(json.dumps({"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": key}))
    for number in range(draw(st.integers(0, 12))):
        if draw(st.integers(0, 4)) == 0:
            lines.append(f'{{"type":"STATE","value":{{"n":{number}}}}}')
            continue
        stream = draw(st.sampled_from(sorted(described)))
        names = st.one_of(st.sampled_from([*sorted(described[stream]), "id"]), NAME)
        members = draw(st.lists(st.tuples(st.builds(quoted, names, st.sampled_from([0, 0, 1, 0xFFFF])), VALUE), max_size=7))
        record = object_of(members, draw(SPACE))
        name = quoted(stream, draw(st.sampled_from([0, 0, 0xFFFF])))
        stamps = draw(st.lists(STAMP, max_size=2, unique_by=lambda member: member[0]))
        parts = [('"type"', '"RECORD"'), ('"stream"', name), ('"record"', record), *stamps]
        in_order = draw(st.booleans())
        whole = object_of(parts if in_order else draw(st.permutations(parts)), draw(SPACE))
        if in_order and draw(st.integers(0, 9)) == 0:
            whole = whole[: draw(st.integers(whole.rindex(record), len(whole) - 1))]
        lines.append(whole)
    return "".join(line + "\n" for line in lines).encode()


def cells_of(data: Any) -> list[dict[Any, Any]]:
    """Rows as the reference has them."""
    batch = pa.record_batch(data)
    rows: list[dict[Any, Any]] = [{} for _ in range(batch.num_rows)]
    for field, column in zip(batch.schema, batch.columns, strict=True):
        role = (field.metadata or {}).get(b"dativo.role")
        key = field.name if role is None else (role.decode(),)
        for row, value in zip(rows, column.to_pylist(), strict=True):
            if value is not None:
                row[key] = [note["column"] for note in json.loads(value)] if key == reference.CHANGES else value
    return rows


def same(left: object, right: object) -> bool:
    return repr(left) == repr(right) if isinstance(left, float) else left == right


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    text=transcripts(),
    on_bad_value=st.sampled_from(["quarantine", "null"]),
    threads=st.integers(1, 3),
    pieces=st.integers(1, 40),
)
def test_decoder_gives_what_the_reference_gives(text: bytes, on_bad_value: str, threads: int, pieces: int) -> None:
    expected, states = reference.decode(text, on_bad_value)
    covered = dict(states)
    size = max(1, len(text) // pieces)
    rows: dict[str, list[dict[Any, Any]]] = {name: [] for name in expected}
    rejects: dict[str, list[tuple[int, str | None, bytes]]] = {name: [] for name in expected}
    given_states = []
    with decoding(
        (text[at : at + size] for at in range(0, len(text), size)),
        on_bad_value=on_bad_value,
        threads=threads,
        metadata=["extracted_at", "version"],
    ) as decoder:
        for message in decoder:
            if isinstance(message, Batch):
                rows[message.stream.name] += cells_of(message.data)
            elif isinstance(message, Rejects):
                batch = pa.record_batch(message.data).to_pylist()
                rejects[message.stream.name] += [(reject["line"], reject["column"], reject["record"]) for reject in batch]
            elif isinstance(message, State):
                given_states.append(message.data.decode())
                counts = covered[message.data.decode()]
                assert {name: len(rows[name]) + len(rejects[name]) for name in counts} == counts
        assert {stream.name: count for stream, count in decoder.rows_in.items()} == {
            name: stream.seen for name, stream in expected.items() if stream.seen
        }
        assert decoder.superseded_states + len(given_states) == len(states)
    assert given_states[-1:] == [value for value, _ in states][-1:]
    for name, stream in expected.items():
        assert rejects[name] == stream.rejects
        assert len(rows[name]) == len(stream.rows)
        for found, row in zip(rows[name], stream.rows, strict=True):
            assert found.keys() == row.keys()
            assert all(same(found[column], value) for column, value in row.items()), (found, row)
