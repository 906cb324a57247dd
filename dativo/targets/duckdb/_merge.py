"""What a write mode makes of the open transaction's rows: those with ids above a boundary are new, the others were there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pyarrow as pa
from dativo_protocols import StreamId

from dativo._names import DELETED_AT, VALID_FROM, VALID_TO, VERSION
from dativo.targets.duckdb._database import BATCHES, Database
from dativo.targets.duckdb._failure import failures
from dativo.targets.duckdb._types import quoted

__all__ = ["PLACE", "Merge"]

PLACE = "_dativo_place"
"""A column beside those of the rows that are replaced at once: their order."""
_MET, _STORY = "_dativo_met", "_dativo_story"
_CURSOR = "_dativo_cursor"
_ROW = "_dativo_row"


@dataclass(frozen=True)
class Merge:
    """One stream's new rows, in a table where they are behind the old ones.

    Attributes:
        table: Its name.
        key: Columns that identify a row.
        said: Columns that make a row what it is.
        cursor: A column whose values have an order, or None.
        dead: The SQL condition that a row is marked as deleted at the source, or None where that changes nothing.
        null_key: Whether a new row has a null in its key.
        versions: Whether rows of obsolete versions are to go.
        boundary: The greatest id of the old rows, or -1.
    """

    database: Database
    stream: StreamId
    table: str
    key: Sequence[str]
    said: Sequence[str]
    cursor: str | None
    dead: str | None
    null_key: bool
    versions: bool
    boundary: int = -1

    def replace(self) -> None:
        """Of each key the row with the greatest cursor stays, and of equal ones the last.

        Each statement scans the key's columns once, however many rows came, and no index is kept.
        """
        with self._failures():
            self._make_room()
            if self.cursor is not None:
                self._keep_greatest(self.cursor)
            else:
                self._keep_last()
            if self.dead is not None:
                self._run(f"DELETE FROM {self._table} WHERE {self._is_new} AND {self.dead}")

    def leave_out_known(self) -> None:
        """New rows go that are there already, or came before."""
        names = self._identity
        columns, same = _list(names), _same(names, nulls=True)
        with self._failures():
            if self.versions:
                self._renew(names)
            if self.boundary >= 0:
                self._run(
                    f"DELETE FROM {self._table} WHERE rowid IN (SELECT _dativo_new.rowid FROM "
                    f"(SELECT rowid, {columns} FROM {self._table} WHERE {self._is_new}) AS _dativo_new SEMI JOIN "
                    f"(SELECT {columns} FROM {self._table} WHERE {self._is_old}) AS _dativo_old ON {same})"
                )
            fresh = f"FROM {self._table} WHERE {self._is_new} GROUP BY {columns}"
            if self._run(f"SELECT 1 {fresh} HAVING count(*) > 1 LIMIT 1"):
                self._run(f"DELETE FROM {self._table} WHERE {self._is_new} AND rowid NOT IN (SELECT min(rowid) {fresh})")

    def keep_history(self) -> None:
        """Each new row that changes something ends the one before it; those that change nothing go.

        New rows say in `_dativo_valid_from` from when they hold. Only keys that are there already, or came more than once, are
        looked at as a whole, and of their rows no more than two hashes: the memory is DuckDB's, not that of what rows say.
        """
        table, end = self._table, quoted(VALID_TO)
        with self._failures():
            self._make_room()
            self._run(f"CREATE TEMP TABLE {_MET} AS {self._met()}")
            self._run(f"CREATE TEMP TABLE {_STORY} AS {self._story()}")
            ended = f"{_STORY} AS s WHERE t.rowid = s.id AND s.ended IS NOT NULL"
            self._run(f"UPDATE {table} AS t SET {end} = s.ended FROM {ended}")
            if self.versions:
                self._renew(self.key, f" AND t.{end} IS NULL")
            left_out = f"SELECT id FROM {_MET} WHERE NOT old AND id NOT IN (SELECT id FROM {_STORY})"
            self._run(f"DELETE FROM {table} WHERE rowid IN ({left_out})")
            if self.dead is not None:
                self._run(f"DELETE FROM {table} WHERE {self._is_new} AND {self.dead}")
            self._run(f"DROP TABLE {_MET}")
            self._run(f"DROP TABLE {_STORY}")

    def make_obsolete(self, version: int, now: int, *, history: bool, remove: bool) -> None:
        """What becomes of rows of other versions, old and new.

        Args:
            now: The moment, in microseconds since 1970 UTC.
            history: They are ended, not removed or marked.
        """
        table, other, moment = self._table, f"{quoted(VERSION)} IS DISTINCT FROM {version}", f"make_timestamptz({now})"
        with self._failures():
            if remove and not history:
                self._run(f"DELETE FROM {table} WHERE {other}")
            else:
                column = quoted(VALID_TO if history else DELETED_AT)
                self._run(f"UPDATE {table} SET {column} = {moment} WHERE {column} IS NULL AND {other}")

    def replace_at_once(self, data: pa.Table, names: Sequence[str]) -> None:
        """`replace` for tables whose constraints or column names rule the other way out: old rows go before new ones come.

        Args:
            data: The new rows, with their order in `PLACE`.
            names: Their columns.
        """
        table, keys, columns = self._table, _list(self.key), _list(names)
        order = f"{PLACE} DESC" if self.cursor is None else f"{quoted(self.cursor)} DESC NULLS LAST, {PLACE} DESC"
        newest = f"(SELECT * FROM {BATCHES} QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {order}) = 1)"
        same = _same(self.key, nulls=self.null_key, old=table)
        wins, left, alive = "", "", ""
        if self.cursor is not None:
            cursor = quoted(self.cursor)
            wins = f" AND ({table}.{cursor} IS NULL OR _dativo_new.{cursor} >= {table}.{cursor})"
            left = f" AND NOT EXISTS (SELECT 1 FROM {table} WHERE {same})"
        if self.dead is not None:
            alive = f" AND NOT ({self.dead})"
        delete = f"DELETE FROM {table} WHERE EXISTS (SELECT 1 FROM {newest} AS _dativo_new WHERE {same}{wins})"
        insert = f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {newest} AS _dativo_new WHERE true{alive}{left}"
        self.database.run_over(data, [delete, insert], self.table, self.stream)

    def add_unknown_at_once(self, data: pa.Table, names: Sequence[str]) -> None:
        """`leave_out_known` for such tables."""
        table, columns = self._table, _list(names)
        compared = self._identity
        sent = [name for name in compared if name in names]
        values = [f"_dativo_new.{quoted(name)}" if name in names else "NULL" for name in compared]
        same = " AND ".join(
            f"{table}.{quoted(name)} IS NOT DISTINCT FROM {value}" for name, value in zip(compared, values, strict=True)
        )
        first = f"(SELECT * FROM {BATCHES} QUALIFY row_number() OVER (PARTITION BY {_list(sent)} ORDER BY {PLACE}) = 1)"
        insert = (
            f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {first} AS _dativo_new "
            f"WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {same})"
        )
        self.database.run_over(data, [insert], self.table, self.stream)

    @property
    def _table(self) -> str:
        return self.database.table(self.table)

    @property
    def _is_old(self) -> str:
        return f"rowid <= {self.boundary}"

    @property
    def _is_new(self) -> str:
        return f"rowid > {self.boundary}"

    @property
    def _identity(self) -> list[str]:
        """The columns in which rows must differ, where each is to be there once."""
        if not self.key:
            return list(self.said)
        return list(dict.fromkeys([*self.key, *([self.cursor] if self.cursor is not None else [])]))

    def _failures(self) -> AbstractContextManager[None]:
        return failures(self.database.path, f"merge into table `{self.table}`", self.stream)

    def _run(self, sql: str) -> list[tuple[object, ...]]:
        return self.database.run(sql)

    def _make_room(self) -> None:
        """The ids of the old rows, deleted ones included, are below the boundary."""
        ((new,),) = self._run(f"SELECT count(*) FROM {self._table} WHERE {self._is_new}")
        self.database.make_room_to_replace(self.boundary + 1, int(str(new)))

    def _keep_last(self) -> None:
        keys = _list(self.key)
        if self.boundary >= 0:
            old = f"(SELECT rowid, {keys} FROM {self._table} WHERE {self._is_old}) AS _dativo_old"
            new = f"(SELECT {keys} FROM {self._table} WHERE {self._is_new}) AS _dativo_new"
            replaced = f"SELECT _dativo_old.rowid FROM {old} SEMI JOIN {new} ON {_same(self.key, nulls=self.null_key)}"
            self._run(f"DELETE FROM {self._table} WHERE rowid IN ({replaced})")
        fresh = f"FROM {self._table} WHERE {self._is_new} GROUP BY {keys}"
        if self._run(f"SELECT 1 {fresh} HAVING count(*) > 1 LIMIT 1"):
            self._run(f"DELETE FROM {self._table} WHERE {self._is_new} AND rowid NOT IN (SELECT max(rowid) {fresh})")

    def _keep_greatest(self, name: str) -> None:
        keys, cursor, table = _list(self.key), quoted(name), self._table
        fresh = f"FROM {table} WHERE {self._is_new}"
        if self._run(f"SELECT 1 {fresh} GROUP BY {keys} HAVING count(*) > 1 LIMIT 1"):
            order = f"{cursor} DESC NULLS LAST, rowid DESC"
            self._run(
                f"DELETE FROM {table} WHERE rowid IN (SELECT rowid {fresh} "
                f"QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {order}) > 1)"
            )
        if self.boundary < 0:
            return
        if self.versions:
            self._renew(self.key)
        columns = f"rowid AS {_ROW}, {keys}, {cursor} AS {_CURSOR}"
        old = f"(SELECT {columns} FROM {table} WHERE {self._is_old}) AS _dativo_old"
        new = f"(SELECT {columns} {fresh}) AS _dativo_new"
        wins = f"_dativo_old.{_CURSOR} IS NULL OR _dativo_new.{_CURSOR} >= _dativo_old.{_CURSOR}"
        loser = f"CASE WHEN {wins} THEN _dativo_old.{_ROW} ELSE _dativo_new.{_ROW} END"
        self._run(
            f"DELETE FROM {table} WHERE rowid IN (SELECT {loser} FROM {old} JOIN {new} ON {_same(self.key, nulls=self.null_key)})"
        )

    def _renew(self, names: Sequence[str], where: str = "") -> None:
        """A row that the source has sent again belongs to the newer version, though nothing else of it is written."""
        version, columns = quoted(VERSION), _list(names)
        last = f"last({version} ORDER BY rowid) AS {version}"
        newest = f"SELECT {columns}, {last} FROM {self._table} WHERE {self._is_new} GROUP BY {columns}"
        same = _same(names, nulls=True, old="t")
        self._run(
            f"UPDATE {self._table} AS t SET {version} = _dativo_new.{version} FROM ({newest}) AS _dativo_new "
            f"WHERE {same}{where} AND t.{version} IS DISTINCT FROM _dativo_new.{version}"
        )

    def _met(self) -> str:
        """Current and new rows of the keys that have more than one of them."""
        keys, begin = _list(self.key), quoted(VALID_FROM)
        new, current = f"FROM {self._table} WHERE {self._is_new}", f"{self._is_old} AND {quoted(VALID_TO)} IS NULL"
        named = ", ".join(f"{quoted(name)} AS k{place}" for place, name in enumerate(self.key))
        cursor = "NULL::INTEGER" if self.cursor is None else quoted(self.cursor)
        # A change is missed if both hashes, of 64 bits each, are the same for what differs.
        said = f"hash({_list(self.said)}) AS h0, hash('', {_list(self.said[::-1])}) AS h1"
        columns = f"rowid AS id, {named}, {cursor} AS c, {begin} AS since, {said}"
        same = _same(self.key, nulls=True)
        twice = f"SELECT {keys} {new} GROUP BY {keys} HAVING count(*) > 1"
        old = ""
        if self.boundary >= 0:
            twice += f" UNION SELECT {keys} FROM {self._table} WHERE {current}"
            old = (
                f"SELECT true AS old, false AS dead, {columns} FROM (SELECT rowid, * FROM {self._table} WHERE {current}) "
                f"AS _dativo_old SEMI JOIN (SELECT {keys} {new}) AS _dativo_new ON {same} UNION ALL "
            )
        return (
            f"{old}SELECT false AS old, {self.dead or 'false'} AS dead, {columns} "
            f"FROM (SELECT rowid, * {new}) AS _dativo_old SEMI JOIN ({twice}) AS _dativo_new ON {same}"
        )

    def _story(self) -> str:
        """The rows that were there or stay: `id`, and when each is `ended`.

        A new row that is older than the current one of its key changes nothing, since nobody knows till when it held.
        """
        own = ", ".join(f"k{place}" for place in range(len(self.key)))
        line = f"PARTITION BY {own} ORDER BY old DESC, c ASC NULLS FIRST, id"
        return f"""
            WITH dated AS (
                SELECT *, bool_or(old) OVER same AS known, max(c) FILTER (old) OVER same AS latest FROM {_MET}
                WINDOW same AS (PARTITION BY {own})
            ), told AS (
                SELECT *, lag(h0) OVER line AS was0, lag(h1) OVER line AS was1, lag(dead) OVER line AS was_dead FROM dated
                WHERE old OR NOT known OR latest IS NULL OR coalesce(c >= latest, false) WINDOW line AS ({line})
            ), kept AS (
                SELECT * FROM told
                WHERE old OR CASE WHEN dead THEN NOT was_dead ELSE was_dead IS NULL OR was_dead OR h0 <> was0 OR h1 <> was1 END
            )
            SELECT id, lead(since) OVER ({line}) AS ended FROM kept
        """


def _list(names: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in names)


def _same(names: Sequence[str], *, nulls: bool, old: str = "_dativo_old") -> str:
    equal = "IS NOT DISTINCT FROM" if nulls else "="
    return " AND ".join(f"_dativo_new.{quoted(name)} {equal} {old}.{quoted(name)}" for name in names)
