"""A database behind an ADBC driver: connecting, its tables, its errors."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dativo_protocols import ConfigError, ConnectorError, frozen

from dativo_engines.adbc._config import AdbcConfig

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_KINDS = ("table", "view", "base table", "materialized view", "partitioned table", "foreign table")
SYSTEM = ("information_schema", "pg_catalog", "pg_toast", "sys", "mysql", "performance_schema")
# By what a status means for whoever runs it.
TEMPORARY = ("IO", "TIMEOUT", "CANCELLED", "UNKNOWN")
WRONG = ("INVALID_ARGUMENT", "NOT_FOUND", "UNAUTHENTICATED", "UNAUTHORIZED", "NOT_IMPLEMENTED")


@frozen
class TableName:
    """Where a table is: `namespace` is its database schema, or None for the one that needs no name."""

    name: str
    namespace: str | None = None

    @property
    def sql(self) -> str:
        """Quoted."""
        return quoted(self.name) if self.namespace is None else f"{quoted(self.namespace)}.{quoted(self.name)}"


class Database:
    """A connection.

    Raises:
        ConfigError: There is no such driver, or it refuses its options.
        ConnectorError: The database cannot be reached.
    """

    def __init__(self, config: AdbcConfig) -> None:
        try:
            from adbc_driver_manager import dbapi
        except ImportError as error:
            raise ConfigError(
                "an ADBC driver needs `adbc-driver-manager`, which is not installed", hint="pip install 'dativo-engines[adbc]'"
            ) from error
        driver, entrypoint = find_driver(config)
        options = dict(config.options) if config.uri is None else {"uri": config.uri, **config.options}
        with failures("cannot connect"):
            self._connection = dbapi.connect(driver=driver, entrypoint=entrypoint, db_kwargs=options, autocommit=True)
        self.driver = driver
        self._config = config

    @property
    def placeholder(self) -> str:
        """How a parameter is written."""
        return self._config.placeholder or ("$1" if "postgres" in self.driver else "?")

    def tables(self) -> list[TableName]:
        """All tables and views, but for those of the database itself."""
        with failures("cannot list the tables"):
            found = self._connection.adbc_get_objects(depth="tables").read_all().to_pylist()
        current = self._current_schema()
        schemas = [schema for catalog in found for schema in catalog["catalog_db_schemas"] or ()]
        names = [
            TableName(table["table_name"], None if schema["db_schema_name"] in (current, "") else schema["db_schema_name"])
            for schema in schemas
            if self._offers(schema["db_schema_name"] or None)
            for table in schema["db_schema_tables"] or ()
            if table["table_type"].lower() in TABLE_KINDS
        ]
        return sorted(dict.fromkeys(names), key=lambda table: (table.namespace or "", table.name))

    def schema_of(self, query: str) -> pa.Schema:
        """The columns that a query gives."""
        with self.execute(f"SELECT * FROM ({query}) AS q WHERE 1 = 0") as reader:
            return reader.schema

    def primary_key(self, table: TableName) -> tuple[str, ...]:
        """The columns of its primary key, where the driver tells constraints; else none."""
        try:
            objects = self._connection.adbc_get_objects(
                depth="all", db_schema_filter=table.namespace, table_name_filter=table.name
            )
            found = objects.read_all().to_pylist()
        except Exception:
            # Not all drivers know; a job may say the key itself.
            return ()
        for catalog in found:
            for schema in catalog["catalog_db_schemas"] or ():
                for each in schema["db_schema_tables"] or ():
                    for constraint in each.get("table_constraints") or ():
                        if constraint["constraint_type"] == "PRIMARY KEY" and each["table_name"] == table.name:
                            return tuple(constraint["constraint_column_names"])
        return ()

    def decimals(self, table: TableName) -> dict[str, pa.DataType]:
        """Columns that PostgreSQL's driver gives as text, with the exact type that they have there, where they have one."""
        import pyarrow as pa

        if "postgres" not in self.driver:
            return {}
        query = (
            "SELECT attname, (atttypmod - 4) >> 16 AS p, (atttypmod - 4) & 2047 AS s FROM pg_attribute"
            " WHERE attrelid = $1::regclass AND atttypid = 'numeric'::regtype AND atttypmod >= 4"
        )
        with self.execute(query, pa.record_batch({"table": [table.sql]})) as reader:
            found = reader.read_all().to_pylist()
        # A scale beyond 1,000 is a negative one.
        return {
            each["attname"]: pa.decimal128(each["p"], each["s"]) for each in found if each["p"] <= 38 and each["s"] <= each["p"]
        }

    @contextmanager
    def execute(self, query: str, parameter: pa.RecordBatch | None = None) -> Iterator[pa.RecordBatchReader]:
        """The query's batches, as they come."""
        with failures("the query failed"):
            cursor = self._connection.cursor()
        try:
            with failures("the query failed"):
                if "postgres" in self.driver:
                    cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(self._config.batch_bytes)})
                cursor.execute(query, parameter)
                reader = cursor.fetch_record_batch()
            yield reader
        finally:
            cursor.close()

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def _offers(self, namespace: str | None) -> bool:
        if self._config.schemas is not None:
            return namespace in self._config.schemas
        return namespace is None or namespace.lower() not in SYSTEM

    def _current_schema(self) -> str | None:
        try:
            return str(self._connection.adbc_current_db_schema)
        except Exception:
            # Drivers without schemas have no current one.
            return None


def find_driver(config: AdbcConfig) -> tuple[str, str | None]:
    """The path of a driver, and its entry point.

    Raises:
        ConfigError: It is not installed.
    """
    name = config.driver
    if not name:
        raise ConfigError("no `driver` is named", hint="write `connector: adbc:postgresql`, or the path of a driver")
    if "/" in name:
        return name, config.entrypoint
    if name == "duckdb":
        spec = importlib.util.find_spec("_duckdb")
        if spec is not None and spec.origin is not None:
            return spec.origin, config.entrypoint or "duckdb_adbc_init"
    package = f"adbc_driver_{name.replace('-', '_')}"
    try:
        module = importlib.import_module(package)
        return str(module._driver_path()), config.entrypoint
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"there is no ADBC driver `{name}`",
            hint=f"pip install adbc-driver-{name}, or name the path of its shared library",
            facts={"driver": name},
        ) from error


@contextmanager
def failures(what: str) -> Iterator[None]:
    """A driver's errors as Dativo's."""
    try:
        yield
    except Exception as error:
        status: Any = getattr(error, "status_code", None)
        if status is None:
            raise
        name = str(getattr(status, "name", status))
        text = " ".join(str(error).split())
        if name in WRONG:
            raise ConfigError(f"{what}: {text}", facts={"status": name}) from error
        raise ConnectorError(f"{what}: {text}", retryable=name in TEMPORARY, facts={"status": name}) from error


def quoted(name: str) -> str:
    """A name in a statement."""
    return '"' + name.replace('"', '""') + '"'
