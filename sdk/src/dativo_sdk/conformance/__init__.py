"""What every reader and every writer must do, ours or a user's. Needs no test framework.

`pip install 'dativo-plugin-sdk[conformance]'` brings what it needs. A reader is described by a `ReaderCase`, a writer by a
`WriterCase`. With pytest that is all:

```python
class TestMine(ReaderSuite):
    reader = Mine
    config = {"path": "orders.csv"}
```

Without it: `for check in READER_CHECKS: run_reader_check(check, MyCase(), Path(tempfile.mkdtemp()))`; for writers `CHECKS` and
`run_check`.

A module of this package is one subject of writers, one of `readers` one of readers: functions that take a `Bench` or a
`ReaderBench` and are marked with `@check(...)` or `@reader_check(...)`. One more module is a file beside the others and its
name in the import below; its checks then belong to `CHECKS` or `READER_CHECKS`, in the order of their definition.
"""

from dativo_sdk.conformance import (  # noqa: F401
    deletes,
    evolution,
    history,
    inspection,
    model,
    modes,
    names,
    quarantine,
    recovery,
    replay,
    types,
    versions,
)
from dativo_sdk.conformance._bench import Bench
from dativo_sdk.conformance._case import WriterCase
from dativo_sdk.conformance._check import CHECKS, Check, CheckSkipped, check, run_check
from dativo_sdk.conformance._data import JOB, ORDERS, batch, decimals, json_field, rejects
from dativo_sdk.conformance._expect import refused, same
from dativo_sdk.conformance._suite import ReaderSuite, WriterSuite
from dativo_sdk.conformance.readers import (
    READER_CHECKS,
    ReaderBench,
    ReaderCase,
    ReaderCheck,
    reader_check,
    run_reader_check,
)
from dativo_sdk.conformance.types import EVERY_TYPE

__all__ = [
    "CHECKS",
    "EVERY_TYPE",
    "JOB",
    "ORDERS",
    "READER_CHECKS",
    "Bench",
    "Check",
    "CheckSkipped",
    "ReaderBench",
    "ReaderCase",
    "ReaderCheck",
    "ReaderSuite",
    "WriterCase",
    "WriterSuite",
    "batch",
    "check",
    "decimals",
    "json_field",
    "reader_check",
    "refused",
    "rejects",
    "run_check",
    "run_reader_check",
    "same",
]
