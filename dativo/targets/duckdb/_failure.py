"""DuckDB's errors as Dativo's, in one place, by what the user can do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dativo_protocols import StreamId
from dativo_protocols.errors import ContractError, DativoError, TargetError

__all__ = ["WOULD_CHANGE", "failures", "translated"]

WOULD_CHANGE = "a value would change"
"""What SQL of our own raises where a cast would lose something."""


@contextmanager
def failures(path: Path, action: str, stream: StreamId | None = None) -> Iterator[None]:
    """Turns DuckDB's errors into Dativo's.

    Args:
        path: The database file.
        action: What was tried, as in "cannot {action}".
    """
    try:
        yield
    except DativoError:
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in {"duckdb", "_duckdb"}:
            raise
        raise translated(error, path, action, stream) from error


def translated(error: Exception, path: Path, action: str, stream: StreamId | None = None) -> DativoError:
    """The error to raise for one of DuckDB's."""
    text = str(error)
    first = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    facts: dict[str, object] = {"path": str(path), "duckdb_error": type(error).__name__}
    if stream is not None:
        facts["stream"] = str(stream)
    told: dict[str, Any] = {"facts": facts}
    kind = type(error).__name__
    if "Could not set lock" in text or "Conflicting lock" in text:
        return _locked(text, path, facts)
    if re.search(r"No space left|ENOSPC|disk is full|max_temp_directory_size", text):
        hint = "free some space, then run again"
        return TargetError(f"cannot {action}: the disk of `{path}` is full", hint=hint, retryable=True, **told)
    if re.search(r"File too large|EFBIG", text):
        return TargetError(f"cannot {action}: `{path}` may not grow further", hint="raise the file size limit", **told)
    if re.search(r"Permission denied|[Rr]ead-only file system|EACCES", text):
        return TargetError(
            f"cannot {action}: no permission to write `{path}`", hint="check the owner and mode of file and directory", **told
        )
    if re.search(r"not a valid DuckDB database|[Cc]orrupt|checksum|older version of|newer version of", text):
        hint = "name another `path`, or restore the file from a backup"
        return TargetError(f"cannot {action}: `{path}` is no database that this DuckDB can read", hint=hint, **told)
    if kind == "OutOfMemoryException" or re.search(r"could not allocate block|failed to pin block", text):
        return TargetError(
            f"cannot {action}: DuckDB needs more memory", hint="raise `memory_limit` in the target's configuration", **told
        )
    if kind == "ConstraintException":
        return ContractError(
            f"cannot {action}: a row breaks a constraint of the table", hint="drop the constraint, or mend the rows", **told
        )
    if kind in {"ConversionException", "OutOfRangeException"} or WOULD_CHANGE in text:
        return ContractError(
            f"cannot {action}: a value does not fit the column's type", hint="change the column's type by hand", **told
        )
    if kind == "ConnectionException" and "different configuration" in text:
        return TargetError(f"cannot {action}: this process has `{path}` open already", hint="close the other connection", **told)
    # The first line names objects and types, never values.
    return TargetError(f"cannot {action}: {first.rstrip('.')}", **told)


def _locked(text: str, path: Path, facts: dict[str, object]) -> TargetError:
    holder = re.search(r"held in (.+?) \(PID (\d+)\)", text)
    if holder is None:
        return TargetError(f"another process has `{path}` open", hint="wait until it is done", retryable=True, facts=facts)
    facts |= {"pid": int(holder[2])}
    hint = f"wait until process {holder[2]} (`{holder[1]}`) is done, or end it"
    return TargetError(f"another process has `{path}` open", hint=hint, retryable=True, facts=facts)
