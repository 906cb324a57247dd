"""The taps of the suite: unmodified, from the package index, each in an environment of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.taps import sources
from tests.taps.servers import Server
from tests.taps.sources import Source


@dataclass(frozen=True)
class Tap:
    """One tap.

    Attributes:
        reference: As a job names it.
        family: The library it is made with.
        kind: Which source it reads.
        table: The stream's table.
        rows, later: Distinct rows of the stream at first, and after `Source.add`.
        resume: Whether it can go on from a state.
    """

    reference: str
    family: str
    kind: str
    table: str
    rows: int
    later: int

    @contextmanager
    def source(self, request: pytest.FixtureRequest, folder: Path) -> Iterator[Source]:
        """Its source, new; starts the server that it needs."""
        data = folder / "source"
        data.mkdir()
        if self.kind == "rest":
            with sources.rest_api() as api:
                yield api
        elif self.kind in ("jsonl", "csv"):
            yield sources.jsonl_files(data) if self.kind == "jsonl" else sources.csv_folder(data)
        elif self.kind == "postgres":
            server: Server = request.getfixturevalue("postgres")
            if self.family == "singer-sdk":
                yield sources.postgres_database(server, database="DATABASE", filter_schemas=["shop"])
            else:
                yield sources.postgres_database(server, dbname="DATABASE", filter_schemas="shop")
        else:
            yield sources.mariadb_database(request.getfixturevalue("mariadb"))


JSONL = Tap("singer:tap-jsonl==0.3.1", "singer-sdk", "jsonl", "things", 3, 4)
CSV = Tap("singer:tap-csv-folder==0.0.1a1", "singer-sdk", "csv", "orders", 3, 4)
REST = Tap("singer:tap-rest-api-msdk==1.4.2", "singer-sdk", "rest", "things", 10, 11)
POSTGRES = Tap("singer:meltanolabs-tap-postgres==0.10.0", "singer-sdk", "postgres", "shop_items", 4, 5)
PIPELINEWISE_POSTGRES = Tap("singer:pipelinewise-tap-postgres==1.8.4", "pipelinewise", "postgres", "shop_items", 4, 5)
PIPELINEWISE_MYSQL = Tap("singer:pipelinewise-tap-mysql==1.6.0", "pipelinewise", "mariadb", "", 4, 5)
MYSQL = Tap("singer:tap-mysql==1.17.7", "singer-python", "mariadb", "items", 4, 5)

TAPS = [JSONL, CSV, REST, POSTGRES, PIPELINEWISE_POSTGRES, PIPELINEWISE_MYSQL, MYSQL]


def parameters() -> list[object]:
    """All taps; those of one server stay on one worker, which then starts it once."""
    marks = {"postgres": "server", "mariadb": "server"}
    return [
        pytest.param(
            tap,
            id=tap.reference.removeprefix("singer:"),
            marks=[pytest.mark.network, pytest.mark.xdist_group(f"taps-{tap.kind}")]
            + ([getattr(pytest.mark, marks[tap.kind])] if tap.kind in marks else []),
        )
        for tap in TAPS
    ]
