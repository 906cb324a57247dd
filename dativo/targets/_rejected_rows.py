"""Quarantine files: rows with an id that stays theirs, read again, and written anew without those that were mended."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_protocols.errors import TargetError

from dativo import _compute as pc
from dativo._evolution import conform
from dativo.targets._commit_record import DataFile, Picture
from dativo.targets._data_file import read_data_file
from dativo.targets._kept_schema import REJECTS, load_schema
from dativo.targets._staging import Lane, Staging
from dativo.targets._store import Store

ARRIVING = pa.schema([REJECTS.field(name) for name in ("line", "column", "reason", "record")])


class RejectStamp:
    """Gives the rejected rows of one run their ids, its own id, and the moment."""

    def __init__(self, run_id: str) -> None:
        # A run's id may come again, and ids of rows may not.
        self._token = secrets.token_hex(6)
        self._run_id = run_id
        self._count = 0

    def __call__(self, rows: pa.RecordBatch, stream: StreamId) -> pa.RecordBatch:
        """`Rejects` as rows of `REJECTS`."""
        rows, count = conform(rows, ARRIVING, stream=stream), rows.num_rows
        numbers = pa.array(range(self._count, self._count + count), pa.int64()).cast(pa.utf8())
        self._count += count
        now = pa.scalar(int(time.time() * 1e6), pa.int64()).cast(pa.timestamp("us", "UTC"))
        added = {
            "id": pc.binary_join_element_wise(f"{self._token}-", numbers, ""),
            "run_id": pa.repeat(self._run_id, count),
            "loaded_at": pa.repeat(now, count),
        }
        return pa.RecordBatch.from_arrays(
            [added[name] if name in added else rows.column(name) for name in REJECTS.names], schema=REJECTS
        )


def read_rejects(store: Store, file: DataFile, picture: Picture, stream: StreamId) -> Iterator[pa.RecordBatch]:
    """The rows of one quarantine file, with the columns of `REJECTS`."""
    schema, row = load_schema(picture.schemas[file.schema]), 0
    for batch in read_data_file(store, file, schema, [name for name in REJECTS.names if name in schema.names]):
        rows = conform(batch, REJECTS, stream=stream)
        if rows.column(0).null_count:
            # Files from before there were ids: they are where they are until one of their rows is taken out.
            ids = pa.array([f"{file.path}#{number}" for number in range(row, row + rows.num_rows)], pa.utf8())
            rows = rows.set_column(0, REJECTS.field("id"), pc.coalesce(rows.column(0), ids))
        row += rows.num_rows
        yield rows


@dataclass(slots=True)
class Removal:
    """Rejected rows of one stream on their way out.

    Attributes:
        replaced: Files that hold some of them.
        rest: For each file with other rows as well, its path and the lane with those.
    """

    replaced: list[str] = field(default_factory=list)
    rest: list[tuple[str, Lane]] = field(default_factory=list)

    @property
    def lanes(self) -> list[Lane]:
        return [lane for _, lane in self.rest]

    def files(self) -> list[DataFile]:
        """The files that take the others' places; as with `Lane.take`, only once."""
        return [
            DataFile(file.path, file.rows, file.bytes, file.schema, file.reading, instead_of)
            for instead_of, lane in self.rest
            for file in lane.take()
        ]


def stage_removal(
    store: Store, staging: Staging, lane: Callable[[], Lane], picture: Picture, stream: StreamId, ids: Sequence[str]
) -> Removal:
    """Writes files anew without these rows.

    Raises:
        TargetError: One of the rows is not there.
    """
    wanted, removal = set(ids), Removal()
    unwanted = pa.array(sorted(wanted), pa.utf8())
    table = picture.tables.get(stream)
    for file in table.rejects.values() if table is not None else ():
        if not wanted:
            break
        held: set[str] = set()
        for rows in read_rejects(store, file, picture, stream):
            held |= wanted.intersection(rows.column(0).to_pylist())
        if not held:
            continue
        wanted -= held
        removal.replaced.append(file.path)
        if len(held) < file.rows:
            rest = lane()
            for rows in read_rejects(store, file, picture, stream):
                kept = rows.filter(pc.invert(pc.is_in(rows.column(0), unwanted)))
                if kept.num_rows:
                    staging.add(rest, kept, max(kept.nbytes, 1))
            removal.rest.append((file.path, rest))
    if wanted:
        raise missing(stream, min(wanted))
    return removal


def missing(stream: StreamId, what: str) -> TargetError:
    """What a row is missing for: it was taken out before, or its quarantine was replaced."""
    return TargetError(
        f"the quarantine of stream `{stream}` does not hold `{what}`",
        hint="list the quarantine again: another run has changed it",
        facts={"stream": str(stream), "id": what},
    )
