"""Mutated lines through a decoder: `python protocols/tests/fuzz.py --lines 10000000`, with `--protocol airbyte` the other one,
with `--protocol arrow` frames (`protocols/tests/fuzz_arrow.py`).

Good rows, each with a number of its own, stand between lines that are mutated at random: bytes flipped, cut out, doubled,
swapped, lines spliced and cut. Checked in every round: no crash, no hang (a decoder takes at most a minute), every good row
arrives exactly once and in order, and for each stream rows in = rows + rejects. Where a line ends the stream (a broken SCHEMA or
STATE, a stream nobody announced), every good row before it must have come, and a new decoder goes on behind it. Each round has
its own seed, printed when it fails; `--seed` repeats it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
from dativo_protocols import AirbyteDecoder, Batch, DativoError, Rejects, SingerDecoder, State

sys.path.insert(0, str(Path(__file__).parents[2]))
from protocols.tests.fuzz_arrow import run_frames

ROUND = 20_000
TIMEOUT_SECONDS = 60
KNOWN = {"good", "m0", "m1"}

PROPERTIES = (
    b'{"i":{"type":["null","integer"]},"f":{"type":["null","number"]},"d":{"type":["null","number"],"multipleOf":0.01},'
    b'"b":{"type":["null","boolean"]},"s":{"type":["null","string"]},"t":{"type":["null","string"],"format":"date-time"},'
    b'"y":{"type":["null","string"],"format":"date"},"x":{"type":["null","string"],"contentEncoding":"base64"},'
    b'"o":{"type":"object","properties":{"a":{"type":"integer"}}},"l":{"type":"array","items":{"type":"string"}},"j":{}}'
)
SCHEMAS = [
    b'{"type":"SCHEMA","stream":"good","schema":{"properties":{"n":{"type":"integer"},"s":{"type":"string"}}},"key_properties":["n"]}\n',
    *(
        b'{"type":"SCHEMA","stream":"%s","schema":{"properties":%s},"key_properties":[]}\n' % (name, PROPERTIES)
        for name in (b"m0", b"m1")
    ),
]


@dataclass(frozen=True)
class Protocol:
    """What of a protocol is mutated, and how it is told what ends a stream.

    Attributes:
        decoder: Makes a decoder.
        good: A line with a good row, whose number is to be filled in; matches it again.
        before: Lines that come first.
        seeds: Lines to mutate, and how often each.
        fatal: Types of messages that end the stream when they are broken.
    """

    decoder: Callable[..., SingerDecoder | AirbyteDecoder]
    good: bytes
    before: list[bytes]
    seeds: list[tuple[bytes, int]]
    fatal: tuple[bytes, ...]

    @property
    def pattern(self) -> re.Pattern[bytes]:
        return re.compile(re.escape(self.good).replace(b"%d", rb"(\d+)"))


SINGER_SEEDS = [
    b'{"type":"RECORD","stream":"m0","record":{"i":12345,"f":-1.5e-7,"d":99.90,"b":true,'
    b'"s":"text \\u00e9\\ud83d\\ude00 \xc3\xa9 \\"","t":"2024-02-29T12:34:56.789+02:00","y":"2024-02-29","x":"AP8=",'
    b'"o":{"a":1,"b":[{}]},"l":["x","y"],"j":{"deep":[1.10,null,{"k":"v"}]}},"time_extracted":"2024-01-01T00:00:00Z"}\n',
    b'{"type": "RECORD", "stream": "m1", "record": {"i": null, "f": 1, "s": "", "extra": [1, 2, {"a": "b"}], "l": [], "o": {}},'
    b' "version": 17}\n',
    b'{"record":{"j":"reversed","i":9223372036854775807},"stream":"m0","type":"RECORD"}\n',
    b'{"type":"RECORD","stream":"m1","record":{"f":NaN,"i":-0,"b":false,"d":0E-10}}\n',
    b'{"type":"STATE","value":{"bookmarks":{"m0":{"id":1.10}}}}\n',
    b'{"type":"ACTIVATE_VERSION","stream":"m0","version":3}\n',
    b'{"type":"UNKNOWN","what":["ever"]}\n',
    b"plain text that a tap prints\n",
    SCHEMAS[1],
]
FIELDS = (
    b'"i":12345,"f":-1.5e-7,"d":99.90,"b":true,"s":"text \\u00e9\\ud83d\\ude00 \xc3\xa9 \\"","t":"2024-02-29T12:34:56.789+02:00",'
    b'"y":"2024-02-29","x":"AP8=","o":{"a":1,"b":[{}]},"l":["x","y"],"j":{"deep":[1.10,null,{"k":"v"}]}'
)
AIRBYTE_SEEDS = [
    b'{"type":"RECORD","record":{"stream":"m0","data":{%s},"emitted_at":1700000000000}}\n' % FIELDS,
    b'{"type":"RECORD","record":{"namespace":"n","stream":"m1","data":{"i":null,"f":1,"extra":[1,{"a":"b"}]},"emitted_at":1}}\n',
    b'{"type": "RECORD", "record": {"stream": "m1", "data": {"j":"behind"}, "emitted_at": 1, "namespace": "n",'
    b' "meta": {"changes": [{"field": "i", "change": "NULLED", "reason": "SOURCE_RETRIEVAL_ERROR"}]}}}\n',
    b'{"record":{"data":{"j":"reversed","i":9223372036854775807},"file_reference":{"url":1.10},"stream":"m0"},"type":"RECORD"}\n',
    b'{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"m0"},"stream_state":{"id":1.10}}}}\n',
    b'{"type":"STATE","state":{"type":"GLOBAL","global":{"shared_state":{"lsn":1},"stream_states":[]},"sourceStats":{}}}\n',
    b'{"type":"TRACE","trace":{"type":"STREAM_STATUS","stream_status":{"stream_descriptor":{"name":"m0"},"status":"RUNNING"}}}\n',
    b'{"type":"CONTROL","control":{"type":"CONNECTOR_CONFIG","connectorConfig":{"config":{"token":"x"}}}}\n',
    b'{"type":"LOG","log":{"level":"INFO","message":"working"}}\n',
    b"plain text that a source prints\n",
]
CATALOG = b'{"streams":[%s]}' % b",".join(
    b'{"stream":{"name":"%s"%s,"json_schema":{"properties":%s}},"sync_mode":"%s"}' % stream
    for stream in (
        (b"good", b"", b'{"n":{"type":"integer"},"s":{"type":"string"}}', b"incremental"),
        (b"m0", b"", PROPERTIES, b"incremental"),
        (b"m1", b',"namespace":"n"', PROPERTIES, b"full_refresh"),
    )
)
PROTOCOLS = {
    "singer": Protocol(
        SingerDecoder,
        b'{"type":"RECORD","stream":"good","record":{"n":%d,"s":"row"}}\n',
        SCHEMAS,
        list(zip(SINGER_SEEDS, [30, 20, 20, 20, 1, 1, 1, 1, 1], strict=True)),
        (b"SCHEMA", b"STATE", b"ACTIVATE_VERSION", b"BATCH"),
    ),
    "airbyte": Protocol(
        partial(AirbyteDecoder, catalog=CATALOG),
        b'{"type":"RECORD","record":{"stream":"good","data":{"n":%d,"s":"row"},"emitted_at":1}}\n',
        [],
        list(zip(AIRBYTE_SEEDS, [30, 20, 10, 20, 3, 1, 1, 1, 2, 1], strict=True)),
        (b"STATE", b"TRACE", b"CONTROL", b"SPEC", b"CATALOG", b"CONNECTION_STATUS"),
    ),
}
TOKENS = [*rb'" \ { } [ ] , : null 1e999 - \ud800 "stream" "record": RECORD NaN'.split(b" "), b"\xff", b"\0", b" ", b"\r"]


def mutate(line: bytes, protocol: Protocol, rng: random.Random) -> bytes:
    """The line, changed in one to four places; it stays one line."""
    text = bytearray(line[:-1])
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.choice((1, 1, 2, 5, 40)))
        choice = rng.randrange(7)
        if choice == 0 and at < len(text):
            text[at] ^= 1 << rng.randrange(8)
        elif choice == 1:
            del text[at:end]
        elif choice == 2:
            text[at:at] = text[at:end]
        elif choice == 3:
            text[at:end] = rng.choice(TOKENS)
        elif choice == 4:
            text[at:at] = rng.choice(TOKENS)
        elif choice == 5:
            del text[at:]
        else:
            other, _ = rng.choice(protocol.seeds)
            text[at:] = other[rng.randrange(len(other)) : -1]
    return bytes(text).replace(b"\n", b" ") + b"\n"


def is_fatal(line: bytes, protocol: Protocol) -> bool:
    """Whether the protocol ends the stream at this line, as far as that is easily told."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return any(name in line for name in protocol.fatal)
    kind = str(message.get("type")).upper() if isinstance(message, dict) else ""
    if kind == "RECORD":
        record = message.get("record")
        named = message if protocol is PROTOCOLS["singer"] else record if isinstance(record, dict) else {}
        name, namespace = named.get("stream"), named.get("namespace")
        expected = "n" if name == "m1" and protocol is PROTOCOLS["airbyte"] else None
        return isinstance(name, str) and (name not in KNOWN or namespace != expected)
    return kind.encode("utf-8", "replace") in protocol.fatal


def transcript(protocol: Protocol, rng: random.Random, lines: int) -> list[bytes]:
    """Good rows among mutated lines. Lines that end the stream are kept rarely, so that most decoders see thousands of lines."""
    made: list[bytes] = []
    seeds, weights = zip(*protocol.seeds, strict=True)
    good = 0
    while len(made) < lines:
        if rng.random() < 0.2:
            made.append(protocol.good % good)
            good += 1
            continue
        line = rng.choices(seeds, weights)[0]
        mutated = mutate(line, protocol, rng)
        made.append(line if is_fatal(mutated, protocol) and rng.random() < 0.995 else mutated)
    return made


def decode(
    protocol: Protocol, lines: list[bytes], seed: int, rng: random.Random, fail: Callable[[str], None]
) -> tuple[int, Counter[str]]:
    """Decodes lines and checks what comes of them; gives how many of them it got through, more than none, and what it counted."""
    text = b"".join([*protocol.before, *lines])
    reader, writer = os.pipe()
    decoder = protocol.decoder(
        reader,
        memory_budget_bytes=rng.choice((1 << 20, 96 << 20)),
        threads=rng.choice((1, 2, 3)),
        nested=rng.choice(("json", "struct")),
    )
    os.close(reader)
    piece = rng.choice((1000, 20_000, 1 << 20))

    def write() -> None:
        try:
            at = 0
            while at < len(text):
                at += os.write(writer, text[at : at + piece])
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
    through = len(lines)
    try:
        for message in decoder:
            if isinstance(message, Batch | Rejects):
                counted[message.stream.name] += message.rows
                outcome["rows" if isinstance(message, Batch) else "rejects"] += message.rows
            if isinstance(message, Batch):
                batch = pa.record_batch(message.data)
                batch.validate(full=True)
                if message.stream.name == "good":
                    arrived += batch.column("n").to_pylist()
            outcome["states"] += isinstance(message, State)
    except DativoError as error:
        outcome["ended early"] += 1
        line = error.facts.get("line")
        if type(error) is DativoError or not isinstance(line, int) or line <= len(protocol.before):
            fail(f"seed {seed}: {error!r}")
        else:
            through = line - len(protocol.before)
    finally:
        watchdog.cancel()
        rows_in = {stream.name: count for stream, count in decoder.rows_in.items()}
        decoder.close()
        thread.join()
    expected = [int(found[1]) for line in lines[:through] if (found := protocol.pattern.fullmatch(line))]
    if arrived != expected:
        fail(f"seed {seed}: good rows are not all there, once and in order: {len(arrived)} came, {len(expected)} were sent")
    if rows_in != dict(counted):
        fail(f"seed {seed}: rows in {rows_in} are not rows and rejects {dict(counted)}")
    return through, outcome


def run_round(protocol: Protocol, seed: int, count: int, fail: Callable[[str], None]) -> Counter[str]:
    """One transcript, with as many decoders as it takes: behind a line that ended a stream, a new one starts."""
    rng = random.Random(seed)
    lines = transcript(protocol, rng, count)
    total: Counter[str] = Counter(lines=count)
    while lines:
        through, outcome = decode(protocol, lines, seed, rng, fail)
        total += outcome
        lines = lines[through:]
    return total


def fuzz(lines: int, seed: int, fail: Callable[[str], None], protocol: str = "singer") -> Counter[str]:
    """Rounds until so many lines were decoded."""
    total: Counter[str] = Counter()
    while total["lines"] < lines:
        count = min(ROUND, max(100, lines - total["lines"]))
        total += run_frames(seed, count, fail) if protocol == "arrow" else run_round(PROTOCOLS[protocol], seed, count, fail)
        seed += 1
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--protocol", choices=[*sorted(PROTOCOLS), "arrow"], default="singer")
    options = parser.parse_args()
    failures: list[str] = []

    def fail(message: str) -> None:
        failures.append(message)
        print(message, file=sys.stderr, flush=True)

    started = time.monotonic()
    total = fuzz(options.lines, options.seed, fail, options.protocol)
    counts = ", ".join(f"{name}: {count:,}" for name, count in total.items())
    print(f"seed {options.seed}: {counts}; {len(failures)} failures, {time.monotonic() - started:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
