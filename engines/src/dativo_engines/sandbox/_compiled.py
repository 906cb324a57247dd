"""Modules that are programs, as Python starts them in the least time."""

from __future__ import annotations

import functools
import importlib.util
import marshal
from importlib.abc import InspectLoader
from types import ModuleType


@functools.cache
def compiled(module: ModuleType) -> bytes:
    """The module as a `.pyc` file to be run as a program: a source that is run is compiled each time."""
    spec = module.__spec__
    if spec is None or not isinstance(spec.loader, InspectLoader):
        raise ImportError(f"no code of `{module.__name__}`")
    code = spec.loader.get_code(module.__name__)
    return importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code)
