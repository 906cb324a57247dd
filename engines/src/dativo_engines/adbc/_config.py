"""What a database is read with."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Selected(Model):
    """How a table or a query is read."""

    cursor: str | None = None
    """The column by which it is read on: rows never get a smaller value in it than those that were there before."""
    primary_key: list[str] = Field(default_factory=list)
    """Columns that identify a row. Where there is one, rows at the cursor's last value are read again, so that none is missed."""


class Table(Selected):
    """A table or view."""

    columns: list[str] | None = None
    """Left out, all of them."""


class Query(Selected):
    """A query, which gives a stream."""

    sql: str
    """A SELECT; with a cursor it becomes a subquery."""


class AdbcConfig(Model):
    """An ADBC driver, a database, and what to read of it."""

    driver: str = ""
    """An installed package (`postgresql` for `adbc_driver_postgresql`), or the path of a shared library."""
    entrypoint: str | None = None
    """The driver's own name for its first function, where it is not the usual one."""
    uri: str | None = Field(None, json_schema_extra={"airbyte_secret": True})
    """Where the database is, as the driver wants it."""
    options: dict[str, str] = Field(default_factory=dict, json_schema_extra={"airbyte_secret": True})
    """Further options of the database, by the driver's names."""
    schemas: list[str] | None = None
    """Only tables of these database schemas are offered; left out, all but those of the database itself."""
    tables: dict[str, Table] | None = None
    """Tables by name (`orders`, `sales.orders`), or a list of names; left out, all tables where there are no queries either."""
    queries: dict[str, Query] = Field(default_factory=dict)
    """Queries by the name of their stream."""
    placeholder: str | None = None
    """How the driver wants a parameter to be written: `?`, or `$1`, which is that of PostgreSQL."""
    batch_bytes: int = Field(8 << 20, gt=0)
    """About how large the driver is to make its batches, where it can be told."""

    @field_validator("tables", mode="before")
    @classmethod
    def _names_are_keys(cls, value: object) -> object:
        return {str(name): {} for name in value} if isinstance(value, list) else value

    @field_validator("queries", mode="before")
    @classmethod
    def _text_is_a_query(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {name: {"sql": each} if isinstance(each, str) else each for name, each in value.items()}
