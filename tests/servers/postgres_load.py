"""A small job against the target `postgres`: what it writes depends on the mode alone, so that two ends can be compared.

As a program: `python -m tests.servers.postgres_load MODE CONFIG`; `DATIVO_FAULT_POINT` says where it is killed.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import sys
from typing import Any

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_sdk import ConfiguredStream, WriteCatalog
from dativo_sdk.conformance import JOB, ORDERS, batch, rejects

from dativo.targets.postgres import PostgresWriter

COMMITS = 4
PARTS = StreamId("parts")
_BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_runs = itertools.count(1)


def load(mode: Any, config: dict[str, Any]) -> None:
    """One run, from the state that the target has to the end."""
    writer = PostgresWriter()
    how = {"primary_key": ("id",), "cursor": "at"} if mode != "append" else {}
    streams = {stream: ConfiguredStream(stream, mode, **how) for stream in (ORDERS, PARTS)}
    try:
        state = writer.initialize(config, WriteCatalog(JOB, f"run{next(_runs)}", streams))
        # A stream that is overwritten is read from its beginning each time.
        for number in range(0 if mode == "overwrite" or state is None else int(state), COMMITS):
            ids = [number, number + 1, number + 2, number % 2]
            at = pa.array([_BEGIN + dt.timedelta(hours=number, minutes=minute) for minute in range(4)], pa.timestamp("us", "UTC"))
            writer.write_batch(batch({"id": ids, "at": at, "v": [f"{number}.{place}" for place in range(4)]}))
            # The second table changes its columns on the way.
            writer.write_batch(batch({"id": ids, "at": at, f"n{number // 2}": [number] * 4, "w": [str(number)] * 4}, PARTS))
            writer.write_rejects(rejects(records=[str(number).encode()]))
            writer.commit(str(number + 1).encode(), final=number + 1 == COMMITS)
    finally:
        writer.close()


if __name__ == "__main__":
    load(sys.argv[1], json.loads(sys.argv[2]))
