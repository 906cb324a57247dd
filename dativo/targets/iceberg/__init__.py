"""The target `iceberg`: tables of one namespace of an Iceberg catalog; see `docs/iceberg.md`."""

from dativo.targets.iceberg._writer import IcebergWriter

__all__ = ["IcebergWriter"]
