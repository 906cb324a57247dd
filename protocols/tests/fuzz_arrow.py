"""Mutated frames through a decoder, for `protocols/tests/fuzz.py --protocol arrow`.

Frames with good rows, each with a number of its own, stand between frames whose payloads are mutated at random, as long as their
headers say. Checked: no crash, no hang; what is given is valid Arrow; every good row before the frame that ended a stream
came exactly once and in order; for each stream rows in = rows + rejects. Behind a frame that ended one a new decoder goes on.
"""

from __future__ import annotations

import io
import os
import random
import threading
from collections import Counter
from collections.abc import Callable

import pyarrow as pa
from dativo_protocols import AirbyteDecoder, Batch, DativoError, Rejects

TIMEOUT_SECONDS = 60
MARK = 0x7A6B5C4D3E2F1A0B
CATALOG = b'{"streams":[%s]}' % b",".join(
    b'{"stream":{"name":"%s","json_schema":{"properties":{"n":{"type":"integer"}}}},"sync_mode":"incremental"}' % name
    for name in (b"good", b"m0", b"m1")
)
OTHERS = [
    b'{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"m0"},"stream_state":{"id":1.10}}}}\n',
    b'{"type":"RECORD","record":{"stream":"m1","data":{"n":12},"emitted_at":1}}\n',
    b"plain text that a program prints\n",
]


def payload_of(batch: pa.RecordBatch) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
        stream.write_batch(batch.slice(1))
    return sink.getvalue()


def framed(kind: bytes, stream: bytes, rows: int, payload: bytes) -> bytes:
    return b'{"type":"%s","stream":"%s","namespace":null,"rows":%d,"bytes":%d}\n' % (kind, stream, rows, len(payload)) + payload


GOOD = payload_of(pa.record_batch({"n": pa.array([MARK], pa.int64())}))
SEEDS: list[tuple[bytes, int, bytes]] = [
    (kind, 2 * batch.num_rows - 1, payload_of(batch))
    for kind, batch in [
        (b"BATCH", pa.record_batch({"n": [1, None, 3], "s": ["a", None, "\n" * 9], "b": [True, False, None]})),
        (
            b"BATCH",
            pa.record_batch(
                {
                    "v": pa.array(["x" * 20, None], pa.string_view()),
                    "d": pa.array(["x", "y"]).dictionary_encode(),
                    "t": pa.array([1000, None], pa.timestamp("ns", "UTC")),
                    "z": pa.nulls(2),
                    "f": pa.array([b"ab", None], pa.binary(2)),
                }
            ),
        ),
        (
            b"BATCH",
            pa.record_batch(
                {
                    "l": pa.array([[1, None], None, []], pa.large_list(pa.int8())),
                    "w": pa.array([["a"], None, ["b", "c"]], pa.list_view(pa.utf8())),
                    "m": pa.array([[("k", 1.5)], None, []], pa.map_(pa.utf8(), pa.float32())),
                    "r": pa.RunEndEncodedArray.from_arrays(pa.array([1, 3], pa.int32()), pa.array([1.5, None])),
                    "o": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}]),
                }
            ),
        ),
        (
            b"REJECTS",
            pa.record_batch({"line": [1, 2], "column": ["n", None], "reason": ["r", "s"], "record": pa.array([b"\xff", b""])}),
        ),
    ]
]


def mutated(rng: random.Random) -> bytes:
    kind, rows, payload = rng.choice(SEEDS)
    text = bytearray(payload)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(text))
        length = rng.choice((1, 4, 8, 16))
        choice = rng.randrange(6)
        if choice <= 1:
            text[at] ^= 1 << rng.randrange(8)
        elif choice == 2:
            text[at : at + length] = rng.randbytes(length)
        elif choice == 3:
            text[at : at + length] = rng.choice((b"\0", b"\xff", b"\x7f")) * length
        elif choice == 4:
            other = rng.choice(SEEDS)[2]
            text[at:] = other[at:]
        else:
            del text[at:]
            text += bytes(1)
    return framed(kind, rng.choice((b"m0", b"m1")), rows, bytes(text))


def made(rng: random.Random, count: int) -> tuple[list[bytes], dict[int, int]]:
    """Frames and lines; the numbers of good rows by place."""
    items, numbers = [], {}
    for place in range(count):
        choice = rng.random()
        if choice < 0.3:
            numbers[place] = place
            items.append(framed(b"BATCH", b"good", 1, GOOD.replace(MARK.to_bytes(8, "little"), place.to_bytes(8, "little"))))
        elif choice < 0.5:
            items.append(rng.choice(OTHERS))
        elif choice < 0.9:
            kind, rows, payload = rng.choice(SEEDS)
            items.append(framed(kind, rng.choice((b"m0", b"m1")), rows, payload))
        else:
            items.append(mutated(rng))
    return items, numbers


def run_frames(seed: int, count: int, fail: Callable[[str], None]) -> Counter[str]:
    """One sequence of frames, with as many decoders as it takes."""
    rng = random.Random(seed)
    items, numbers = made(rng, count)
    total: Counter[str] = Counter(lines=count)
    start = 0
    while start < len(items):
        arrived, through, outcome = decode(items[start:], seed, rng, fail)
        expected = [number for place, number in numbers.items() if start <= place < start + through]
        if arrived != expected:
            fail(f"seed {seed}: good rows are not all there, once and in order: {len(arrived)} came, {len(expected)} were sent")
        total += outcome
        start += through
    return total


def decode(items: list[bytes], seed: int, rng: random.Random, fail: Callable[[str], None]) -> tuple[list[int], int, Counter[str]]:
    """The good rows, how many items were got through, and what was counted."""
    text = b"".join(items)
    reader, writer = os.pipe()
    decoder = AirbyteDecoder(
        reader,
        catalog=CATALOG,
        memory_budget_bytes=rng.choice((1 << 20, 96 << 20)),
        threads=rng.choice((1, 2, 3)),
        nested=rng.choice(("json", "struct")),
    )
    os.close(reader)
    piece = rng.choice((100, 5000, 1 << 20))

    def write() -> None:
        try:
            for at in range(0, len(text), piece):
                view = memoryview(text)[at : at + piece]
                while view:
                    view = view[os.write(writer, view) :]
        except BrokenPipeError:
            pass
        os.close(writer)

    def hang() -> None:
        fail(f"seed {seed}: hangs")
        os._exit(1)

    thread = threading.Thread(target=write)
    watchdog = threading.Timer(TIMEOUT_SECONDS, hang)
    thread.start()
    watchdog.start()
    arrived: list[int] = []
    counted: Counter[str] = Counter()
    outcome: Counter[str] = Counter(decoders=1)
    through = len(items)
    try:
        for message in decoder:
            if isinstance(message, Batch | Rejects):
                counted[message.stream.name] += message.rows
                batch = pa.record_batch(message.data)
                batch.validate(full=True)
                if message.stream.name == "good":
                    arrived += batch.column("n").to_pylist()
    except DativoError as error:
        outcome["ended early"] += 1
        line = error.facts.get("line")
        if type(error) is DativoError or not isinstance(line, int):
            fail(f"seed {seed}: {error!r}")
        else:
            through = line
    finally:
        rows_in = {stream.name: count for stream, count in decoder.rows_in.items()}
        decoder.close()
        thread.join()
        watchdog.cancel()
    outcome["rows"] += sum(counted.values())
    if rows_in != dict(counted):
        fail(f"seed {seed}: rows in {rows_in} are not rows and rejects {dict(counted)}")
    return arrived, through, outcome
