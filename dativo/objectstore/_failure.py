"""What obstore raises, as Dativo's errors: by what the user can do. Its own messages are long, and repeat the request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from dativo_protocols.errors import TargetError

CODE = re.compile(r"<Code>([A-Za-z]+)</Code>|\(code: ([A-Za-z]+)\)|error=\"([a-z_]+)\"")
STATUS = re.compile(r"status code: (\d{3})")

CREDENTIALS = "check the credentials under `storage_options`, or those that the environment gives"
HINTS = {
    "NoSuchBucket": "make the bucket first: Dativo does not",
    "ContainerNotFound": "make the container first: Dativo does not",
    "InvalidAccessKeyId": CREDENTIALS,
    "SignatureDoesNotMatch": f"{CREDENTIALS}; a wrong `region` looks the same",
    "AccessDenied": "let this user list, read, write and delete there",
    "ExpiredToken": "the session has expired: get a new `session_token`",
    "RequestTimeTooSkewed": "set the clock of this machine",
    "EntityTooLarge": "choose a smaller `file_size_bytes`",
    "QuotaExceeded": "free some space, then run again: the run resumes from its last commit",
}


@contextmanager
def failures(url: str, action: str) -> Iterator[None]:
    """Turns obstore's errors into Dativo's; `FileNotFoundError` for an object that is not there goes through.

    Args:
        action: What was tried, as in "cannot {action} `{url}`".
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        if _code(str(error)) in ("NoSuchBucket", "ContainerNotFound"):
            raise refused(error, action, url) from None
        raise
    except (BaseError, OSError, ValueError) as error:
        raise refused(error, action, url) from None


def refused(error: Exception, action: str, url: str) -> TargetError:
    """The user's view of one of obstore's errors; the first line of its message at most."""
    text = str(error)
    code, status = _code(text), STATUS.search(text)
    number = int(status[1]) if status else None
    reason = code or (f"HTTP status {number}" if number else _short(text))
    hint = HINTS.get(code or "")
    if hint is None and type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
        hint = CREDENTIALS
    passing = number in (408, 409, 425, 429) or (number is not None and number >= 500)
    retryable = hint is None and (passing or (number is None and _is_connection(text)))
    if retryable:
        hint = (
            f"is the store at work, and can it be reached? {_short(text)}"
            if number is None
            else "the store asks to try again later"
        )
    return TargetError(
        f"cannot {action} `{url}`: {reason}",
        hint=hint,
        retryable=retryable,
        facts={"path": url, "code": code or "", "status": number},
    )


def _is_connection(text: str) -> bool:
    words = ("HTTP error", "error sending request", "timed out", "timeout", "connection", "Connection", "dns", "body", "retries")
    return any(word in text for word in words)


def _code(text: str) -> str | None:
    match = CODE.search(text)
    return next((group for group in match.groups() if group), None) if match else None


def _short(text: str) -> str:
    """What comes after the request in the first line: `HTTP error: error sending request`."""
    line = text.splitlines()[0] if text else "no reason given"
    return re.sub(r"^.*(?:retry_timeout: \S+\s+-|in [\d.]+\S+ -|Generic \S+ error:)\s*", "", line)[:200]
