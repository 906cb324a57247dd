"""What a plugin may import: the contracts of readers and writers, the messages, the errors."""

from dativo_sdk._api_version import API_VERSION, compatible, deprecated, since
from dativo_sdk._capabilities import Capabilities, capabilities
from dativo_sdk._read_catalog import ReadCatalog, ReplicationMethod, Selection
from dativo_sdk._reader import Checkable, Estimating, Partition, Partitionable, Piece, Reader
from dativo_sdk._saved_state import SavedState
from dativo_sdk._writer import (
    ConfiguredStream,
    Counting,
    DeleteMode,
    Inspecting,
    Inspection,
    JobKey,
    Naming,
    Quarantining,
    Receipt,
    Refusal,
    Replaying,
    SchemaChange,
    TableInfo,
    Versioning,
    WriteCatalog,
    WriteMode,
    Writer,
)

__all__ = [
    "API_VERSION",
    "Capabilities",
    "Checkable",
    "ConfiguredStream",
    "Counting",
    "DeleteMode",
    "Estimating",
    "Inspecting",
    "Inspection",
    "JobKey",
    "Naming",
    "Partition",
    "Partitionable",
    "Piece",
    "Quarantining",
    "ReadCatalog",
    "Reader",
    "Receipt",
    "Refusal",
    "Replaying",
    "ReplicationMethod",
    "SavedState",
    "SchemaChange",
    "Selection",
    "TableInfo",
    "Versioning",
    "WriteCatalog",
    "WriteMode",
    "Writer",
    "capabilities",
    "compatible",
    "deprecated",
    "since",
]
