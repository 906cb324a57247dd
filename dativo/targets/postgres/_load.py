"""From a stage into the table, in the open transaction: what each write mode does, as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from dativo_protocols import StreamId

from dativo._exact_text import is_json
from dativo._names import DELETED_AT, EXTRA, OWN_COLUMNS, VALID_FROM, VALID_TO, VERSION
from dativo.targets.postgres._catalog import Column, unique_indexes
from dativo.targets.postgres._connection import Connection
from dativo.targets.postgres._stage import PLACE, Stage
from dativo.targets.postgres._types import orders, quoted, quoted_list

__all__ = ["Load"]

# Sorting and hashing what came within one commit, rather than on the server's disk.
_WORK_MEMORY = "64MB"


@dataclass(frozen=True)
class Load:
    """One stage, and the table that its rows go to. Table `t`, stage `s` in all statements.

    Attributes:
        table: Its name.
        columns: Of the table, as they are now, by name.
        ours: Names of those that belong to the stream: others are the user's, and are left alone.
        key: The key's columns in the table.
        cursor: The cursor's column, if the stream has one and it was sent.
        mark: The column that marks deleted rows, if they are to be deleted, and it was sent.
        mark_is_text: It holds the texts of booleans.
        versions: Whether rows of obsolete versions are to go.
    """

    connection: Connection
    stream: StreamId
    table: str
    columns: dict[str, Column]
    ours: frozenset[str]
    stage: Stage
    key: Sequence[str] = ()
    cursor: str | None = None
    mark: str | None = None
    mark_is_text: bool = False
    versions: bool = False

    def append(self) -> None:
        """Behind the rows that are there; from memory, where the columns take the staged bytes as they are."""
        if self.stage.table is None and all(self.columns[name].cast is None for name in self.stage.schema.names):
            self.stage.copy_into(self.table)
            return
        self.stage.spill()
        self._insert()

    def append_new(self) -> None:
        """As `append`, without rows that are there already or came twice."""
        names = [*self.key, *([self.cursor] if self.cursor else [])] if self.key else self._said()
        self._prepare(names)
        staged = [name for name in names if name in self.stage.schema.names]
        self._drop_all_but_one(staged, f"{PLACE} ASC")
        same = self._same(names)
        if self._is_empty():
            self._insert()
        else:
            self._insert(f"NOT EXISTS (SELECT 1 FROM {self._target} AS t WHERE {same})")
            self._renew_versions(same)

    def merge(self) -> None:
        """In the place of the row with the same key; the greatest cursor wins, and of equal ones the last."""
        self._prepare(self.key)
        newest = f"{PLACE} DESC"
        if self._comparable is not None:
            newest = f"{self._ordered(self._value(self._comparable), self._comparable)} DESC NULLS LAST, {newest}"
        self._drop_all_but_one(self.key, newest)
        alive = None if self.mark is None else f"NOT {self._dead}"
        if self._is_empty():
            self._insert(alive)
            return
        same = self._same(self.key)
        if self.mark is not None:
            self._run(
                f"DELETE FROM {self._target} AS t USING {self.stage.table} AS s WHERE {self._dead} AND {same}{self._wins()}"
            )
        if self._has_index():
            self._insert(alive, self._on_conflict())
        else:
            self._run(f"DELETE FROM {self._target} AS t USING {self.stage.table} AS s WHERE {same}{self._wins()}")
            left = f"NOT EXISTS (SELECT 1 FROM {self._target} AS t WHERE {same})" if self._comparable is not None else None
            self._insert(" AND ".join(each for each in (alive, left) if each is not None) or None)
        if self._comparable is not None:
            self._renew_versions(same)

    def keep_history(self) -> None:
        """Ends the current row of each key that has changed, and writes each version that changes something."""
        self._prepare(self.key)
        same = self._same(self.key)
        self._run(self._history(same))
        self._renew_versions(f"t.{quoted(VALID_TO)} IS NULL AND {same}")

    def obsolete(self, version: int, *, history: bool, remove: bool) -> None:
        """What becomes of the table's rows of other versions.

        Args:
            history: They are ended, not removed or marked.
        """
        other = f"{quoted(VERSION)} IS DISTINCT FROM {version}"
        if history:
            self._run(f"UPDATE {self._target} SET {quoted(VALID_TO)} = now() WHERE {quoted(VALID_TO)} IS NULL AND {other}")
        elif remove:
            self._run(f"DELETE FROM {self._target} WHERE {other}")
        else:
            mark = quoted(DELETED_AT)
            self._run(f"UPDATE {self._target} SET {mark} = now() WHERE {mark} IS NULL AND {other}")

    @property
    def _target(self) -> str:
        return self.connection.name(self.table)

    @property
    def _comparable(self) -> str | None:
        """The cursor, where its values have an order."""
        return self.cursor if self.cursor is not None and orders(self.columns[self.cursor].field) else None

    @property
    def _dead(self) -> str:
        """The condition that a staged row says it is deleted: by a mark that is neither null nor false."""
        if self.mark is None:
            return "false"
        staged, field = f"s.{quoted(self.mark)}", self.stage.schema.field(self.mark)
        if pa.types.is_boolean(field.type):
            return f"({staged} IS TRUE)"
        if is_json(field):
            return f"(coalesce(CAST({staged} AS text), 'null') NOT IN ('null', 'false'))"
        if self.mark_is_text:
            return f"(coalesce({staged}, 'false') <> 'false')"
        return f"({staged} IS NOT NULL)"

    def _run(self, sql: str) -> int:
        return self.connection.run(sql, f"write to table `{self.table}`", stream=self.stream)

    def _prepare(self, compared: Sequence[str]) -> None:
        """Puts everything into the stage's table, and tells the planner what is there."""
        self.stage.spill()
        self._run(f"SET LOCAL work_mem = '{_WORK_MEMORY}'")
        staged = [name for name in compared if name in self.stage.schema.names]
        self._run(f"ANALYZE {self.stage.table} ({quoted_list(staged)})")

    def _is_empty(self) -> bool:
        return not self.connection.rows(f"SELECT 1 FROM {self._target} LIMIT 1", f"read table `{self.table}`")

    def _value(self, name: str) -> str:
        """A staged value as the table's column takes it; null, where the column was not sent."""
        return self.columns[name].value(f"s.{quoted(name)}") if name in self.stage.schema.names else "NULL"

    def _ordered(self, value: str, name: str) -> str:
        """A value of a column by the order of its type; texts by their bytes."""
        column = self.columns[name]
        return f'{value} COLLATE "C"' if column.cast is None and pa.types.is_string(column.field.type) else value

    def _insert(self, where: str | None = None, then: str = "") -> None:
        names = self.stage.schema.names
        values = ", ".join(self._value(name) for name in names)
        override = " OVERRIDING SYSTEM VALUE" if any(self.columns[name].identity for name in names) else ""
        condition = "" if where is None else f" WHERE {where}"
        self._run(
            f"INSERT INTO {self._target} AS t ({quoted_list(names)}){override} "
            f"SELECT {values} FROM {self.stage.table} AS s{condition}{then}"
        )

    def _drop_all_but_one(self, names: Sequence[str], order: str) -> None:
        """Keeps the first staged row, by an order, of those that are equal in these columns."""
        groups = ", ".join(self._comparing(name) for name in names)
        if not groups:
            return
        stage = f"{self.stage.table} AS s"
        twice = f"SELECT 1 FROM {stage} GROUP BY {groups} HAVING count(*) > 1 LIMIT 1"
        if self.connection.rows(twice, f"read what was staged of stream `{self.stream}`"):
            numbered = f"SELECT {PLACE}, row_number() OVER (PARTITION BY {groups} ORDER BY {order}) AS number FROM {stage}"
            self._run(f"DELETE FROM {stage} USING ({numbered}) AS n WHERE n.{PLACE} = s.{PLACE} AND n.number > 1")

    def _comparing(self, name: str) -> str:
        """A staged value as something that can be told equal as the table tells it: JSON cannot, its text can."""
        return self._text_if_json(name, self._value(name))

    def _same(self, names: Sequence[str]) -> str:
        """The condition that a row of the table and a staged one are equal in columns, nulls included.

        Where a staged value is null, whole rows are compared as texts, since `IS NOT DISTINCT FROM` allows only nested loops.
        """
        if all(name in self.stage.schema.names for name in names) and not self.stage.nullable & set(names):
            return " AND ".join(f"{self._text_if_json(name, f't.{quoted(name)}')} = {self._comparing(name)}" for name in names)
        rows = (", ".join(f"t.{quoted(name)}" for name in names), ", ".join(self._value(name) for name in names))
        return " = ".join(f"CAST(ROW({row}) AS text)" for row in rows)

    def _text_if_json(self, name: str, value: str) -> str:
        return f"CAST({value} AS text)" if is_json(self.columns[name].field) else value

    def _wins(self, new: str | None = None) -> str:
        """The further condition that a new row, staged or else by its cursor, is not older than the table's."""
        cursor = self._comparable
        if cursor is None:
            return ""
        old = f"t.{quoted(cursor)}"
        return f" AND ({old} IS NULL OR {self._ordered(new or self._value(cursor), cursor)} >= {self._ordered(old, cursor)})"

    def _has_index(self) -> bool:
        """Whether the table has a unique index by which rows of the staged keys are found."""
        nulls = bool(self.stage.nullable & set(self.key))
        indexes = unique_indexes(self.connection, self.table)
        return any(index.columns == set(self.key) and (index.nulls_equal or not nulls) for index in indexes)

    def _on_conflict(self) -> str:
        """The new row in the place of the old one: columns of ours that were not sent become null, the user's stay."""
        sent = [name for name in self.stage.schema.names if name not in self.key]
        sets = [f"{quoted(name)} = excluded.{quoted(name)}" for name in sent]
        missing = self.ours - set(self.stage.schema.names)
        sets += [f"{quoted(name)} = NULL" for name in self.columns if name in missing and not self.columns[name].generated]
        if not sets:
            return f" ON CONFLICT ({quoted_list(self.key)}) DO NOTHING"
        wins = "" if self._comparable is None else self._wins(f"excluded.{quoted(self._comparable)}").replace(" AND", " WHERE", 1)
        return f" ON CONFLICT ({quoted_list(self.key)}) DO UPDATE SET {', '.join(sets)}{wins}"

    def _renew_versions(self, same: str) -> None:
        """A row that the source has sent again belongs to the newer version, though nothing else of it was written."""
        if self.versions and VERSION in self.stage.schema.names:
            version = quoted(VERSION)
            self._run(
                f"UPDATE {self._target} AS t SET {version} = s.{version} FROM {self.stage.table} AS s "
                f"WHERE {same} AND t.{version} IS DISTINCT FROM s.{version}"
            )

    def _said(self) -> list[str]:
        """The columns that make a row what it is."""
        return [name for name in self.columns if name in self.ours and (name == EXTRA or name not in OWN_COLUMNS)]

    def _history(self, same: str) -> str:
        """Per key the current row, then the new ones in order; those that change something stay; each ends as the next begins."""
        said = self._said()
        key = ", ".join(f"k{place}" for place in range(len(self.key)))
        new_key = ", ".join(f"{self._comparing(name)} AS k{place}" for place, name in enumerate(self.key))
        old_key = ", ".join(f"{self._text_if_json(name, f't.{quoted(name)}')} AS k{place}" for place, name in enumerate(self.key))
        new_cursor, old_cursor, moment = "NULL::int", "NULL::int", "now()"
        if self._comparable is not None:
            new_cursor, old_cursor = self._value(self._comparable), f"t.{quoted(self._comparable)}"
            if pa.types.is_timestamp(kind := self.columns[self._comparable].field.type) or pa.types.is_date(kind):
                moment = f"coalesce(CAST({new_cursor} AS timestamptz), now())"
            new_cursor, old_cursor = (self._ordered(value, self._comparable) for value in (new_cursor, old_cursor))
        names = self.stage.schema.names
        begin, end = quoted(VALID_FROM), quoted(VALID_TO)
        order = "(place < 0) DESC, cursor ASC NULLS FIRST, place"
        return f"""
            WITH met AS (
                SELECT t.ctid AS found, {old_key}, CAST(-1 AS bigint) AS place, {old_cursor} AS cursor, t.{begin} AS moment,
                    false AS dead, CAST(ROW({", ".join(f"t.{quoted(name)}" for name in said)}) AS text) AS says
                FROM {self._target} AS t
                WHERE t.{end} IS NULL AND EXISTS (SELECT 1 FROM {self.stage.table} AS s WHERE {same})
                UNION ALL
                SELECT NULL, {new_key}, s.{PLACE}, {new_cursor}, {moment}, {self._dead},
                    CAST(ROW({", ".join(self._value(name) for name in said)}) AS text)
                FROM {self.stage.table} AS s
            ), dated AS (
                SELECT *, first_value(place) OVER first < 0 AS known, first_value(cursor) OVER first AS latest FROM met
                WINDOW first AS (PARTITION BY {key} ORDER BY place)
            ), told AS (
                SELECT *, lag(says) OVER line AS said, lag(dead) OVER line AS was_dead FROM dated
                WHERE place < 0 OR NOT known OR latest IS NULL OR coalesce(cursor >= latest, false)
                WINDOW line AS (PARTITION BY {key} ORDER BY {order})
            ), kept AS MATERIALIZED (
                SELECT found, place, dead, moment, lead(moment) OVER (PARTITION BY {key} ORDER BY {order}) AS ended FROM told
                WHERE place < 0 OR CASE WHEN dead THEN NOT was_dead ELSE coalesce(was_dead OR says <> said, true) END
            ), ends AS (
                UPDATE {self._target} AS t SET {end} = kept.ended FROM kept WHERE t.ctid = kept.found AND kept.ended IS NOT NULL
            )
            INSERT INTO {self._target} ({quoted_list(names)}, {begin}, {end})
            SELECT {", ".join(self._value(name) for name in names)}, kept.moment, kept.ended
            FROM kept JOIN {self.stage.table} AS s ON s.{PLACE} = kept.place WHERE NOT kept.dead
        """
