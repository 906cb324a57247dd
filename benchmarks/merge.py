"""The case `merge`: rows brought by key into a table of ten times as many, half of them new, half in the place of old ones.

The table is made once for each contender, by the contender, and put back before each round: only the merge is measured. After
it the table must hold the right number of rows, and their quantities the right sum.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.contenders import PEERS, environment
from benchmarks.generate import messages, write
from benchmarks.measure import Measurement, OverdueError, measure
from benchmarks.merged_tables import Facts
from benchmarks.report import Results
from tests.servers.postgres import PostgresServer, postgres_server

TIMES = 10
SCATTER = 7_368_787
"""Shares no factor with a power of ten: multiples of it reach every row that is replaced, in no order."""
LIMIT_SECONDS = 900.0


@dataclass(frozen=True)
class Rows:
    """Files of messages.

    Attributes:
        base: Of a tenth of the table; `stretch` makes the others.
        changes: Of the rows that are merged.
        count: How many those are, and how many `base` has.
    """

    base: Path
    changes: Path
    count: int

    @classmethod
    def made(cls, cache: Path, count: int) -> Rows:
        changes, marker = cache / f"orders.{count}.changes.jsonl", cache / f"orders.{count}.changes.jsonl.whole"
        if not marker.exists():
            with changes.open("w", encoding="utf-8") as output:
                lines = messages("orders", count, "singer", lambda n: changed(n, count), seed=2027)
                output.writelines(line + "\n" for line in lines)
            marker.touch()
        return cls(write(cache / f"orders.{count}.jsonl", "orders", count), changes, count)

    def csv(self, kind: str) -> Path:
        """The same rows for those who read CSV."""
        source, times = (self.base, TIMES) if kind == "base" else (self.changes, 1)
        path = source.with_suffix(f".{kind}.csv")
        if not path.exists():
            unfinished = path.with_suffix(".part")
            program = [sys.executable, str(PEERS / "sling_csv.py"), str(source), str(times), str(unfinished)]
            subprocess.run(program, check=True)
            unfinished.rename(path)
        return path

    def expected(self) -> Facts:
        """What the merged table must hold."""
        read = "(select record from read_json('{}', format = 'newline_delimited') where type = 'RECORD')"
        total = f"""
            with first as (select record.id, record.quantity from {read.format(self.base)}),
                 changes as (select record.id, record.quantity from {read.format(self.changes)})
            select (select {TIMES} * sum(quantity) from first) + (select sum(quantity) from changes)
                 - (select sum(first.quantity) from changes join first on first.id = (changes.id - 1) % {self.count} + 1
                    where changes.id <= {TIMES * self.count})
        """
        with duckdb.connect() as connection:
            quantities = int(connection.execute(total).fetchall()[0][0])
        return Facts(TIMES * self.count + self.count // 2, quantities)


def changed(n: int, count: int) -> int:
    """The id of the n-th merged row: of each two the first is in the table, and those are spread over all of it."""
    pairs, place = count // 2, (n - 1) // 2
    return 1 + place * SCATTER % pairs * (TIMES * count // pairs) if n % 2 else TIMES * count + 1 + place


@dataclass(frozen=True)
class Place:
    """Where one contender works.

    Attributes:
        folder: Its files; the current directory of its commands.
        url: Of its database, for those who write to PostgreSQL.
    """

    folder: Path
    url: str = ""


@dataclass(frozen=True)
class Merger:
    """One way to merge.

    Attributes:
        name, target: In the tables.
        load: The command that makes the table.
        merge: The command to time.
        facts: What the table holds.
        requirements: Installed into an isolated environment; none means Dativo's own.
        slow: Takes minutes: measured once.
        absent: Why it does not run at all.
    """

    name: str
    target: str
    load: Callable[[Place, Rows], list[str]]
    merge: Callable[[Place, Rows], list[str]]
    facts: Callable[[Place], Facts]
    requirements: tuple[str, ...] = ()
    slow: bool = False
    absent: str = ""

    @property
    def key(self) -> str:
        return f"{self.name} → {self.target}"


class Databases:
    """The server of a run of the benchmark, begun by the first contender that needs it."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        # A password without a blank: not every contender decodes the URL.
        server.sql("CREATE ROLE merger SUPERUSER LOGIN PASSWORD 'merger'")

    @property
    def pid(self) -> int | None:
        return self._server.process.pid if self._server.process else None

    def url(self, name: str) -> str:
        return f"postgresql://merger:merger@127.0.0.1:{self._server.port}/{name}?sslmode=disable"

    def make(self, name: str, template: str = "template1") -> None:
        """A new database, a copy of the other one."""
        self._server.sql(f'DROP DATABASE IF EXISTS "{name}"')
        self._server.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        self._server.sql("CHECKPOINT")

    def settle(self, name: str) -> None:
        """As the server's own upkeep leaves a table that was loaded some time ago."""
        with self._server.connect(name) as connection:
            connection.execute("VACUUM ANALYZE")


@contextmanager
def databases(needed: bool) -> Iterator[Databases | None]:
    if not needed:
        yield None
        return
    with postgres_server() as server:
        yield Databases(server)


def prepared(merger: Merger, rows: Rows, cache: Path, server: Databases | None) -> Place:
    """Makes the contender's table, unless it is there from another run; `restored` puts it back."""
    folder = cache / "merge" / str(rows.count) / merger.key.replace(" → ", "-").replace(" ", "-").replace(",", "")
    work, base, name = folder / "work", folder / "base", f"merge_{merger.name.lower()}"
    place = Place(work, server.url(name) if server and merger.target == "postgres" else "")
    if base.exists() and not place.url:
        return place
    shutil.rmtree(folder, ignore_errors=True)
    work.mkdir(parents=True)
    if place.url and server:
        server.make(name)
    measurement = measure(merger.load(place, rows), work)
    print(f"{'table':10} {merger.key:40} {measurement}", file=sys.stderr, flush=True)
    if place.url and server:
        server.settle(name)
        server.make(f"{name}_base", name)
    shutil.copytree(work, base, symlinks=True)
    return place


def restored(place: Place, server: Databases | None) -> None:
    shutil.rmtree(place.folder)
    shutil.copytree(place.folder.with_name("base"), place.folder, symlinks=True)
    if place.url and server:
        name = place.url.split("?")[0].rpartition("/")[2]
        server.make(name, f"{name}_base")


def once(merger: Merger, place: Place, rows: Rows, expected: Facts, server: Databases | None) -> Measurement:
    restored(place, server)
    pid = server.pid if place.url and server else None
    measurement = measure(merger.merge(place, rows), place.folder, limit_seconds=LIMIT_SECONDS, server=pid)
    if (facts := merger.facts(place)) != expected:
        raise RuntimeError(f"{merger.key} left {facts}, not {expected}")
    return measurement


def run_merge(mergers: list[Merger], count: int, rounds: int, cache: Path, results: Results) -> None:
    rows = Rows.made(cache, count)
    size, expected = rows.changes.stat().st_size, rows.expected()
    runs: dict[str, list[Measurement]] = {}
    results.begin("merge", count, size)
    with databases(any(merger.target == "postgres" and not merger.absent for merger in mergers)) as server:
        places: dict[str, Place] = {}
        for merger in mergers:
            if merger.absent:
                results.put_absent("merge", merger.key, merger.absent)
                continue
            if merger.requirements:
                environment(merger.requirements)
            places[merger.key] = prepared(merger, rows, cache, server)
        for number in range(rounds):
            for merger in mergers if number % 2 == 0 else reversed(mergers):
                if merger.key not in places or (merger.slow and number):
                    continue
                try:
                    measurement = once(merger, places[merger.key], rows, expected, server)
                except OverdueError as error:
                    results.put_absent("merge", merger.key, str(error))
                    continue
                runs.setdefault(merger.key, []).append(measurement)
                print(f"{'merge':10} {merger.key:40} {measurement}", file=sys.stderr, flush=True)
    for key, measured in runs.items():
        results.put("merge", count, size, key, measured)
