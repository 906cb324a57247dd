"""Airbyte states over whole inputs: what they cover, however the streams take turns."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator

import pytest
from dativo_protocols import AirbyteDecoder, Batch, Log, Message, State, StreamId

from protocols.tests.transcripts import decoding

SCHEMA = {"properties": {"n": {"type": "integer"}, "text": {"type": "string"}}}


def catalog(*streams: str, mode: str = "incremental") -> bytes:
    return json.dumps(
        {"streams": [{"stream": {"name": name, "json_schema": SCHEMA}, "sync_mode": mode} for name in streams]}
    ).encode()


def record(stream: str, number: int, text: str = "") -> bytes:
    return b'{"type":"RECORD","record":{"stream":"%s","data":{"n":%d,"text":"%s"}}}\n' % (stream.encode(), number, text.encode())


def state(stream: str, number: int, count: int) -> bytes:
    said = b'{"stream_descriptor":{"name":"%s"},"stream_state":{"n":%d}}' % (stream.encode(), number)
    return b'{"type":"STATE","state":{"type":"STREAM","stream":%s,"sourceStats":{"recordCount":%d.0}}}\n' % (said, count)


def covered(message: State) -> dict[str, int]:
    streams = [each["stream"] for each in json.loads(message.data)]
    return {each["stream_descriptor"]["name"]: each["stream_state"]["n"] for each in streams}


def in_turns(rounds: int, text: str) -> Iterator[bytes]:
    """Two streams, whose states come at different times."""
    for number in range(1, rounds + 1):
        yield record("a", number, text) + (state("a", number, 7) if number % 7 == 0 else b"")
        yield record("b", number, text) + (state("b", number, 400) if number % 400 == 0 else b"")


@pytest.mark.parametrize("budget", [1 << 20, 96 << 20])
def test_no_state_is_given_with_rows_that_it_does_not_cover(budget: int) -> None:
    rows: Counter[str] = Counter()
    states = 0
    text = b"".join(in_turns(2800 * 20, "x" * 200))
    pieces = [text[at : at + 100_000] for at in range(0, len(text), 100_000)]
    with decoding(pieces, make=AirbyteDecoder, catalog=catalog("a", "b"), memory_budget_bytes=budget) as decoder:
        for message in decoder:
            if isinstance(message, Batch):
                rows[message.stream.name] += message.rows
            elif isinstance(message, State):
                states += 1
                assert rows == {"a": 0, "b": 0} | covered(message)
    assert rows == {"a": 56_000, "b": 56_000}
    assert states >= 2


def test_a_state_does_not_wait_for_a_slow_stream() -> None:
    reader, writer = os.pipe()
    decoder = AirbyteDecoder(reader, catalog=catalog("fast", "slow"))
    os.close(reader)
    os.write(writer, record("slow", 1) + record("fast", 1) + state("fast", 1, 1))
    given: list[Message] = []
    while not any(isinstance(message, State) for message in given):
        given.append(next(decoder))
    os.close(writer)
    assert {message.stream.name for message in given if isinstance(message, Batch)} == {"fast"}
    assert [message.stream.name for message in decoder if isinstance(message, Batch)] == ["slow"]


def test_a_full_refresh_holds_no_state_up() -> None:
    text = record("a", 1) + record("b", 1) + state("a", 1, 1)
    with decoding([text], make=AirbyteDecoder, catalog=catalog("a", "b", mode="full_refresh")) as decoder:
        kinds = [type(message) for message in decoder if isinstance(message, Batch | State)]
    assert kinds == [Batch, Batch, State]


def test_states_behind_every_record_are_verified_and_merged() -> None:
    text = b"".join(record("a", number) + state("a", number, 1) for number in range(1, 20_001))
    with decoding([text], make=AirbyteDecoder, catalog=catalog("a")) as decoder:
        last = [message for message in decoder if isinstance(message, State)][-1]
        assert decoder.rows_in == {StreamId("a"): 20_000}
        assert decoder.superseded_states > 19_000
    assert covered(last) == {"a": 20_000}


def test_what_a_source_says_does_not_wait_for_rows() -> None:
    reader, writer = os.pipe()
    decoder = AirbyteDecoder(reader, catalog=catalog("a"))
    os.close(reader)
    os.write(writer, record("a", 1) + b'{"type":"LOG","log":{"level":"INFO","message":"working"}}\n')
    found = next(message for message in decoder if isinstance(message, Log))
    os.close(writer)
    assert found == Log("info", "working")
    decoder.close()
