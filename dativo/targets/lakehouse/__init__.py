"""What table formats have in common: several tables in one commit, names, modes, quarantines, recovery. Protocol:
`docs/delta.md`."""

from dativo.targets.lakehouse._config import LakehouseConfig, parse_config
from dativo.targets.lakehouse._files import read_parquet
from dativo.targets.lakehouse._format import DataFile, Format, Mark, Snapshot, TableCommit
from dativo.targets.lakehouse._storage import Input, LocalStorage, ObjectStorage, Output, Storage
from dativo.targets.lakehouse._writer import LakehouseWriter

__all__ = [
    "DataFile",
    "Format",
    "Input",
    "LakehouseConfig",
    "LakehouseWriter",
    "LocalStorage",
    "Mark",
    "ObjectStorage",
    "Output",
    "Snapshot",
    "Storage",
    "TableCommit",
    "parse_config",
    "read_parquet",
]
