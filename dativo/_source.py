"""`dativo.source`: a connector's streams as Arrow streams, without a target."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from dativo_protocols import Catalog, ConnectionStatus, Spec

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Source", "StreamReader", "source"]


def source(
    connector: str,
    config: Mapping[str, Any] | str | Path | None = None,
    *,
    streams: Mapping[str, Mapping[str, Any]] | Sequence[str] | None = None,
    state: bytes | Mapping[str, Any] | None = None,
    types: Mapping[str, Mapping[str, str]] | None = None,
    catalog: str | Path | None = None,
    discover: bool = True,
    nested: Literal["json", "struct"] = "json",
    memory: int | str = "512MiB",
    stall_seconds: float = 600.0,
    project: str | Path | None = None,
    cache_dir: str | Path | None = None,
    log: Callable[[str, str], None] | None = None,
) -> Source:
    """A connector with its configuration.

    Args:
        connector: A reference (`singer:tap-x`, `singer:/path/tap`, `singer:tap-x==1.2.3`), or a recipe's name or path.
        config: Its configuration, or the path of a JSON or YAML file; `${ENV}` is substituted.
        streams: What `Source.streams` lists and how each is read, as in a job's `source.streams`; None means all.
        state: Where incremental streams start.
        types: Per stream and column, an Arrow type by name, as in a job.
        catalog: A catalog file to use in place of discovery.
        discover: False runs a connector that has no discovery, without a catalog.
        nested: Objects and arrays as JSON text, or as structs and lists where their shape is known.
        memory: Budget of the whole process, in bytes or as `512MiB`.
        stall_seconds: A connector that says nothing for so long is ended; 0 waits for ever.
        project: The folder whose `connectors/` is searched first; the current one by default.
        cache_dir: Where isolated environments live.
        log: Called with level and line, secrets masked; from any thread.

    Raises:
        ConfigError: The reference, the configuration or an option is wrong.
    """
    raise NotImplementedError


class Source:
    """A configured connector. Nothing runs before it is asked something; each question runs the connector once."""

    def spec(self) -> Spec:
        """What it can be configured with."""
        raise NotImplementedError

    def check(self) -> ConnectionStatus:
        """Whether the configuration works."""
        raise NotImplementedError

    def discover(self) -> Catalog:
        """What it offers; asked once, then remembered."""
        raise NotImplementedError

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams that can be read."""
        raise NotImplementedError

    def read(
        self,
        stream: str,
        *,
        limit: int | None = None,
        fields: Sequence[str] | None = None,
        state: bytes | Mapping[str, Any] | None = None,
        on_bad_value: Literal["fail", "null", "quarantine"] = "fail",
        on_reject: Callable[[pa.RecordBatch], None] | None = None,
        extra: Literal["fail", "keep", "drop"] = "fail",
    ) -> StreamReader:
        """One stream.

        Args:
            limit: End the connector after so many rows.
            fields: Properties to read; None reads all.
            state: In place of the source's own.
            on_bad_value: A value that does not fit its column: raise, null it (adds the column `_dativo_changes`), or hand its
                row to `on_reject`.
            on_reject: Called with batches of rejected rows (`line`, `column`, `reason`, `record`).
            extra: A property that the schema does not name: raise, keep it (adds the column `_dativo_extra`), or drop it.
        """
        raise NotImplementedError


class StreamReader:
    """A stream of Arrow batches. pyarrow, polars and DuckDB take it as it is; memory stays bounded."""

    @property
    def schema(self) -> pa.Schema:
        """The columns; starts the connector and waits for the stream's schema."""
        raise NotImplementedError

    @property
    def state(self) -> bytes | None:
        """The newest state that covers only rows already handed out."""
        raise NotImplementedError

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        raise NotImplementedError

    def batches(self) -> Iterator[pa.RecordBatch]:
        raise NotImplementedError

    def to_arrow(self) -> pa.Table:
        raise NotImplementedError

    def close(self) -> None:
        """Ends the connector. May be called twice."""
        raise NotImplementedError

    def __enter__(self) -> StreamReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
