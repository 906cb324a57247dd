"""What the kit has to be told about a writer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from dativo_sdk import Writer

__all__ = ["WriterCase"]


class WriterCase(ABC):
    """One writer under test: subclass it, and say how it is made and how others read what it has written.

    Attributes:
        modes: Write modes to check, or None for those in the writer's class attribute `write_modes`.
        powers: Optional protocols that the writer must have, such as `Quarantining`. Checks of others are run if it has them.
        skips: Checks that do not apply to this writer, by name, and why.
    """

    modes: frozenset[str] | None = None
    powers: frozenset[type] = frozenset()
    skips: Mapping[str, str] = {}

    @abstractmethod
    def make(self, path: Path) -> tuple[Writer, dict[str, Any]]:
        """A new writer, not initialized, and its configuration: for the same directory the same place each time."""

    @abstractmethod
    def read_table(self, config: Mapping[str, Any], table: str) -> pa.Table | None:
        """Committed rows of a table as somebody else sees them, or None when there is no such table.

        Called between runs, and while a writer of the same place is open where `can_read_while_open` says so.
        """

    def can_read_while_open(self) -> bool:
        """Whether `read_table` works while a run holds the target; false for those that lock what they write."""
        return True
