"""What can be configured of every lakehouse target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from dativo_protocols import StreamId
from dativo_protocols.errors import ConfigError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["LakehouseConfig", "parse_config"]


class LakehouseConfig(BaseModel):
    """Options that formats share; a format's own class adds to them.

    Attributes:
        partition_by: Table columns; for every stream that has them all, or by stream.
        file_size_bytes: A data file that has grown to this size is finished, and the next one begun.
        merge_memory: DuckDB's limit while it works out a merge, such as `256MB`; it spills what does not fit.
        merge_threads: Its threads.
        temporary: A directory for what a merge spills; the system's own without it.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    partition_by: list[str] | dict[str, list[str]] = Field(default_factory=list)
    file_size_bytes: int = Field(128 << 20, ge=1)
    merge_memory: str = Field("128MB", pattern=r"^\s*\d+(\.\d+)?\s*([KMGT]i?B)\s*$")
    merge_threads: int = Field(2, ge=1)
    temporary: str | None = None

    def partitions(self, stream: StreamId, columns: Mapping[str, str]) -> tuple[str, ...]:
        """The table columns that a new table of the stream is partitioned by.

        Args:
            columns: Original to table column names.

        Raises:
            ConfigError: The stream lacks a column that was asked for it by name.
        """
        if isinstance(self.partition_by, list):
            wanted = [columns.get(name, name) for name in self.partition_by]
            return tuple(wanted) if wanted and set(wanted) < set(columns.values()) else ()
        named = self.partition_by.get(str(stream), self.partition_by.get(stream.name, []))
        wanted = [columns.get(name, name) for name in named]
        for name in wanted:
            if name not in columns.values():
                raise ConfigError(
                    f"stream `{stream}` has no column `{name}` to partition by",
                    hint=f"columns: {', '.join(f'`{each}`' for each in columns)}",
                    facts={"stream": str(stream), "column": name},
                )
        if wanted and set(wanted) == set(columns.values()):
            raise ConfigError(f"stream `{stream}` cannot be partitioned by all its columns", facts={"stream": str(stream)})
        return tuple(wanted)


_Config = TypeVar("_Config", bound=BaseModel)


def parse_config(model: type[_Config], config: Mapping[str, Any]) -> _Config:
    """The checked configuration.

    Raises:
        ConfigError: An unknown key, or a value that cannot be; facts: `key`.
    """
    try:
        return model(**config)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = str(first["loc"][0]) if first["loc"] else "path"
        valid = ", ".join(f"`{field.alias or name}`" for name, field in model.model_fields.items())
        facts = {"key": key}
        if first["type"] == "extra_forbidden":
            unknown = f"unknown key `{key}` in the target's configuration"
            raise ConfigError(unknown, hint=f"valid keys: {valid}", facts=facts) from error
        if first["type"] == "missing":
            raise ConfigError(f"the target's configuration needs `{key}`", hint=f"keys: {valid}", facts=facts) from error
        message = first["msg"].removeprefix("Value error, ")
        told = f"`{key}` in the target's configuration is wrong: {message[:1].lower()}{message[1:]}"
        raise ConfigError(told, facts=facts) from error
