"""How fast the decoder takes frames and RECORD lines from a pipe: `python -m protocols.tests.throughput`.

A process of its own writes what was prepared, so that nothing but the pipe and the decoder is measured. `--against DIR` runs each
round also with the `dativo_protocols` in that directory, in turns, and says the ratio of the medians of their CPU time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from statistics import median

CATALOG = (
    b'{"streams":[{"stream":{"name":"a","json_schema":{"properties":{"id":{"type":"integer"},"name":{"type":"string"},'
    b'"price":{"type":"number"},"at":{"type":"string","format":"date-time"}}}},"sync_mode":"full_refresh"}]}'
)
WRITER = """
import sys
data, times = open(sys.argv[1], "rb").read(), int(sys.argv[2])
out = open(1, "wb", buffering=0)
for _ in range(times):
    view = memoryview(data)
    while view:
        view = view[out.write(view):]
"""
RECORDS = 10_000


def prepared(kind: str, path: str) -> int:
    """What the writer repeats; its rows."""
    import pyarrow as pa

    if kind == "records":
        lines = (
            b'{"type":"RECORD","record":{"stream":"a","data":{"id":%d,"name":"name of %d","price":%d.25,'
            b'"at":"2026-11-22T01:02:%02dZ"},"emitted_at":1700000000000}}\n' % (number, number, number, number % 60)
            for number in range(RECORDS)
        )
        data, rows = b"".join(lines), RECORDS
    else:
        from dativo_protocols import StreamId, encode_arrow_frame

        rows = 100_000
        columns = {
            "id": list(range(rows)),
            "price": [number / 4 for number in range(rows)],
            "at": pa.array(range(rows), pa.timestamp("us", "UTC")),
            "name": [f"name of {number}" for number in range(rows)],
        }
        data = encode_arrow_frame(StreamId("a"), pa.record_batch(columns))
    with open(path, "wb") as file:
        file.write(data)
    return rows


def run(path: str, times: int) -> tuple[float, float, int, int]:
    """Decodes; gives seconds, CPU seconds of this process, rows and bytes."""
    from dativo_protocols import AirbyteDecoder, Batch

    reader, writer = os.pipe()
    try:
        import fcntl

        fcntl.fcntl(writer, 1031, 1 << 20)  # F_SETPIPE_SZ, as the supervisor does.
        process = subprocess.Popen([sys.executable, "-c", WRITER, path, str(times)], stdout=writer)
        decoder = AirbyteDecoder(reader, catalog=CATALOG)
    finally:
        os.close(reader)
        os.close(writer)
    rows, started, busy = 0, 0.0, 0.0
    for message in decoder:
        if not started:
            started, busy = time.perf_counter(), time.process_time()
        rows += message.rows if isinstance(message, Batch) else 0
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    process.wait()
    return seconds, busy, rows, decoder.bytes_in


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", choices=("frames", "records"), default="frames")
    parser.add_argument("--times", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against")
    parser.add_argument("--once", metavar="PATH", help=argparse.SUPPRESS)
    options = parser.parse_args()
    times = options.times or {"frames": 500, "records": 100}[options.kind]
    if options.once:
        print(*run(options.once, times))
        return
    path = f"/tmp/throughput.{os.getpid()}"
    expected = prepared(options.kind, path) * times
    sides: dict[str, list[float]] = {"here": []} | ({"there": []} if options.against else {})
    try:
        for number in range(options.rounds):
            for side in sorted(sides, reverse=bool(number % 2)):
                own = {"PYTHONPATH": options.against} if side == "there" else {}
                command = [sys.executable, __file__, options.kind, "--times", str(times), "--once", path]
                said = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=True).stdout.split()
                seconds, busy, rows, nbytes = float(said[0]), float(said[1]), int(said[2]), int(said[3])
                assert rows == expected, (rows, expected)
                sides[side].append(busy)
                speed = f"{nbytes / seconds / 1e9:.2f} GB/s, {nbytes / busy / 1e9:.2f} GB per CPU second"
                print(f"{side}: {rows:,} rows, {nbytes / 1e9:.2f} GB in {seconds:.2f} s: {speed}", flush=True)
    finally:
        os.unlink(path)
    if options.against:
        print(f"median CPU time here / there: {median(sides['here']) / median(sides['there']):.3f}")


if __name__ == "__main__":
    main()
