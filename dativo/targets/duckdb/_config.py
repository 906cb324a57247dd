"""What a job can configure, checked before DuckDB is imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from dativo_protocols.errors import ConfigError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

__all__ = ["DuckDBConfig"]


class DuckDBConfig(BaseModel):
    """The configuration of the target.

    Attributes:
        path: The database file; it and its directories are made when they are not there.
        schema_name: Where tables and Dativo's own tables are; key `schema`.
        memory_limit: DuckDB's own limit, such as `512MB`. Without it 64 MB, and more once tables of very many columns come.
        threads: DuckDB's threads. One writes the smallest files with the least work; more speed up merges into large tables.
        compression: `fast` leaves out the string compression that costs half of the load's processor time.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    path: str | Path
    schema_name: str = Field("main", alias="schema", min_length=1)
    memory_limit: str | None = Field(None, pattern=r"^\s*\d+(\.\d+)?\s*([KMGT]i?B)\s*$")
    threads: int = Field(1, ge=1)
    compression: Literal["auto", "fast"] = "auto"

    @field_validator("path")
    @classmethod
    def _is_file(cls, path: str | Path) -> str | Path:
        if not str(path) or str(path).startswith(":") or "\0" in str(path):
            raise ValueError("name a file; a database in memory keeps nothing")
        return path

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> DuckDBConfig:
        """The checked configuration.

        Raises:
            ConfigError: An unknown key, or a value that cannot be; facts: `key`.
        """
        try:
            return cls(**config)
        except ValidationError as error:
            raise _explained(error) from error


def _explained(error: ValidationError) -> ConfigError:
    first = error.errors(include_url=False, include_context=False)[0]
    key = str(first["loc"][0]) if first["loc"] else "path"
    valid = ", ".join(f"`{field.alias or name}`" for name, field in DuckDBConfig.model_fields.items())
    if first["type"] == "extra_forbidden":
        return ConfigError(f"unknown key `{key}` in the target's configuration", hint=f"valid keys: {valid}", facts={"key": key})
    if first["type"] == "missing":
        return ConfigError(f"the target's configuration needs `{key}`", hint="name the database file", facts={"key": key})
    message = first["msg"].removeprefix("Value error, ")
    return ConfigError(f"`{key}` in the target's configuration is wrong: {message[:1].lower()}{message[1:]}", facts={"key": key})
