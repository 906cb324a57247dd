"""The Airbyte decoder holds against the slow, obvious one, for any catalogs, records, states and pieces."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pyarrow as pa
from dativo_protocols import AirbyteDecoder, Batch, ConnectorError, Rejects, Schema, State
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.tests import reference_airbyte as reference
from protocols.tests.test_against_reference import (
    LITERAL,
    NAME,
    SCALAR,
    SCHEMA,
    SPACE,
    VALUE,
    cells_of,
    object_of,
    quoted,
    same,
)
from protocols.tests.transcripts import decoding

NAMESPACE = st.sampled_from([None, "n"])
FORMS = ["STREAM", "STREAM", "STREAM", "GLOBAL", "LEGACY"]


@st.composite
def catalogs(draw: st.DrawFn) -> dict[str, Any]:
    ids = draw(st.lists(st.tuples(NAME, NAMESPACE), min_size=1, max_size=3, unique=True))
    streams = []
    for name, namespace in ids:
        properties = draw(st.dictionaries(NAME, SCHEMA, max_size=5))
        stream = {"name": name, "json_schema": {"type": "object", "properties": properties}}
        if namespace or draw(st.booleans()):
            stream["namespace"] = namespace
        mode = draw(st.sampled_from(["incremental", "incremental", "full_refresh"]))
        streams.append({"stream": stream, "sync_mode": mode, "destination_sync_mode": "append"})
    return {"streams": streams}


def part(id: reference.Id, number: int) -> dict[str, Any]:
    descriptor = {"name": id[0]} | ({"namespace": id[1]} if id[1] else {})
    return {"stream_descriptor": descriptor, "stream_state": {"n": number}}


def state(form: str, id: reference.Id, number: int) -> dict[str, Any]:
    if form == "STREAM":
        return {"type": form, "stream": part(id, number)}
    if form == "GLOBAL":
        return {"type": form, "global": {"shared_state": {"n": number}, "stream_states": [part(id, number)]}}
    return {"type": form, "data": {"n": number}}


@st.composite
def records(draw: st.DrawFn, id: reference.Id, columns: list[str]) -> str:
    names = st.one_of(st.sampled_from([*columns, "id"]), NAME)
    members = draw(st.lists(st.tuples(st.builds(quoted, names, st.sampled_from([0, 0, 1, 0xFFFF])), VALUE), max_size=5))
    data = object_of(members, draw(SPACE))
    inner = [('"stream"', quoted(id[0], draw(st.sampled_from([0, 0, 0, 0xFFFF]))))]
    if id[1] or draw(st.integers(0, 5)) == 0:
        inner.append(('"namespace"', json.dumps(id[1])))
    inner.append(('"data"', data))
    beside = [
        ('"emitted_at"', draw(st.one_of(st.just("1700000000000"), LITERAL, SCALAR))),
        ('"meta"', '{"changes":[]}'),
        ('"meta"', '{"changes":[{"field":"f","change":"NULLED","reason":"R"}]}'),
        ('"file_reference"', '{"url":1.10}'),
    ]
    inner += draw(st.lists(st.sampled_from(beside), max_size=2, unique_by=lambda member: member[0]))
    in_order = draw(st.integers(0, 2)) > 0
    record = object_of(inner if in_order else draw(st.permutations(inner)), draw(SPACE))
    outer = [('"type"', '"RECORD"'), ('"record"', record)]
    whole = object_of(outer if in_order else draw(st.permutations(outer)), draw(SPACE))
    if in_order and draw(st.integers(0, 9)) == 0:
        whole = whole[: draw(st.integers(whole.rindex(data) + 1, len(whole) - 1))]
    return whole


@st.composite
def transcripts(draw: st.DrawFn) -> tuple[dict[str, Any], Any, bytes]:
    """A catalog, the state given to the source, and RECORDs and STATEs in any order; some count may be wrong."""
    catalog = draw(catalogs())
    form = draw(st.sampled_from(FORMS))
    ids = [reference.identity(entry["stream"]) for entry in catalog["streams"]]
    columns = [sorted(entry["stream"]["json_schema"]["properties"]) for entry in catalog["streams"]]
    old = [state(form, id, -1) for id in draw(st.lists(st.sampled_from([*ids, ("gone", None)]), max_size=2, unique=True))]
    given = (old[:1] if form == "GLOBAL" else old) if form != "LEGACY" else {"n": -1}
    counts: Counter[reference.Id] = Counter()
    lines = []
    for number in range(draw(st.integers(0, 14))):
        id = draw(st.sampled_from(ids))
        if draw(st.integers(0, 2)):
            counts[id] += 1
            lines.append(draw(records(id, columns[ids.index(id)])))
            continue
        count = counts[id] if form == "STREAM" else sum(counts.values())
        counts.subtract({id: count} if form == "STREAM" else dict(counts))
        message = state(form, id, number)
        if draw(st.booleans()):
            message["sourceStats"] = {"recordCount": float(count + (draw(st.integers(0, 20)) == 0))}
        lines.append(json.dumps({"type": "STATE", "state": message}))
    return catalog, given, "".join(line + "\n" for line in lines).encode()


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    transcript=transcripts(),
    on_bad_value=st.sampled_from(["quarantine", "null"]),
    threads=st.integers(1, 3),
    pieces=st.integers(1, 40),
)
def test_decoder_gives_what_the_reference_gives(
    transcript: tuple[dict[str, Any], Any, bytes], on_bad_value: str, threads: int, pieces: int
) -> None:
    catalog, given, text = transcript
    said = reference.decode(text, catalog, given, on_bad_value)
    stateful = [reference.identity(entry["stream"]) for entry in catalog["streams"] if entry["sync_mode"] == "incremental"]
    size = max(1, len(text) // pieces)
    cut = [text[at : at + size] for at in range(0, len(text), size)]
    options = {"catalog": json.dumps(catalog).encode(), "state": json.dumps(given).encode(), "metadata": ["extracted_at"]}
    rows: dict[Any, list[dict[Any, Any]]] = {id: [] for id in said.streams}
    rejects: dict[Any, list[tuple[int, str | None, bytes]]] = {id: [] for id in said.streams}
    announced = []
    behind: list[tuple[Any, dict[Any, int]]] = []
    failed = None
    with decoding(cut, make=AirbyteDecoder, on_bad_value=on_bad_value, threads=threads, **options) as decoder:
        try:
            for message in decoder:
                if isinstance(message, Schema):
                    announced.append(tuple(message.stream))
                elif isinstance(message, Batch):
                    rows[tuple(message.stream)] += cells_of(message.data)
                elif isinstance(message, Rejects):
                    batch = pa.record_batch(message.data).to_pylist()
                    rejects[tuple(message.stream)] += [(row["line"], row["column"], row["record"]) for row in batch]
                elif isinstance(message, State):
                    given_out = {id: len(rows[id]) + len(rejects[id]) for id in said.streams}
                    behind.append((json.loads(message.data), given_out))
        except ConnectorError as error:
            failed = error.facts["line"]
        seen = {tuple(stream): count for stream, count in decoder.rows_in.items()}
    assert failed == said.wrong_count
    assert seen == {id: stream.seen for id, stream in said.streams.items() if stream.seen}
    assert sorted(announced, key=str) == sorted((id for id in said.streams if failed is None or id in seen), key=str)
    for place, (merged, given_out) in enumerate(behind):
        covered = next(covered for value, covered in said.states if value == merged)
        is_last = failed is None and place == len(behind) - 1 and merged == said.states[-1][0]
        for id in stateful:
            # The last state of an input that ended well may come behind rows that no state covers.
            assert given_out[id] == covered[id] or (is_last and given_out[id] == said.streams[id].seen)
    if failed is None:
        assert [merged for merged, _ in behind][-1:] == [merged for merged, _ in said.states][-1:]
    for id, stream in said.streams.items():
        assert rejects[id] == stream.rejects
        assert len(rows[id]) == len(stream.rows)
        for found, row in zip(rows[id], stream.rows, strict=True):
            assert found.keys() == row.keys()
            assert all(same(found[column], value) for column, value in row.items()), (found, row)
