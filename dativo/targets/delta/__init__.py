"""The target `delta`: Delta tables below one path, local or in an object store; see `docs/delta.md`."""

from dativo.targets.delta._writer import DeltaWriter

__all__ = ["DeltaWriter"]
