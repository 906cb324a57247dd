"""What Airbyte messages mean, said as plainly as possible; see `reference`, whose records and cells these are.

Lines are whole messages, or RECORDs cut somewhere inside their data, which stand behind stream and namespace.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass, field
from typing import Any

from protocols.tests.reference import (
    CHANGES,
    EXACT,
    EXTRA,
    EXTRACTED_AT,
    UTC,
    Number,
    Stream,
    column_type,
    members,
    take_record,
)

Id = tuple[str, str | None]


@dataclass
class Said:
    """What a transcript means: the streams; each state as a source takes it, with the rows it covers; where it goes wrong."""

    streams: dict[Id, Stream]
    states: list[tuple[Any, dict[Id, int]]] = field(default_factory=list)
    wrong_count: int | None = None


def identity(stream: dict[str, Any]) -> Id:
    return stream["name"], stream.get("namespace")


def merged(form: str, given: Any, parts: dict[Id, Any], shared: Any, read: set[Id]) -> Any:
    """The states of this run over those the source was given; each is as in the messages."""
    if form == "LEGACY":
        return shared
    if form == "STREAM":
        old = {identity(state["stream"]["stream_descriptor"]): state["stream"] for state in given}
        return [{"type": "STREAM", "stream": state} for state in {**old, **parts}.values()]
    old = {}
    for state in given[0]["global"]["stream_states"] if given else []:
        if identity(state["stream_descriptor"]) in read:
            old[identity(state["stream_descriptor"])] = state
    return [{"type": "GLOBAL", "global": {"shared_state": shared, "stream_states": list({**old, **parts}.values())}}]


def decode(text: bytes, catalog: dict[str, Any], given: Any, on_bad_value: str) -> Said:
    """All that the messages say, up to the first state whose count is wrong. `given` is a state of the form of the messages'."""
    configured = {identity(entry["stream"]): entry for entry in catalog["streams"]}
    said = Said({})
    for stream, entry in configured.items():
        properties = entry["stream"]["json_schema"]["properties"]
        said.streams[stream] = Stream({name: column_type(inner) for name, inner in properties.items()}, [])
    covered = dict.fromkeys(configured, 0)
    counted = dict.fromkeys(configured, 0)
    parts: dict[Id, Any] = {}
    for number, raw_line in enumerate(text.split(b"\n"), start=1):
        line = raw_line.decode("utf-8", "surrogateescape")
        if not line.strip():
            continue
        try:
            found = {name: (raw, value) for _, name, raw, value in members(line)}
        except ValueError:
            cut = re.search(r'"stream"\s*:\s*("(?:[^"\\]|\\.)*")\s*(?:,\s*"namespace"\s*:\s*("n"|null)\s*)?,\s*"data"', line)
            assert cut
            id = (json.loads(cut[1]), json.loads(cut[2] or "null"))
            counted[id] += 1
            said.streams[id].seen += 1
            said.streams[id].rejects.append((number, None, raw_line))
            continue
        kind = found["type"][1].upper()
        if kind == "RECORD":
            record = {name: (raw, value) for _, name, raw, value in members(found["record"][0])}
            id = (record["stream"][1], record["namespace"][1] if "namespace" in record else None)
            counted[id] += 1
            said.streams[id].seen += 1
            rows = said.streams[id].rows
            before = len(rows)
            moment = emitted_at(record["emitted_at"][1]) if "emitted_at" in record else None
            take_record(said.streams[id], number, record["data"][0], on_bad_value, {EXTRACTED_AT: moment})
            if len(rows) > before:
                put_beside(rows[-1], record)
            continue
        state = json.loads(found["state"][0])
        if state["type"] == "STREAM":
            id = identity(state["stream"]["stream_descriptor"])
            scope = [id] if id in configured else []
            parts[id] = state["stream"]
            shared = None
        else:
            scope = list(configured)
            shared = state["data"] if state["type"] == "LEGACY" else state["global"]["shared_state"]
            for part in state.get("global", {}).get("stream_states", ()):
                parts[identity(part["stream_descriptor"])] = part
        stated = state.get("sourceStats", {}).get("recordCount")
        if scope and stated is not None and stated != sum(counted[id] for id in scope):
            said.wrong_count = number
            return said
        for id in scope:
            covered[id] = said.streams[id].seen
            counted[id] = 0
        said.states.append((merged(state["type"], given, parts, shared, set(configured)), dict(covered)))
    return said


def emitted_at(value: object) -> dt.datetime | None:
    """The moment of a number of milliseconds, where a microsecond says it exactly."""
    if not isinstance(value, Number):
        return None
    number = EXACT.create_decimal(value)
    if number and abs(number.adjusted()) > 20:
        return None
    micros = EXACT.scaleb(number, 3)
    if micros != EXACT.to_integral_value(micros):
        return None
    try:
        return dt.datetime(1970, 1, 1, tzinfo=UTC) + dt.timedelta(microseconds=int(micros))
    except OverflowError:
        return None


def put_beside(row: dict[Any, Any], record: dict[str, tuple[str, Any]]) -> None:
    """What stands beside a record, into its row."""
    if "meta" in record:
        fields = [change["field"] for change in json.loads(record["meta"][0])["changes"]]
        if fields:
            row[CHANGES] = [*row.get(CHANGES, []), *fields]
    if "file_reference" in record:
        kept = row.get(EXTRA, "{}")[1:-1]
        row[EXTRA] = "{" + ",".join(filter(None, [kept, f'"_airbyte_file_reference":{record["file_reference"][0]}'])) + "}"
