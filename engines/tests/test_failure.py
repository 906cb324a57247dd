"""The cause of a failure comes first."""

from __future__ import annotations

import pytest
from dativo_engines._failure import connector_failure, root_cause
from dativo_engines._running import Exit

TRACEBACK = """\
INFO starting
Traceback (most recent call last):
  File "tap.py", line 1, in <module>
    connect()
ValueError: first

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "tap.py", line 3, in <module>
    raise X
tap.errors.AuthError: bad key
\tsecond line of the message
ERROR bye"""


@pytest.mark.parametrize(
    ("stderr", "cause"),
    [
        (TRACEBACK, "tap.errors.AuthError: bad key"),
        ("Traceback (most recent call last):\n  File x\n    y\nKeyboardInterrupt", "KeyboardInterrupt"),
        (
            "usage: tap [-h]\ntap: error: the following arguments are required: -c/--config",
            "the following arguments are required: -c/--config",
        ),
        ("CRITICAL no access.\nINFO bye", "no access"),
        ("time=2026-01-01 00:00:00 name=tap level=CRITICAL message=no access", "no access"),
        (
            "2026-01-01 00:00:00,123 | ERROR    | tap-x    | 'path' is required\n2026-01-01 | ERROR | tap-x | Invalid",
            "'path' is required; Invalid",
        ),
        ('{"level": "ERROR", "message": "broken"}', "broken"),
        ("ERROR one\nINFO x\nERROR two", "two"),
        ("Error: no such file", "no such file"),
        ("thread 'main' panicked at src/main.rs:1:2:\nboom", "thread 'main' panicked at src/main.rs:1:2:"),
        ("something\nelse", "else"),
        ("", None),
    ],
)
def test_root_cause(stderr: str, cause: str | None) -> None:
    assert root_cause(stderr.splitlines()) == cause


@pytest.mark.parametrize(
    ("code", "number", "message", "retryable"),
    [
        (1, None, "`tap` failed: bad (exit code 1)", False),
        (75, None, "`tap` failed: bad (exit code 75)", True),
        (None, 9, "ended by SIGKILL: out of memory, or killed from outside (exit code 137 in a shell)", False),
        (137, None, "ended by SIGKILL: out of memory, or killed from outside (exit code 137)", False),
        (143, None, "ended by SIGTERM: ended from outside (exit code 143)", True),
        (None, 15, "ended by SIGTERM: ended from outside", True),
        (None, 11, "ended by SIGSEGV: it crashed (exit code 139 in a shell); its last words: bad", False),
    ],
)
def test_exits_are_explained(code: int | None, number: int | None, message: str, retryable: bool) -> None:
    error = connector_failure("tap", Exit(code, number, 50 << 20, 1.0), ["CRITICAL bad"])
    assert message in error.message
    assert error.retryable is retryable
    assert error.facts["stderr"] == "CRITICAL bad"


def test_memory_is_named_when_it_was_killed() -> None:
    assert "50 MiB" in (connector_failure("tap", Exit(None, 9, 50 << 20, 1.0), []).hint or "")
