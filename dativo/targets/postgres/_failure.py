"""PostgreSQL's errors as Dativo's, in one place, by what the user can do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dativo_protocols import StreamId
from dativo_protocols.errors import ConfigError, ContractError, DativoError, TargetError

__all__ = ["LOCKED", "Place", "failures", "sqlstate_of"]

# Errors while connecting carry no SQLSTATE, only text.
_UNREACHABLE = r"refused|timed out|timeout expired|unreachable|reset by peer|closed the connection|starting up|shutting down"
_UNREACHABLE += (
    r"|recovery mode|No such file or directory|too many clients|remaining connection slots|connection to server was lost"
)


LOCKED = "55P03"
"""The SQLSTATE of a lock that did not come in time."""


@dataclass(frozen=True)
class Place:
    """Which database an error is about.

    Attributes:
        name: Host, port and database, as users know it.
        secret: A text that must not be in any message.
    """

    name: str
    user: str | None = None
    secret: str | None = field(default=None, repr=False)


@contextmanager
def failures(place: Place, action: str, stream: StreamId | None = None, *, connecting: bool = False) -> Iterator[None]:
    """Turns the driver's errors into Dativo's.

    Args:
        action: What was tried, as in "cannot {action}".
    """
    try:
        yield
    except DativoError:
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "adbc_driver_manager":
            raise
        facts: dict[str, object] = {"database": place.name}
        if stream is not None:
            facts["stream"] = str(stream)
        raise (_not_connected if connecting and not sqlstate_of(error) else _failed)(error, place, action, facts) from None


def sqlstate_of(error: BaseException) -> str:
    """The five characters by which PostgreSQL tells errors apart, or nothing."""
    return getattr(error, "sqlstate", None) or ""


def _not_connected(error: Exception, place: Place, action: str, facts: dict[str, object]) -> DativoError:
    text = _first_line(error, place)
    told: dict[str, Any] = {"facts": facts}
    who = f"user `{place.user}`" if place.user else "the user"
    if re.search(r"password authentication failed|no password supplied|authentication failed|no pg_hba.conf entry", text):
        hint = "check `user` and `password`, and the server's `pg_hba.conf`"
        return ConfigError(f"`{place.name}` does not let {who} in: {text}", hint=hint, **told)
    if re.search(r'role ".*" does not exist', text):
        return ConfigError(f"`{place.name}` has no {who}", hint="check `user`", **told)
    if re.search(r'database ".*" does not exist', text):
        return ConfigError(f"there is no database `{place.name}`", hint="make it with `createdb`, or check `dbname`", **told)
    if "permission denied" in text:
        return ConfigError(
            f"{who} may not connect to `{place.name}`", hint="GRANT CONNECT ON DATABASE … TO the user of the target", **told
        )
    if re.search(r"SSL|certificate", text):
        return ConfigError(f"no secure connection to `{place.name}`: {text}", hint="check `sslmode` and the certificates", **told)
    if "invalid connection option" in text or "invalid value for" in text or re.search(r"invalid .* value", text):
        return ConfigError(f"cannot {action}: {text}", hint="check the parameters of `url`", **told)
    if "could not translate host name" in text:
        hint = "check `host`; if it is right, its name server is out of reach"
        return TargetError(f"there is no host of `{place.name}`", hint=hint, again=True, **told)
    if re.search(_UNREACHABLE, text):
        return TargetError(f"cannot reach `{place.name}`: {text}", hint="is the server running?", retryable=True, **told)
    return TargetError(f"cannot {action}: {text}", again=True, **told)


def _failed(error: Exception, place: Place, action: str, facts: dict[str, object]) -> DativoError:
    state = sqlstate_of(error)
    facts |= {"sqlstate": state or None}
    details = dict(getattr(error, "details", None) or [])
    where = re.search(
        r"COPY .*?, line (\d+)(?:, column (.+?))?(?::|$)", details.get(b"PG_DIAG_CONTEXT", b"").decode(errors="replace")
    )
    if where is not None:
        facts |= {"row": int(where[1])} | ({"column": where[2]} if where[2] else {})
    message = _primary(error, details, place)
    told: dict[str, Any] = {"facts": facts}
    if not state:
        lost = f"cannot {action}: the connection to `{place.name}` was lost"
        return TargetError(lost, hint="run again: it goes on from the last commit", retryable=True, **told)
    for prefix, make in _MEANINGS.items():
        if state.startswith(prefix):
            told_so: DativoError = make(f"cannot {action}", message, told)
            return told_so
    return TargetError(f"cannot {action}: {message}", **told)


def _temporary(cause: str, hint: str) -> Any:
    return lambda action, _message, told: TargetError(f"{action}: {cause}", hint=hint, retryable=True, **told)


def _lasting(cause: str, hint: str) -> Any:
    return lambda action, _message, told: TargetError(f"{action}: {cause}", hint=hint, **told)


def _told(hint: str) -> Any:
    """For messages that name objects, and no values."""
    return lambda action, message, told: TargetError(f"{action}: {message}", hint=hint, **told)


def _unfit(cause: str, hint: str) -> Any:
    def make(action: str, _message: str, told: dict[str, Any]) -> DativoError:
        facts = told["facts"]
        column = f" in column `{facts['column']}`" if "column" in facts else ""
        return ContractError(f"{action}: {cause.format(column)}", hint=hint, **told)

    return make


_AGAIN = "run again: it goes on from the last commit"
_AS_JSON = "give the column the type `json` in the job (`types`): it keeps the text as the source wrote it"
# The first prefix that fits decides, so the longer ones come first. PostgreSQL's appendix A lists all.
_MEANINGS: dict[str, Any] = {
    "57P": _temporary("the server has ended the connection", _AGAIN),
    "08P01": _unfit("a value{} does not fit the column's type", "compare the table's column types with `dativo plan`"),
    "08": _temporary("the connection was lost", _AGAIN),
    "57014": _lasting(
        "the server's time limit for a statement, or an administrator, has cancelled it",
        "raise it for this user: ALTER ROLE … SET statement_timeout = 0, or `?options=-c%20statement_timeout%3D0` in `url`",
    ),
    "53100": _temporary("the server's disk is full", "free some space there, then run again"),
    "53200": _temporary("the server is out of memory", "give it more, or let the job commit smaller checkpoints"),
    "53300": _temporary("the server has too many connections", _AGAIN),
    "53400": _told("a limit that the server's administrator has set"),
    "53": _temporary("the server lacks resources", _AGAIN),
    "58030": _temporary("the server cannot read or write its disk", "look into the server's log"),
    "40P01": _temporary("another transaction waited for this one, and this one for the other", _AGAIN),
    "40": _temporary("another transaction was in the way", _AGAIN),
    LOCKED: _temporary("somebody else has locked the table", "wait until they are done, or raise `lock_timeout_seconds`"),
    "25006": _lasting("the server is read-only", "connect to the primary server (`target_session_attrs=read-write` in `url`)"),
    "25P03": _temporary("the server's time limit for idle transactions has passed", _AGAIN),
    "42501": _told(
        "the target's user needs CREATE and USAGE on the schema, TEMPORARY on the database, and to own tables that change"
    ),
    "42P07": _temporary("another job has just made a table of that name", _AGAIN),
    "42701": _temporary("another job has just added that column", _AGAIN),
    "2BP01": _told("drop what depends on it, run again, and make it anew"),
    "0A000": _told("if a view or rule uses the column: drop it, run again, and make it anew"),
    "54011": _lasting("a table has at most 1,600 columns", "leave some out with `fields` in the job, or set `nested: json`"),
    "54000": _told(
        "values of a key have at most 2,700 bytes, and rows of very many columns at most 8 kB beside their large values"
    ),
    "54": _told("a limit of PostgreSQL"),
    "23": lambda action, message, told: ContractError(
        f"{action}: {message}", hint="drop the constraint, or mend the rows", **told
    ),
    "21000": _unfit(
        "two rows have one key by the table's index", "drop the index whose collation takes different keys for the same"
    ),
    "22021": _unfit("a text{} has a character 0, which PostgreSQL cannot hold", _AS_JSON),
    "22P05": _unfit("a text{} has a character that the database's encoding cannot hold", "use a database with encoding UTF8"),
    "22P": _unfit("a value{} does not fit the column's type", "change the column's type by hand"),
    "22001": _unfit("a text{} is too long", "change the column's type to `text` by hand"),
    "22": _unfit("a value{} does not fit the column's type", "give the column the type `string` in the job (`types`)"),
    "P0": _lasting("a function or trigger of the database has refused it", "its message is in the server's log"),
    "42804": _told("change the column's type by hand"),
    "428C9": _told("the column is generated by PostgreSQL: leave it out with `fields` in the job"),
}


def _primary(error: Exception, details: dict[bytes, bytes], place: Place) -> str:
    """PostgreSQL's own sentence, which names objects and types; values are in its other parts."""
    found = details.get(b"PG_DIAG_MESSAGE_PRIMARY")
    text = found.decode(errors="replace") if found is not None else _first_line(error, place)
    return _masked(text, place)


def _first_line(error: Exception, place: Place) -> str:
    text = str(error)
    fatal = re.search(r"FATAL:\s+(.+)", text)
    text = fatal[1] if fatal else text.removeprefix("IO: [libpq] Failed to connect: ")
    return _masked(text.strip().splitlines()[0].rstrip(". ") if text.strip() else type(error).__name__, place)


def _masked(text: str, place: Place) -> str:
    return text.replace(place.secret, "***") if place.secret else text
