"""A stream on its way into files, between two commits."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
from dativo_protocols import StreamId

from dativo.targets._rejected_rows import Removal
from dativo.targets._staging import Lane


@dataclass(slots=True)
class FileStream:
    """A stream of this run.

    Attributes:
        schema: The table's, None until a batch came.
        passed: Those that it had before, oldest first, as far as a type was another.
        found: Id of the schema that the table had when this began.
        arriving: The schema of the last batch.
    """

    id: StreamId
    table: str
    overwrite: bool
    columns: dict[str, str]
    schema: pa.Schema | None
    passed: list[pa.Schema] = field(default_factory=list)
    found: str | None = None
    lane: Lane | None = None
    arriving: pa.Schema | None = None
    renamed: pa.Schema | None = None
    announced: bool = False
    rows: int = 0
    quarantine: str | None = None
    rejects: Lane | None = None
    rejected: int = 0
    mended: list[str] = field(default_factory=list)
    removal: Removal = field(default_factory=Removal)

    @property
    def lanes(self) -> list[Lane]:
        return [lane for lane in (self.lane, self.rejects, *self.removal.lanes) if lane is not None]

    @property
    def changed(self) -> bool:
        return self.announced or bool(self.rejected or self.mended)
