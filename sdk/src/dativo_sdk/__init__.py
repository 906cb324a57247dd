"""What a plugin may import: the contracts of readers and writers, the messages, the errors."""

from dativo_sdk._reader import Reader
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
    Replaying,
    SchemaChange,
    TableInfo,
    Versioning,
    WriteCatalog,
    WriteMode,
    Writer,
)

API_VERSION = "0.1"

__all__ = [
    "API_VERSION",
    "ConfiguredStream",
    "Counting",
    "DeleteMode",
    "Inspecting",
    "Inspection",
    "JobKey",
    "Naming",
    "Quarantining",
    "Reader",
    "Receipt",
    "Replaying",
    "SchemaChange",
    "TableInfo",
    "Versioning",
    "WriteCatalog",
    "WriteMode",
    "Writer",
]
