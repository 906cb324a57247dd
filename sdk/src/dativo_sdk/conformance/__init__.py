"""What every writer must do, ours or a user's. Needs no test framework: `pip install 'dativo-plugin-sdk[conformance]'`.

A writer is described by a `WriterCase`. With pytest:

```python
@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conformance(check, tmp_path): run_check(check, MyCase(), tmp_path)
```

A module of this package is one subject: functions that take a `Bench` and are marked with `@check(...)`. One more module is a
file beside the others and its name in the import below; its checks then belong to `CHECKS`, in the order of their definition.
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
from dativo_sdk.conformance.types import EVERY_TYPE

__all__ = [
    "CHECKS",
    "EVERY_TYPE",
    "JOB",
    "ORDERS",
    "Bench",
    "Check",
    "CheckSkipped",
    "WriterCase",
    "batch",
    "check",
    "decimals",
    "json_field",
    "refused",
    "rejects",
    "run_check",
    "same",
]
