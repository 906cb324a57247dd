"""What a reader is told to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from dativo_protocols import Catalog, StreamId, frozen

ReplicationMethod: TypeAlias = Literal["FULL_TABLE", "INCREMENTAL", "LOG_BASED"]


@frozen
class Selection:
    """What to read of one stream.

    Attributes:
        fields: Properties to read, or None for all; keys and the cursor are always read.
        replication_method: None leaves the connector's own choice.
        replication_key: None leaves the connector's own choice.
    """

    fields: tuple[str, ...] | None = None
    replication_method: ReplicationMethod | None = None
    replication_key: str | None = None


@frozen
class ReadCatalog:
    """The discovered streams and which of them to read.

    Attributes:
        catalog: As discovered.
        selected: What to read; a stream that is not here is deselected.
        partition: One of what `Partitionable.partitions` gave, for a reader that is to read only this part; None reads all.
    """

    catalog: Catalog
    selected: Mapping[StreamId, Selection]
    partition: bytes | None = None
