"""What the kit has to be told about a reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dativo_sdk.testing import target_of

__all__ = ["ReaderCase"]


class ReaderCase:
    """One reader under test, and a configuration with which it has some rows to give: more than `max_rows`, less than a million.

    Attributes:
        reader: Its class; of a shared library `dativo_sdk.library.load_library(path)`.
        config: A configuration that works.
        bad_configs: Some that do not: the reader must refuse each.
        max_rows: How many are asked for at a time, where it does not matter otherwise.
        is_stable: Whether the source gives the same rows in the same order each time.
        powers: Optional protocols that the reader must have, such as `Partitionable`. Checks of others are run if it has them.
        skips: Checks that do not apply to this reader, by name, and why.
    """

    reader: type[Any]
    config: Mapping[str, Any] = {}
    bad_configs: Sequence[Mapping[str, Any]] = ()
    max_rows: int = 3
    is_stable: bool = True
    powers: frozenset[type] = frozenset()
    skips: Mapping[str, str] = {}

    def make(self, path: Path) -> tuple[type[Any], Mapping[str, Any]]:
        """The class and a configuration that works; for one that needs files, an empty directory to put them."""
        return self.reader, self.config

    def program(self) -> str | Sequence[str] | None:
        """The reader as a program: a `TARGET` of `python -m dativo_sdk.program`, or a command; None skips what needs one."""
        return target_of(self.reader)
