"""One connection to the database: statements, bulk loads, transactions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_protocols.errors import ConfigError, ContractError, TargetError

from dativo.targets.postgres._config import PostgresConfig
from dativo.targets.postgres._failure import Place, failures
from dativo.targets.postgres._types import literal, quoted

__all__ = ["Connection"]

# Values that text is read and written by, and how soon a server lets go of what belongs to a client that is gone.
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    # Between two commits a session waits for its source, however long that takes.
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "5min",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


class Connection:
    """A connection of one thread. Every call may block; every error is one of Dativo's.

    Attributes:
        schema: Where all tables are that have no other schema.
        place: For errors.
        in_transaction: Between `begin` and `commit` or `rollback`.
    """

    def __init__(self, config: PostgresConfig) -> None:
        """Connects.

        Raises:
            ConfigError: The driver is not installed; no such user, password or database.
            TargetError: The server cannot be reached; retryable.
        """
        try:
            import adbc_driver_manager
            import adbc_driver_postgresql
        except ImportError as error:
            raise ConfigError(
                "the target `postgres` needs the package `adbc-driver-postgresql`", hint="pip install 'dativo[postgres]'"
            ) from error
        self._adbc = adbc_driver_manager
        self.schema = config.schema_name
        self.place = Place(config.place, config.user_name, config.secret)
        self.in_transaction = False
        self._database: Any = None
        self._connection: Any = None
        with failures(self.place, f"connect to `{self.place.name}`", connecting=True):
            try:
                self._database = adbc_driver_postgresql.connect(config.conninfo)
                self._connection = adbc_driver_manager.AdbcConnection(self._database)
            except BaseException:
                self.close()
                raise
        try:
            self._set_up(config)
        except BaseException:
            self.close()
            raise

    def _set_up(self, config: PostgresConfig) -> None:
        settings = _SETTINGS | {"lock_timeout": f"{round(config.lock_timeout_seconds * 1000)}ms"}
        names = ", ".join(literal(name.lower()) for name in settings)
        action = f"connect to `{self.place.name}`"
        # Older servers, and those on other systems, do not know them all.
        known = {name for (name,) in self.rows(f"SELECT name FROM pg_settings WHERE lower(name) IN ({names})", action)}
        calls = [f"set_config({literal(name)}, {literal(value)}, false)" for name, value in settings.items() if name in known]
        self.rows(f"SELECT {', '.join(calls)}", action)
        # A long statement ends soon after its client has. Not every system can look for that, and those refuse it.
        with contextlib.suppress(TargetError, ContractError):
            self.run("SET client_connection_check_interval = '5s'", action)

    def rows(self, sql: str, action: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Runs a query, and gives its rows as Python values.

        Args:
            values: For `$1`, `$2`…: texts, bytes, integers, or None for a text.
        """
        table = self.table(sql, action, values)
        columns = [column.to_pylist() for column in table.columns]
        return list(zip(*columns, strict=True)) if columns else [()] * table.num_rows

    def table(self, sql: str, action: str, values: Sequence[Any] = ()) -> pa.Table:
        """Runs a query, and gives its rows as Arrow data."""
        with failures(self.place, action), self._statement(sql, values) as statement:
            handle, _ = statement.execute_query()
            with pa.RecordBatchReader._import_from_c(handle.address) as reader:
                return reader.read_all()

    def run(self, sql: str, action: str, values: Sequence[Any] = (), *, stream: StreamId | None = None) -> int:
        """Runs a statement without rows; gives how many it changed, or -1."""
        with failures(self.place, action, stream), self._statement(sql, values) as statement:
            return int(statement.execute_update())

    def copy(
        self,
        table: str,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        action: str,
        *,
        stream: StreamId | None = None,
        temporary: bool = False,
    ) -> None:
        """Appends rows to a table's columns of the same names and of exactly these types, in PostgreSQL's binary format.

        Args:
            temporary: The table is one of this connection's own.
        """
        options = {
            self._adbc.INGEST_OPTION_TARGET_TABLE: table,
            self._adbc.INGEST_OPTION_MODE: self._adbc.INGEST_OPTION_MODE_APPEND,
        }
        kind = self._adbc.StatementOptions
        if temporary:
            options[kind.INGEST_TEMPORARY.value] = "true"
        else:
            options[kind.INGEST_TARGET_DB_SCHEMA.value] = self.schema
        # Metadata marks JSON, which the driver would send in another way.
        plain = pa.schema([pa.field(field.name, field.type) for field in schema])
        parts = (pa.RecordBatch.from_arrays(batch.columns, schema=plain) for batch in batches)
        with failures(self.place, action, stream), self._adbc.AdbcStatement(self._connection) as statement:
            statement.set_options(**options)
            statement.bind_stream(pa.RecordBatchReader.from_batches(plain, parts))
            statement.execute_update()

    def begin(self, kind: str = "ISOLATION LEVEL READ COMMITTED") -> None:
        """Opens a transaction."""
        self.run(f"BEGIN {kind}", "begin a transaction")
        self.in_transaction = True

    def commit(self) -> None:
        """Makes the open transaction durable; after an error nobody here knows whether it is."""
        self.run("COMMIT", "commit")
        self.in_transaction = False

    def rollback(self) -> None:
        """Ends the open transaction without a trace, if the server has not done so itself."""
        if self.in_transaction:
            self.in_transaction = False
            # On a broken connection the server does it.
            with contextlib.suppress(TargetError):
                self.run("ROLLBACK", "roll back")

    def close(self) -> None:
        """Ends the connection, and with it an open transaction and everything temporary. May be called twice."""
        for handle in (self._connection, self._database):
            if handle is not None:
                with contextlib.suppress(self._adbc.Error):
                    handle.close()
        self._connection = self._database = None

    def name(self, table: str) -> str:
        """The table's qualified name in SQL."""
        return f"{quoted(self.schema)}.{quoted(table)}"

    @contextlib.contextmanager
    def _statement(self, sql: str, values: Sequence[Any]) -> Any:
        if self._connection is None:
            raise TargetError("the target is not open")
        with self._adbc.AdbcStatement(self._connection) as statement:
            # Results are small; read by COPY, errors would come late, and without their SQLSTATE.
            statement.set_options(**{"adbc.postgresql.use_copy": "false"})
            statement.set_sql_query(sql)
            if values:
                arrays = [pa.array([value], pa.utf8() if value is None else None) for value in values]
                statement.prepare()
                statement.bind(pa.RecordBatch.from_arrays(arrays, names=[str(place) for place in range(len(arrays))]))
            yield statement
