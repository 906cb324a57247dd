"""What a plugin may import: the contracts of readers and writers, the messages, the errors."""

from dativo_sdk._reader import Reader
from dativo_sdk._writer import (
    ConfiguredStream,
    JobKey,
    Quarantining,
    Receipt,
    SchemaChange,
    WriteCatalog,
    WriteMode,
    Writer,
)

API_VERSION = "0.1"

__all__ = [
    "API_VERSION",
    "ConfiguredStream",
    "JobKey",
    "Quarantining",
    "Reader",
    "Receipt",
    "SchemaChange",
    "WriteCatalog",
    "WriteMode",
    "Writer",
]
