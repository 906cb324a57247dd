"""The writer of Iceberg tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dativo_protocols import StreamId
from dativo_protocols.errors import ConfigError
from dativo_sdk import Inspection, JobKey
from pydantic import Field, field_validator, model_validator

from dativo.targets.iceberg._partitions import PartitionRule
from dativo.targets.lakehouse import LakehouseConfig, LakehouseWriter, LocalStorage, ObjectStorage, Storage, parse_config

if TYPE_CHECKING:
    from dativo.targets.iceberg._format import IcebergFormat

__all__ = ["IcebergConfig", "IcebergWriter"]

_SCHEMES = "://"


class IcebergConfig(LakehouseConfig):
    """The configuration of the target.

    Attributes:
        path: Where Dativo keeps its records: a directory, or a URL such as `s3://bucket/folder`. Without `catalog` a
            directory, which is the warehouse too, with an SQLite catalog in it.
        namespace: Of all tables; with parts, separated by `.`, in catalogs of the type `rest`.
        catalog: Properties of pyiceberg, with `type`: `rest`, `glue`, `hive`, `sql`, `dynamodb`; `name` is the catalog's name.
        properties: Of tables that are made, such as `write.parquet.compression-codec`.
        storage_options: For `path` in an object store: see `docs/object-stores.md`.
    """

    path: str | Path
    namespace: str = Field("default", pattern=r"^[^.\s]+(\.[^.\s]+)*$")
    catalog: dict[str, str] = Field(default_factory=dict, repr=False)
    properties: dict[str, str] = Field(default_factory=dict)
    storage_options: dict[str, Any] = Field(default_factory=dict, repr=False)

    @field_validator("path")
    @classmethod
    def _is_place(cls, path: str | Path) -> str | Path:
        if not str(path) or any(character in str(path) for character in "\0#?"):
            raise ValueError("name a directory or a URL, without `#` and `?`")
        return path

    @field_validator("partition_by")
    @classmethod
    def _are_partitions(cls, value: list[str] | dict[str, list[str]]) -> list[str] | dict[str, list[str]]:
        try:
            for text in value if isinstance(value, list) else [text for texts in value.values() for text in texts]:
                PartitionRule.parse(text)
        except ConfigError as error:
            raise ValueError(error.message) from error
        return value

    @model_validator(mode="after")
    def _has_a_catalog(self) -> IcebergConfig:
        if not self.catalog and _SCHEMES in str(self.path) and not str(self.path).startswith("file://"):
            raise ValueError("the embedded catalog needs a directory: name another one under `catalog`")
        if "." in self.namespace and self.catalog.get("type") != "rest":
            raise ValueError("namespaces in namespaces are for catalogs of the type `rest`")
        return self

    def partitions(self, stream: StreamId, columns: Mapping[str, str]) -> tuple[str, ...]:
        """See `LakehouseConfig.partitions`; partitions may be transforms."""
        named = self.partition_by
        by_stream = not isinstance(named, list)
        texts = named.get(str(stream), named.get(stream.name, [])) if isinstance(named, dict) else named
        found = []
        for rule in map(PartitionRule.parse, texts):
            column = columns.get(rule.column, rule.column)
            if column not in columns.values():
                if not by_stream:
                    return ()
                raise ConfigError(
                    f"stream `{stream}` has no column `{rule.column}` to partition by",
                    hint=f"columns: {', '.join(f'`{each}`' for each in columns)}",
                    facts={"stream": str(stream), "column": rule.column},
                )
            found.append(str(PartitionRule(column, rule.transform)))
        return tuple(found)


class IcebergWriter(LakehouseWriter):
    """A `Writer` of Iceberg tables."""

    def __init__(self) -> None:
        super().__init__()
        self._opened: list[IcebergFormat] = []

    def close(self) -> None:
        """Deletes what is staged, and frees the catalog; see `Writer.close`."""
        try:
            super().close()
        finally:
            self._free()

    def inspect(self, config: Mapping[str, Any], job: JobKey, streams: Sequence[StreamId]) -> Inspection:
        """What is there; see `Inspecting`."""
        try:
            return super().inspect(config, job, streams)
        finally:
            self._free()

    def _free(self) -> None:
        while self._opened:
            self._opened.pop().close()

    def _open(self, config: Mapping[str, Any]) -> tuple[IcebergFormat, LakehouseConfig]:
        parsed = parse_config(IcebergConfig, config)
        try:
            import pyiceberg  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                "the target `iceberg` needs the package `pyiceberg`", hint="pip install 'dativo[iceberg]'"
            ) from error
        from dativo.targets.iceberg._catalog import IcebergCatalog
        from dativo.targets.iceberg._format import IcebergFormat

        place = str(parsed.path)
        storage: Storage
        if _SCHEMES in place and not place.startswith("file://"):
            found = ObjectStorage(place, parsed.storage_options)
            place, storage = found.url, found
        else:
            if parsed.storage_options:
                raise ConfigError(
                    "`storage_options` are for object stores", hint="give `path` as a URL, such as `s3://bucket/folder`"
                )
            folder = Path(place.removeprefix("file://")).expanduser().absolute()
            place, storage = str(folder), LocalStorage(folder)
        catalog = IcebergCatalog(place, parsed.namespace, parsed.catalog)
        table_format = IcebergFormat(catalog, storage, parsed.properties)
        self._opened.append(table_format)
        return table_format, parsed
