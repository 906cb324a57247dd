"""What a commit does to a table's columns, in the open transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_protocols.errors import ContractError, TargetError

from dativo._evolution import same_type, type_text
from dativo._exact_text import is_json
from dativo.targets.postgres._catalog import Column, Relation, unique_indexes
from dativo.targets.postgres._connection import Connection
from dativo.targets.postgres._types import doubtful, quoted, quoted_list, sql_type, widened

__all__ = ["Reshape", "drop_key_index", "make_key_index"]

# Values too long for an index; doubles.
_NO_INDEX = ("54000", "23505")


@dataclass(frozen=True)
class Reshape:
    """A step from one set of columns to the next.

    Attributes:
        before: The columns that stay or are widened, or None when there is no table.
        after: All columns.
    """

    stream: StreamId
    before: pa.Schema | None
    after: pa.Schema

    def apply(self, connection: Connection, table: str, columns: dict[str, Column] | None, extra_sql: str) -> dict[str, Column]:
        """Makes the table, or adds and widens columns.

        Args:
            columns: Those that are there, or None when there is no table.
            extra_sql: A further column of a table that is made.

        Returns:
            The columns that are there then.
        """
        name = connection.name(table)
        if columns is None:
            listed = [f"{quoted(field.name)} {sql_type(field)}" for field in self.after]
            if extra_sql:
                listed.append(extra_sql)
            connection.run(f"CREATE TABLE {name} ({', '.join(listed)})", f"make table `{table}`", stream=self.stream)
            return {field.name: _plain(field) for field in self.after}
        columns = dict(columns)
        for field in self.after:
            there = columns.get(field.name)
            if there is None:
                action = f"add column `{field.name}` to table `{table}`"
                connection.run(
                    f"ALTER TABLE {name} ADD COLUMN {quoted(field.name)} {sql_type(field)}", action, stream=self.stream
                )
            elif not same_type(there.field, field):
                self._widen(connection, table, there.field, field)
            else:
                continue
            columns[field.name] = _plain(field)
        return columns

    def begin_anew(self, connection: Connection, table: str, relation: Relation, ours: frozenset[str]) -> dict[str, Column]:
        """Brings an emptied table to these columns: those of ours that did not come are dropped, the user's stay.

        Returns:
            The columns that are there then.
        """
        columns = {column.field.name: column for column in relation.columns}
        name = connection.name(table)
        for column in relation.columns:
            field = column.field
            if field.name not in ours or column.generated:
                continue
            wanted = self.after.field(field.name) if field.name in self.after.names else None
            if wanted is None:
                action = f"drop column `{field.name}` of table `{table}`"
                connection.run(f"ALTER TABLE {name} DROP COLUMN {quoted(field.name)}", action, stream=self.stream)
                del columns[field.name]
            elif not same_type(field, wanted):
                action = f"change column `{field.name}` of table `{table}`"
                kind = sql_type(wanted)
                sql = f"ALTER TABLE {name} ALTER COLUMN {quoted(field.name)} TYPE {kind} USING CAST(NULL AS {kind})"
                connection.run(sql, action, stream=self.stream)
                columns[field.name] = _plain(wanted)
        return columns

    def _widen(self, connection: Connection, table: str, before: pa.Field, after: pa.Field) -> None:
        name, column = connection.name(table), quoted(after.name)
        action = f"widen column `{after.name}` of table `{table}`"
        connection.run(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE", action, stream=self.stream)
        doubt = doubtful(column, before, after)
        if doubt is not None and connection.rows(f"SELECT 1 FROM {name} WHERE {doubt} LIMIT 1", action):
            raise self._would_change(table, before, after)
        if is_json(after):
            drop_key_index(connection, table, after.name)
        sql = f"ALTER TABLE {name} ALTER COLUMN {column} TYPE {sql_type(after)} USING {widened(column, before, after)}"
        try:
            connection.run(sql, action, stream=self.stream)
        except ContractError as error:
            raise self._would_change(table, before, after) from error

    def _would_change(self, table: str, before: pa.Field, after: pa.Field) -> ContractError:
        return ContractError(
            f"column `{after.name}` of table `{table}` has a value of type `{type_text(before)}` that would change as "
            f"`{type_text(after)}`",
            hint="give the column a wider type under `types` in the job, for example `string`, and load the stream anew",
            facts={
                "stream": str(self.stream),
                "column": after.name,
                "before": type_text(before),
                "after": type_text(after),
            },
        )


def make_key_index(connection: Connection, table: str, key: Sequence[pa.Field]) -> None:
    """Makes a unique index by which merges find rows, unless there is one.

    Where values are too long for an index, or keys are there twice, there is none, and merges scan the table.
    """
    names = frozenset(field.name for field in key)
    if any(is_json(field) for field in key) or any(index.columns == names for index in unique_indexes(connection, table)):
        return
    action = f"index the key of table `{table}`"
    ((version,),) = connection.rows("SELECT CAST(current_setting('server_version_num') AS int)", action)
    nulls = " NULLS NOT DISTINCT" if version >= 150000 else ""
    columns = quoted_list(field.name for field in key)
    sql = f"CREATE UNIQUE INDEX {quoted(_index_name(table))} ON {connection.name(table)} ({columns}){nulls}"
    connection.run("SAVEPOINT _dativo_index", action)
    try:
        connection.run(sql, action)
    except (TargetError, ContractError) as error:
        if error.facts.get("sqlstate") not in _NO_INDEX:
            raise
        connection.run("ROLLBACK TO SAVEPOINT _dativo_index", action)


def drop_key_index(connection: Connection, table: str, column: str | None = None) -> None:
    """Drops our index, which other modes than `merge` have no use for, and which JSON cannot be in.

    Args:
        column: Only if this one is in it.
    """
    own = _index_name(table)
    if any(index.name == own and column in (None, *index.columns) for index in unique_indexes(connection, table)):
        connection.run(f"DROP INDEX {connection.name(own)}", f"drop the index of table `{table}`")


def _index_name(table: str) -> str:
    return f"_dativo_key_{hashlib.sha256(table.encode()).hexdigest()[:16]}"


def _plain(field: pa.Field) -> Column:
    return Column(field, sql_type(field))
