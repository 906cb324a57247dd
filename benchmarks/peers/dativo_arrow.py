"""The Rust reader alone: `dativo_arrow.py PROGRAM URL PARTS`; its batches are counted and dropped."""

import base64
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

program, url, parts = sys.argv[1], sys.argv[2], int(sys.argv[3])


def start(folder: Path, action: str, *more: str) -> subprocess.Popen[bytes]:
    command = [program, action, "--config", str(folder / "config"), *more, "--format", "arrow"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1 << 20)


def output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    return process.stdout or sys.exit("no pipe")


def first(process: subprocess.Popen[bytes], kind: str) -> dict[str, Any]:
    return next(message for line in output(process) if (message := json.loads(line))["type"] == kind)


def read(folder: Path, token: bytes | None) -> int:
    more = ["--catalog", str(folder / "catalog")]
    if token is not None:
        path = folder / f"part-{abs(hash(token))}"
        path.write_bytes(token)
        more += ["--partition", str(path)]
    rows = 0
    with start(folder, "read", *more) as process:
        for line in output(process):
            if line.startswith(b'{"type":"BATCH"'):
                frame = output(process).read(json.loads(line)["bytes"])
                rows += sum(batch.num_rows for batch in pa.ipc.open_stream(frame))
    return rows


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    (folder / "config").write_text(json.dumps({"url": url, "tables": ["public.orders"]}))
    with start(folder, "discover") as process:
        streams = first(process, "CATALOG")["catalog"]["streams"]
    configured = [{"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"} for stream in streams]
    (folder / "catalog").write_text(json.dumps({"streams": configured}))
    if parts == 1:
        print(read(folder, None))
    else:
        with start(folder, "partitions", "--catalog", str(folder / "catalog"), "--count", str(parts)) as lead:
            said = first(lead, "PARTITIONS")["partitions"]
            with ThreadPoolExecutor(parts) as workers:
                print(sum(workers.map(lambda part: read(folder, base64.b64decode(part["token"])), said)))
            if lead.stdin:
                lead.stdin.close()
