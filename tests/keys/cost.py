"""What encryption costs: CPU seconds of writing and reading a million rows, plain and encrypted. `python tests/keys/cost.py`"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from dativo_protocols import Batch, StreamId
from dativo_sdk import JobKey, WriteCatalog

import dativo
from dativo._target import load_target
from dativo.keys._local import add_key

ROWS = 1_000_000
BATCH = 10_000
ORDERS = StreamId("orders")
TIMES = 3
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any] | None]] = {
    "Parquet": ("parquet", {}, None),
    "Parquet, one key": ("parquet", {}, {}),
    "Parquet, column keys": ("parquet", {}, {"column_keys": {"pii": ["email", "note"]}, "quarantine_key": "pii"}),
    "JSON lines": ("jsonl", {}, None),
    "JSON lines, encrypted": ("jsonl", {}, {}),
    "JSON lines, zstd": ("jsonl", {"compression": "zstd"}, None),
    "JSON lines, zstd, encrypted": ("jsonl", {"compression": "zstd"}, {}),
    "Arrow": ("arrow", {}, None),
    "Arrow, encrypted": ("arrow", {}, {}),
}


def batches() -> Iterator[pa.RecordBatch]:
    for start in range(0, ROWS, BATCH):
        numbers = range(start, start + BATCH)
        yield pa.record_batch(
            {
                "id": pa.array(numbers, pa.int64()),
                "at": pa.array([1_700_000_000_000_000 + i * 977_003 for i in numbers], pa.timestamp("us", "UTC")),
                "amount": [i * 7919 % 100_003 / 100 for i in numbers],
                "email": [f"user{i * 2_654_435_761 % 4_294_967_291}@example.org" for i in numbers],
                "country": [("de", "fr", "it", "es", "pl")[i * 31 % 5] for i in numbers],
                "note": [f"order {i} of customer {i * 48_271 % 65_537}, shipped" for i in numbers],
            }
        )


def one(case: str) -> dict[str, float]:
    """CPU seconds of this process for writing and for reading, and the size of the files."""
    target, options, extra = CASES[case]
    data = list(batches())
    with tempfile.TemporaryDirectory() as folder:
        encryption = None
        if extra is not None:
            for key_id in ("footer", "pii"):
                add_key(Path(folder) / "keys.json", key_id)
            kms = {"type": "local", "file": f"{folder}/keys.json"}
            encryption = {"kms": kms, "footer_key": "footer", "audit": f"{folder}/audit.jsonl", **extra}
        config = {"path": f"{folder}/out", **options, **({"encryption": encryption} if encryption else {})}
        began = spent()
        writer = load_target(target)
        writer.initialize(config, WriteCatalog(JobKey("acme", "cost"), "r1"))
        for batch in data:
            writer.write_batch(Batch(ORDERS, batch, batch.num_rows, batch.nbytes))
        writer.commit(b"", final=True)
        writer.close()
        written = spent()
        dataset = dativo.dataset(f"{folder}/out", keys=encryption)
        rows = sum(batch.num_rows for batch in dataset.scan("orders"))
        if rows != ROWS:
            raise ValueError(rows)
        size = sum(Path(file).stat().st_size for file in dataset.files("orders"))
        return {"write": written - began, "read": spent() - written, "MB": size / 1e6}


def spent() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(one(sys.argv[1])))
        return
    best: dict[str, dict[str, float]] = {}
    for _ in range(TIMES):
        for case in CASES:
            ended = subprocess.run([sys.executable, __file__, case], check=True, capture_output=True, text=True)
            figures = json.loads(ended.stdout)
            best[case] = {name: min(value, best.get(case, figures)[name]) for name, value in figures.items()}
    for case, figures in best.items():
        print(f"| {case} | {figures['write']:.2f} | {figures['read']:.2f} | {figures['MB']:.1f} |")


if __name__ == "__main__":
    main()
