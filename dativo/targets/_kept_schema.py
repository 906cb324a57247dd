"""Arrow schemas as the commit log keeps them: IPC bytes, named by their hash."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import pyarrow as pa

from dativo._evolution import evolve

REJECTS = pa.schema(
    [
        ("id", pa.utf8()),
        ("run_id", pa.utf8()),
        ("loaded_at", pa.timestamp("us", "UTC")),
        ("line", pa.int64()),
        ("column", pa.utf8()),
        ("reason", pa.utf8()),
        ("record", pa.binary()),
    ]
)
"""Every quarantine's columns; see `Replaying.read_rejects`."""


# No cache here: pyarrow's schemas are equal, and hash alike, whatever the metadata that marks JSON.
def pack_schema(schema: pa.Schema) -> tuple[str, bytes]:
    """The schema's id, and the bytes to keep."""
    payload = schema.serialize().to_pybytes()
    return hashlib.sha256(payload).hexdigest()[:16], payload


@lru_cache(maxsize=2048)
def load_schema(payload: bytes) -> pa.Schema:
    """The inverse; JSON text comes as marked utf8, where pyarrow makes its own type of it."""
    return evolve(pa.ipc.read_schema(pa.py_buffer(payload)), pa.schema([])).schema
