"""Readers and writers of one's own: Python classes and shared libraries, here, in a process of their own, or in a sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dativo_engines.native._engine import NativeEngine
from dativo_engines.native._plugin import code_of, is_own, manifest_of

if TYPE_CHECKING:
    from dativo_engines.native._writer import open_writer

__all__ = ["NativeEngine", "code_of", "is_own", "manifest_of", "open_writer"]


def __getattr__(name: str) -> Any:
    if name != "open_writer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # It brings the engines for programs along, which neither a reader in this process nor a target of Dativo's own needs.
    from dativo_engines.native._writer import open_writer

    return open_writer
