"""What every engine offers, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol

from dativo_protocols import Catalog, ConnectionStatus, Message, Spec, StreamId, frozen
from dativo_sdk import ReadCatalog, ReplicationMethod, Selection

from dativo_engines._sandbox_options import SandboxOptions

__all__ = [
    "Connector",
    "ContainerOptions",
    "DecodeOptions",
    "Engine",
    "EngineOptions",
    "ImageRuntime",
    "Isolation",
    "ReadCatalog",
    "Reading",
    "ReplicationMethod",
    "Selection",
]

ImageRuntime = Literal["docker", "sandbox"]
Isolation = Literal["in_process", "process", "sandbox"]
"""Where a native reader runs: in this process, in one of its own, or in one that sees only what it declares."""


@frozen
class Connector:
    """Which program to run: an executable, a package's program, an image, a manifest, or a reader that engines run themselves.

    Attributes:
        reference: As the user wrote it, for messages: `singer:tap-jsonl==0.3.1`.
        executable: A program's name on PATH or its path; None takes the package's own.
        package: A requirement to install into an isolated environment, or None to use the executable as it is.
        arguments: Put before the protocol's own arguments.
        environment: Added to the clean environment the connector starts with.
        requirements: Further requirements, installed into the package's environment.
        image: A container image by name (`airbyte/source-faker:7.2.1`, also with `@sha256:…`), or the path of an OCI layout
            or of an archive that `docker save` wrote.
        manifest: A declarative source's YAML file.
        runtime: What runs an image: the Docker Engine, or Dativo's own sandbox.
        allow_custom_components: Whether a manifest may name Python classes of its own.
        reader: What a native reader is: `module:Class`, the path of a Python file and a class in it, the path of a shared
            library, or a name of the entry-point group `dativo.readers`. Of a connector over Arrow Flight its location, of an
            ADBC driver its name or path.
        isolation: Where a native reader runs; None runs those of Dativo's own distributions in this process, others in a sandbox.
    """

    reference: str
    executable: str | None = None
    package: str | None = None
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()
    image: str | None = None
    manifest: Path | None = None
    runtime: ImageRuntime = "docker"
    allow_custom_components: bool = False
    reader: str | None = None
    isolation: Isolation | None = None


@frozen
class ContainerOptions:
    """The limits of a container or sandbox.

    Attributes:
        memory_bytes: It is ended when it needs more; None for no limit.
        cpus: Processors it may use, also a fraction; None for no limit.
        pids: Processes and threads at once; None for no limit.
        network: `none`, `bridge`, `host`, or the name of a Docker network.
        platform: Of the image, `linux/arm64`; None takes this machine's.
        pull: Whether an image that is missing is pulled.
        tmp_bytes: Room for temporary files, which are kept in memory.
    """

    memory_bytes: int | None = 2 * 1024**3
    cpus: float | None = None
    pids: int | None = 1024
    network: str = "bridge"
    platform: str | None = None
    pull: bool = True
    tmp_bytes: int = 512 * 1024**2


@frozen
class DecodeOptions:
    """How records become Arrow cells; see `docs/types.md`.

    Attributes:
        on_bad_value: `quarantine`, `null` or `fail`.
        nested: `json` (JSON text, exact as sent) or `struct` for objects and arrays with a known shape.
        extra: `keep` properties outside the schema in `_dativo_extra`, or `drop` them.
        metadata: Columns beside those of the record: `_dativo_extracted_at`, and `_dativo_version` where records say one.
        fields: Per stream, the properties to keep; a stream that is missing keeps all.
        types: Per stream and column, an Arrow type by name that overrides the schema's, e.g. `decimal(38,10)`, `json`, `string`.
        max_record_bytes: A longer line fails the run.
        memory_budget_bytes: For everything the decoder holds.
        threads: Decoder threads; 0 chooses.
    """

    on_bad_value: Literal["quarantine", "null", "fail"] = "quarantine"
    nested: Literal["json", "struct"] = "json"
    extra: Literal["keep", "drop"] = "keep"
    metadata: frozenset[Literal["extracted_at", "version"]] = frozenset()
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    types: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    max_record_bytes: int = 128 * 1024 * 1024
    memory_budget_bytes: int = 96 * 1024 * 1024
    threads: int = 0


@frozen
class EngineOptions:
    """What the host decides for one run of a connector.

    Attributes:
        cache_dir: Where isolated environments live.
        decode: How records become Arrow cells.
        stall_timeout_seconds: A connector that says nothing for so long, neither data nor logs, is ended; 0 waits for ever.
        stop_timeout_seconds: From SIGTERM to SIGKILL.
        secrets: Values to mask in logs and errors.
        log: Called with level and line for what the connector logs, already masked; from any thread.
        tmp_dir: Where the run's private files are made; None takes `.dativo/tmp`, or the system's temporary place.
        container: Limits of an image's container or sandbox.
        sandbox: What a plugin declares, and its limits.
        sync_id: A number that grows from run to run of a job; all attempts of a run have the same.
        attempt: Which attempt of the run this is, from 1.
        on_config: Called with the whole new configuration when the connector replaces its own, as OAuth sources do: it is to be
            persisted at once, and handed to the next run. From another thread, as soon as it is read, whatever still waits to be
            iterated over; before the iteration ends. Of several that came at once, perhaps only with the last. What it raises,
            the end of the iteration raises.
        parallel: How many parts of what is to be read are read at a time, where the reader can be read in parts.
    """

    cache_dir: Path
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    stall_timeout_seconds: float = 600.0
    stop_timeout_seconds: float = 10.0
    secrets: tuple[str, ...] = ()
    log: Callable[[str, str], None] | None = None
    tmp_dir: Path | None = None
    container: ContainerOptions = field(default_factory=ContainerOptions)
    sandbox: SandboxOptions = field(default_factory=SandboxOptions)
    sync_id: int = 0
    attempt: int = 1
    on_config: Callable[[Mapping[str, Any]], None] | None = None
    parallel: int = 1


class Reading(Protocol):
    """A running connector: iterate over its messages, inside `with`.

    Iteration ends only when the connector ended well; a connector that failed raises `ConnectorError` after its last good
    message. Leaving the `with` block ends the connector and everything it started.
    """

    def __iter__(self) -> Iterator[Message]: ...
    def __enter__(self) -> Reading: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    @property
    def rows_in(self) -> Mapping[StreamId, int]:
        """Records received per stream, counted before they are decoded."""
        ...

    @property
    def bytes_in(self) -> int:
        """Bytes received on the connector's stdout."""
        ...


class Engine(Protocol):
    """Runs one connector. Found by the entry-point group `dativo.engines`."""

    def __init__(self, connector: Connector, options: EngineOptions) -> None: ...
    def spec(self) -> Spec: ...
    def check(self, config: Mapping[str, Any]) -> ConnectionStatus: ...

    def discover(self, config: Mapping[str, Any]) -> Catalog:
        """The streams on offer.

        Raises:
            ConnectorError: With `facts["unsupported"] == "discover"` when this connector cannot say: read it with `catalog=None`.
        """
        ...

    def read(self, config: Mapping[str, Any], catalog: ReadCatalog | None, state: bytes | None) -> Reading: ...
