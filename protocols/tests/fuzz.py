"""Mutated lines through the decoder: `python protocols/tests/fuzz.py --lines 10000000`.

Good rows, each with a number of its own, stand between lines that are mutated at random: bytes flipped, cut out, doubled,
swapped, lines spliced and cut. Checked in every round: no crash, no hang (a decoder takes at most a minute), every good row
arrives exactly once and in order, and for each stream rows in = rows + rejects. Where a line ends the stream (a broken SCHEMA or
STATE, a stream without SCHEMA), every good row before it must have come, and a new decoder goes on behind it. Each round has its
own seed, printed when it fails; `--seed` repeats it.
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

import pyarrow as pa
from dativo_protocols import Batch, DativoError, Rejects, SingerDecoder, State

ROUND = 20_000
TIMEOUT_SECONDS = 60
GOOD = re.compile(rb'\{"type":"RECORD","stream":"good","record":\{"n":(\d+),"s":"row"\}\}\n')
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
SEEDS = [
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
WEIGHTS = [30, 20, 20, 20, 1, 1, 1, 1, 1]
TOKENS = [*rb'" \ { } [ ] , : null 1e999 - \ud800 "stream" "record": RECORD NaN'.split(b" "), b"\xff", b"\0", b" ", b"\r"]


def mutate(line: bytes, rng: random.Random) -> bytes:
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
            other = rng.choice(SEEDS)
            text[at:] = other[rng.randrange(len(other)) : -1]
    return bytes(text).replace(b"\n", b" ") + b"\n"


def is_fatal(line: bytes) -> bool:
    """Whether the protocol ends the stream at this line, as far as that is easily told."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return any(name in line for name in (b"SCHEMA", b"STATE", b"ACTIVATE_VERSION", b"BATCH"))
    kind = str(message.get("type")).upper() if isinstance(message, dict) else None
    if kind == "RECORD":
        return isinstance(message.get("stream"), str) and message["stream"] not in KNOWN
    return kind in {"SCHEMA", "STATE", "ACTIVATE_VERSION", "BATCH"}


def transcript(rng: random.Random, lines: int) -> list[bytes]:
    """Good rows among mutated lines. Lines that end the stream are kept rarely, so that most decoders see thousands of lines."""
    made: list[bytes] = []
    good = 0
    while len(made) < lines:
        if rng.random() < 0.2:
            made.append(b'{"type":"RECORD","stream":"good","record":{"n":%d,"s":"row"}}\n' % good)
            good += 1
            continue
        line = rng.choices(SEEDS, WEIGHTS)[0]
        mutated = mutate(line, rng)
        made.append(line if is_fatal(mutated) and rng.random() < 0.995 else mutated)
    return made


def decode(lines: list[bytes], seed: int, rng: random.Random, fail: Callable[[str], None]) -> tuple[int, Counter[str]]:
    """Decodes lines and checks what comes of them; gives how many of them it got through, more than none, and what it counted."""
    text = b"".join([*SCHEMAS, *lines])
    reader, writer = os.pipe()
    decoder = SingerDecoder(
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
        if type(error) is DativoError or not isinstance(line, int) or line <= len(SCHEMAS):
            fail(f"seed {seed}: {error!r}")
        else:
            through = line - len(SCHEMAS)
    finally:
        watchdog.cancel()
        rows_in = {stream.name: count for stream, count in decoder.rows_in.items()}
        decoder.close()
        thread.join()
    expected = [int(found[1]) for line in lines[:through] if (found := GOOD.fullmatch(line))]
    if arrived != expected:
        fail(f"seed {seed}: good rows are not all there, once and in order: {len(arrived)} came, {len(expected)} were sent")
    if rows_in != dict(counted):
        fail(f"seed {seed}: rows in {rows_in} are not rows and rejects {dict(counted)}")
    return through, outcome


def run_round(seed: int, count: int, fail: Callable[[str], None]) -> Counter[str]:
    """One transcript, with as many decoders as it takes: behind a line that ended a stream, a new one starts."""
    rng = random.Random(seed)
    lines = transcript(rng, count)
    total: Counter[str] = Counter(lines=count)
    while lines:
        through, outcome = decode(lines, seed, rng, fail)
        total += outcome
        lines = lines[through:]
    return total


def fuzz(lines: int, seed: int, fail: Callable[[str], None]) -> Counter[str]:
    """Rounds until so many lines were decoded."""
    total: Counter[str] = Counter()
    while total["lines"] < lines:
        total += run_round(seed, min(ROUND, max(100, lines - total["lines"])), fail)
        seed += 1
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    failures: list[str] = []

    def fail(message: str) -> None:
        failures.append(message)
        print(message, file=sys.stderr, flush=True)

    started = time.monotonic()
    total = fuzz(options.lines, options.seed, fail)
    counts = ", ".join(f"{name}: {count:,}" for name, count in total.items())
    print(f"seed {options.seed}: {counts}; {len(failures)} failures, {time.monotonic() - started:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
