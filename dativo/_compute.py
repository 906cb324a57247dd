"""pyarrow's compute functions, loaded with the first that is used: their module makes all of them when it is imported."""

from __future__ import annotations

from typing import Any

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    import pyarrow.compute

    return getattr(pyarrow.compute, name)
