"""Mutated lines through the decoder, good rows between them: nothing crashes, nothing hangs, no good row is lost or changed.

    python tests/fuzz/fuzz.py --lines 10000000

Most mutations are inside the record; one in 500 is anywhere in the line, where it may make the run fail as documented (an unknown
stream, for example): then everything before that line must have come. Exits 1 otherwise. Rounds run in a process of their own, so
that a crash or a hang is an outcome and not the end of the test.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROUND = 20_000
MUTATED = ROUND * 3 // 4
HANG_SECONDS = 120
PROPERTIES = (
    '"i":{"type":"integer"},"n":{"type":"number"},"d":{"type":"number","multipleOf":0.001},"s":{"type":"string"},'
    '"t":{"type":"string","format":"date-time"},"y":{"type":"string","format":"date"},"c":{"type":"string","format":"time"},'
    '"b":{"type":"boolean"},"x":{"type":"string","contentEncoding":"base64"},"o":{"type":"object","properties":{"p":{"type":"integer"}}},'
    '"l":{"type":"array","items":{"type":"string"}},"u":{}'
)
SCHEMAS = (
    '{"type":"SCHEMA","stream":"good","schema":{"properties":{"id":{"type":"integer"},"v":{"type":"string"}}},"key_properties":["id"]}\n'
    f'{{"type":"SCHEMA","stream":"bad","schema":{{"properties":{{{PROPERTIES}}}}},"key_properties":[]}}\n'
).encode()
HEAD, TAIL = b'{"type":"RECORD","stream":"bad","record":{', b'},"time_extracted":"2026-01-01T00:00:00Z"}'
BODIES = [
    rb'"i":-9223372036854775808,"n":1.5e-300,"d":12345678901234567890.125,"s":"\ud83d\ude9a \u0000 \\ \/","b":true',
    rb'"t":"2024-02-29T23:59:59.999999+05:30","y":"2024-02-29","c":"23:59:59.5","x":"AAECAw==","o":{"p":1,"q":[{}]},"l":["a",null,"b"]',
    '"s":"ünïcödé 東京 🚚","u":"text","i":null,"n":NaN,"d":-Infinity,"b":false,"o":null,"l":[],"t":null,"s":"again"'.encode(),
    b'"u":{"deep":[[[1e999]]]},"extra":null,"other":{"a":[1,2,{"b":null}]}',
]
BYTES = b'"\\{}[]:,-+.0123456789eEtfnuNI \t\r\n\x00\x1f\x7f\x80\xc3\xed\xff'


def mutated(line: bytes, chance: random.Random) -> bytes:
    """The line with one to four edits: bytes replaced, inserted, removed, repeated, or the rest cut off."""
    edited = bytearray(line)
    for _ in range(chance.randrange(1, 5)):
        at, kind = chance.randrange(len(edited) + 1), chance.randrange(8)
        if kind < 4:
            edited[at : at + 1] = bytes([BYTES[chance.randrange(len(BYTES))]])
        elif kind == 4:
            edited[at:at] = bytes([BYTES[chance.randrange(len(BYTES))]])
        elif kind == 5:
            del edited[at : at + chance.randrange(20)]
        elif kind == 6:
            edited[at:at] = edited[at : at + chance.randrange(30)] * chance.randrange(1, 4)
        else:
            del edited[at:]
    return bytes(edited)


@dataclass
class Round:
    """Lines of one decoder: `good` rows have the ids 0, 1, 2…; a row's text tells its id again."""

    data: bytes
    good: int
    bad: int


def make_round(lines: int, chance: random.Random) -> Round:
    parts, good, bad = [SCHEMAS], 0, 0
    for n in range(lines):
        if n % 4 == 0:
            parts.append(b'{"type":"RECORD","stream":"good","record":{"id":%d,"v":"row %d"}}' % (good, good))
            good += 1
            continue
        bad += 1
        body = BODIES[chance.randrange(len(BODIES))]
        anywhere = chance.randrange(500) == 0
        parts.append(mutated(HEAD + body + TAIL, chance) if anywhere else HEAD + mutated(body, chance) + TAIL)
    return Round(parts[0] + b"\n".join(parts[1:]) + b"\n", good, bad)


def decode(data: bytes, chance: random.Random) -> tuple[list[int], str | None]:
    """Ids of the good rows that came, in order, and the error that ended the decoder.

    Raises:
        AssertionError: A good row changed, or rows in are not rows out.
    """
    import pyarrow as pa
    from dativo_protocols import Batch, DativoError, Rejects, SingerDecoder, StreamId

    reader, writer = os.pipe()

    def feed() -> None:
        at = 0
        with open(writer, "wb", buffering=0) as pipe:
            while at < len(data):
                size = chance.choice([1, 100, 4096, 1 << 16, 1 << 20])
                try:
                    at += pipe.write(data[at : at + size]) or 0
                except BrokenPipeError:
                    return

    feeder = threading.Thread(target=feed)
    feeder.start()
    decoder = SingerDecoder(
        reader, threads=chance.choice([1, 2, 4]), nested=chance.choice(["json", "struct"]), memory_budget_bytes=1 << 24
    )
    os.close(reader)
    ids: list[int] = []
    rows: dict[StreamId, int] = {}
    failure: str | None = None
    try:
        for message in decoder:
            if isinstance(message, (Batch, Rejects)):
                rows[message.stream] = rows.get(message.stream, 0) + message.rows
            if isinstance(message, Batch):
                batch = pa.record_batch(message.data)
                batch.validate(full=True)
                if message.stream == StreamId("good"):
                    found = batch.column("id").to_pylist()
                    assert batch.column("v").to_pylist() == [f"row {n}" for n in found], "a good row changed"
                    ids += found
    except DativoError as error:
        failure = error.message
    finally:
        decoder.close()
        feeder.join()
    if failure is None:
        assert rows == {stream: count for stream, count in decoder.rows_in.items() if count}, (
            f"rows in {decoder.rows_in}, rows out {rows}"
        )
    return ids, failure


def check_round(seed: int, lines: int) -> int:
    """One round; where a line ends the decoder, a new one goes on with the next good row. Returns how often that was."""
    chance = random.Random(seed)
    whole = make_round(lines, chance)
    data, expected, restarts = whole.data, 0, 0
    while True:
        ids, failure = decode(data, chance)
        assert ids == list(range(expected, expected + len(ids))), f"good rows are lost or out of order after row {expected}"
        expected += len(ids)
        if failure is None:
            assert expected == whole.good, f"{whole.good - expected} good rows are lost"
            return restarts
        assert expected <= whole.good
        restarts += 1
        at = whole.data.find(b'"record":{"id":%d,' % expected)
        if at < 0:
            return restarts
        data = SCHEMAS + whole.data[whole.data.rfind(b"\n", 0, at) + 1 :]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10_000_000, help="mutated ones")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    parser.add_argument("--rounds", type=int, help="of this process: used by the driver")
    chosen = parser.parse_args()
    if chosen.rounds is not None:
        print(sum(check_round(chosen.seed + n, ROUND) for n in range(chosen.rounds)))
        return 0
    rounds, per_process, done, restarts, started = -(-chosen.lines // MUTATED), 25, 0, 0, time.monotonic()
    while done < rounds:
        count = min(per_process, rounds - done)
        command = [sys.executable, str(Path(__file__)), "--seed", str(chosen.seed + done), "--rounds", str(count)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS * count)
        except subprocess.TimeoutExpired:
            print(f"hangs: {' '.join(command)}")
            return 1
        if ended.returncode != 0:
            print(f"exit code {ended.returncode}: {' '.join(command)}\n{ended.stderr[-2000:]}")
            return 1
        done, restarts = done + count, restarts + int(ended.stdout)
        print(f"{done * MUTATED:,} lines, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(
        f"{done * MUTATED:,} mutated lines between {done * (ROUND - MUTATED):,} good ones: no crash, no hang, every good row came"
    )
    print(f"{restarts:,} mutations made a message that ends a run, as documented; all rows before it came")
    return 0


if __name__ == "__main__":
    sys.exit(main())
