"""What a program has to say, in whichever protocol."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from dativo_protocols import Catalog, CatalogStream, ConnectionStatus, ConnectorError, Estimate, Rejects, State

from dativo_sdk._program.inputs import ON_BAD_ROWS, OnBadRows
from dativo_sdk._reader import Piece
from dativo_sdk._saved_state import SavedState


class Voice(Protocol):
    """Says it on stdout, each at once; `NobodyListens` where its output is closed."""

    def spec(self, plugin: type[Any]) -> None:
        """What the plugin can be configured with, and what it can do."""
        ...

    def status(self, status: ConnectionStatus) -> None:
        """Whether the configuration works."""
        ...

    def catalog(self, catalog: Catalog) -> None:
        """The streams there are."""
        ...

    def estimate(self, estimate: Estimate) -> None:
        """How much there is to come."""
        ...

    def started(self, streams: Sequence[CatalogStream]) -> None:
        """Rows of these streams may follow."""
        ...

    def piece(self, piece: Piece) -> None:
        """Rows.

        Raises:
            ConnectorError: They cannot be said.
        """
        ...

    def state(self, state: State, saved: SavedState) -> None:
        """The state that the reader gave, and all that it gave so far."""
        ...

    def ended(self, error: BaseException | None) -> None:
        """The streams are complete, or are not because of the error."""
        ...

    def failed(self, error: BaseException) -> None:
        """What went wrong."""
        ...


def line(message: dict[str, Any]) -> bytes:
    """One message."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def timestamp(milliseconds: int) -> str:
    """As Singer writes it."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def records(lines: bytes, before: bytes, after: bytes) -> bytes:
    """Each line of JSON within a message; no object a record is made for that."""
    if not lines:
        return b""
    # A line feed cannot stand within a line's JSON.
    return b"%b%b%b\n" % (before, lines[:-1].replace(b"\n", b"%b\n%b" % (after, before)), after)


def refuse_bad_rows(rejects: Rejects, on_bad_rows: OnBadRows) -> str:
    """What to log of rows that are no records.

    Raises:
        ConnectorError: They end the run.
    """
    what = f"{rejects.rows} row{'s' if rejects.rows != 1 else ''} of `{rejects.stream}` could not be read"
    if on_bad_rows == "log":
        return f"{what}, and are left out"
    raise ConnectorError(
        what,
        hint=f'they can be kept with `--format arrow`, or left out with `"{ON_BAD_ROWS}": "log"` in the configuration',
        facts={"stream": str(rejects.stream), "rows": rejects.rows},
    )
