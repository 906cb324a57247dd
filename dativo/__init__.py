"""Dativo moves data from any connector into Arrow-fast targets: nothing lost, nothing doubled.

What is named here is loaded when it is first used, so that `import dativo` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module

# Not from `typing`, whose import alone takes half of what this package may cost; type checkers know the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dativo_protocols.errors import (
        ConfigError,
        ConnectorError,
        ContractError,
        DativoError,
        SandboxError,
        StateError,
        TargetError,
    )

    from dativo._dataset import dataset
    from dativo._progress import Progress
    from dativo._report import Report, StreamReport
    from dativo._run import run
    from dativo._source import Source, StreamReader, source

__version__ = "0.1.0"

__all__ = [
    "ConfigError",
    "ConnectorError",
    "ContractError",
    "DativoError",
    "Progress",
    "Report",
    "SandboxError",
    "Source",
    "StateError",
    "StreamReader",
    "StreamReport",
    "TargetError",
    "dataset",
    "run",
    "source",
]

_HOME = {
    "Progress": "dativo._progress",
    "Report": "dativo._report",
    "Source": "dativo._source",
    "StreamReader": "dativo._source",
    "StreamReport": "dativo._report",
    "dataset": "dativo._dataset",
    "run": "dativo._run",
    "source": "dativo._source",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module `dativo` has no attribute `{name}`")
    value = getattr(import_module(_HOME.get(name, "dativo_protocols.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
