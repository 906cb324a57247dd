"""The writer of Delta tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dativo_protocols.errors import ConfigError
from pydantic import Field, field_validator

from dativo.targets.lakehouse import LakehouseConfig, LakehouseWriter, LocalStorage, ObjectStorage, Storage, parse_config

__all__ = ["DeltaConfig", "DeltaWriter"]


class DeltaConfig(LakehouseConfig):
    """The configuration of the target.

    Attributes:
        path: A directory or a URL such as `s3://bucket/folder`: each table is a folder in it.
        storage_options: For object stores, as `deltalake` takes them.
        checkpoint_every: After so many versions of a table its log gets a checkpoint.
    """

    path: str | Path
    storage_options: dict[str, str] = Field(default_factory=dict, repr=False)
    checkpoint_every: int = Field(20, ge=1)

    @field_validator("path")
    @classmethod
    def _is_place(cls, path: str | Path) -> str | Path:
        if not str(path) or "\0" in str(path):
            raise ValueError("name a directory or a URL")
        return path


class DeltaWriter(LakehouseWriter):
    """A `Writer` of Delta tables."""

    def _open(self, config: Mapping[str, Any]) -> tuple[Any, LakehouseConfig]:
        parsed = parse_config(DeltaConfig, config)
        try:
            import deltalake  # noqa: F401
        except ImportError as error:
            raise ConfigError("the target `delta` needs the package `deltalake`", hint="pip install 'dativo[delta]'") from error
        from dativo.targets.delta._format import DeltaFormat

        text = str(parsed.path)
        storage: Storage
        if "://" in text and not text.startswith("file://"):
            uri = text.rstrip("/")
            storage = ObjectStorage(uri, parsed.storage_options)
        else:
            place = Path(text.removeprefix("file://")).expanduser().absolute()
            uri, storage = str(place), LocalStorage(place)
        return DeltaFormat(uri, storage, parsed.storage_options, parsed.checkpoint_every), parsed
