"""The reader contract: five methods, called from one thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from dativo_protocols import Batch, Catalog, State


class Reader(Protocol):
    """A source in the same process. The caller calls, always from the same thread:

    `initialize` once; `get_schema` any time after; `read_batch` until it returns None; `get_incremental_state` after any
    batch; `close` once, however the run ends. Errors are `ConfigError` and `ConnectorError`.
    """

    def initialize(self, config: Mapping[str, Any], catalog: Catalog | None, state: bytes | None) -> None:
        """Opens the source at `state`, or at its beginning."""
        ...

    def get_schema(self) -> Catalog:
        """The streams this reader offers."""
        ...

    def read_batch(self, max_rows: int) -> Batch | None:
        """The next rows, at most `max_rows`, or None at the end."""
        ...

    def get_incremental_state(self) -> State:
        """The state that covers all batches returned so far."""
        ...

    def close(self) -> None:
        """Frees everything. May be called twice."""
        ...
