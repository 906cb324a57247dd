"""The writer of Delta tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dativo_protocols.errors import ConfigError
from pydantic import Field, field_validator

from dativo.objectstore import Place, read_place
from dativo.targets.lakehouse import LakehouseConfig, LakehouseWriter, LocalStorage, ObjectStorage, Storage, parse_config

__all__ = ["DeltaConfig", "DeltaWriter"]


class DeltaConfig(LakehouseConfig):
    """The configuration of the target.

    Attributes:
        path: A directory or a URL such as `s3://bucket/folder`: each table is a folder in it.
        storage_options: For object stores: see `docs/object-stores.md`.
        checkpoint_every: After so many versions of a table its log gets a checkpoint.
    """

    path: str | Path
    storage_options: dict[str, Any] = Field(default_factory=dict, repr=False)
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
        if "://" in text and not text.startswith("file://"):
            place = read_place(text, parsed.storage_options)
            storage: Storage = ObjectStorage(text, parsed.storage_options)
            return DeltaFormat(place.url, storage, _options(place), parsed.checkpoint_every), parsed
        if parsed.storage_options:
            raise ConfigError(
                "`storage_options` are for object stores", hint="give `path` as a URL, such as `s3://bucket/folder`"
            )
        folder = Path(text.removeprefix("file://")).expanduser().absolute()
        return DeltaFormat(str(folder), LocalStorage(folder), {}, parsed.checkpoint_every), parsed


def _options(place: Place) -> dict[str, str]:
    """What `deltalake` needs to read the same place: the same store underneath, with all values as text."""
    named = {key: value for key, value in place.store.items() if value is not None}
    for key in ("allow_http", "proxy_url", "max_retries"):
        if key in place.client:
            named[key] = place.client[key]
    for key in ("timeout", "connect_timeout", "retry_timeout"):
        if f"{key}_seconds" in place.client:
            named[key] = f"{place.client[f'{key}_seconds']}s"
    if place.service == "s3":
        named.setdefault("region", "us-east-1")
        named["conditional_put"] = "etag"
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in named.items()}
