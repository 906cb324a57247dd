"""The reader contract: five methods, called from one thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from dativo_protocols import Batch, Catalog, ConnectionStatus, Estimate, Rejects, State, frozen

from dativo_sdk._read_catalog import ReadCatalog
from dativo_sdk._saved_state import SavedState

Piece: TypeAlias = Batch | Rejects
"""What `Reader.read_batch` gives: rows, or rows that could not be read as rows of their stream and are not to be lost."""


class Reader(Protocol):
    """A source. The host calls, always from the same thread:

    `initialize` once; `get_schema` any time after, before the first batch; then `read_batch` until it returns None, and after
    each batch `get_incremental_state`; `close` once, however the run ends, also after an error. A new object is made for
    each use: to ask for the streams, to check, to read. Any method may block.

    Errors: `ConfigError` (the configuration is wrong: exit code 2), `ConnectorError` (the source failed: 10, or 75 with
    `retryable`). Whatever else is raised counts as a `ConnectorError` too, with its traceback in the log.

    Class attributes, all optional: `name`, `version` (text), `__api_version__` (of this SDK, see `API_VERSION`), `Config` (a
    pydantic model: its JSON Schema is the spec), `releases_gil` (whether `read_batch` does its work without the GIL).
    """

    def initialize(self, config: Any, catalog: ReadCatalog | None, state: SavedState | None) -> None:
        """Opens the source.

        Args:
            config: An instance of `Config` where the class has one, else the mapping that the user wrote.
            catalog: What to read, or None to read everything (or nothing: only `get_schema` may follow).
            state: To go on from, or None to begin at the beginning.
        """
        ...

    def get_schema(self) -> Catalog:
        """The streams this reader offers, selected or not; `CatalogStream.data` may say their exact Arrow schema."""
        ...

    def read_batch(self, max_rows: int) -> Piece | None:
        """The next rows, at most `max_rows` of one stream, or None at the end.

        Args:
            max_rows: An upper limit; a reader does well to stay below 8 MiB a batch.

        Returns:
            A `Batch` whose schema may differ from the batch before: the host tells the target. Rows of streams that are not
            selected are an error.
        """
        ...

    def get_incremental_state(self) -> State | None:
        """The state that covers all batches returned so far, or None where there is none that does.

        A state with a `stream` replaces that stream's state, and must be of the stream of the last batch; one without replaces
        the shared one. What is committed is always a state and exactly the rows before it; a run that is repeated starts with the
        committed state and must go on behind those rows, or (with a key and `merge`) before them.
        """
        ...

    def close(self) -> None:
        """Frees everything. May be called twice, also without `initialize`."""
        ...


@runtime_checkable
class Checkable(Protocol):
    """Optional: says whether the configuration works, beyond what `initialize` and `get_schema` find out."""

    def check(self) -> ConnectionStatus:
        """Called after `initialize`, in place of `get_schema`."""
        ...


@frozen
class Partition:
    """A part of what is to be read.

    Attributes:
        token: Handed to another reader of the same class as `ReadCatalog.partition`; it may run in another process.
        state: Covers this part and all parts before it; None where none does.
    """

    token: bytes
    state: State | None = None


@runtime_checkable
class Partitionable(Protocol):
    """Optional: several readers can share the work."""

    def partitions(self, count: int, target_bytes: int) -> Sequence[Partition]:
        """Parts that together are all there is to read, in the order in which their rows are to come; none to read it whole.

        Called after `initialize` with a catalog and a state, on a reader that is not asked to read and stays open until all parts
        were read: what it holds, such as a snapshot, the others may use. Of the readers of the parts no state is asked.

        Args:
            count: How many are read at a time. Parts of one size that are a multiple of it end at the same time.
            target_bytes: About how large a part should be as Arrow data: one that waits for its turn is kept in memory.
        """
        ...


@runtime_checkable
class Estimating(Protocol):
    """Optional: knows about how much there is to read."""

    def estimates(self) -> Sequence[Estimate]:
        """Called once, after `initialize` with a catalog."""
        ...
