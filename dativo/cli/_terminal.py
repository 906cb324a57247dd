"""The program's three standard streams: what they can show, and how results are written to them."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dativo.cli._signals import reader_left

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "abandon_stdout",
    "console",
    "flush",
    "is_terminal",
    "note",
    "prepare",
    "printable",
    "write",
    "write_bytes",
    "write_json",
]

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A)}


def prepare() -> None:
    """Makes the three streams usable whatever the parent left: closed descriptors, and encodings that lack characters."""
    # A closed number would go to the next file that is opened, a state store perhaps, which would then be written to as stdout.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    out = sys.stdout
    raw = io.BufferedWriter(_Stdout(1, "wb", closefd=False))
    encoding = out.encoding if out else "utf-8"
    sys.stdout = io.TextIOWrapper(raw, encoding, "backslashreplace", line_buffering=os.isatty(1))
    if sys.stderr is None:
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "wb", closefd=False), "utf-8", write_through=True)
    elif isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")


class _Stdout(io.FileIO):
    """Standard output, whoever writes to it; a full disk is an error of the target, not a bug."""

    def write(self, data: Any) -> int:
        """As `FileIO.write`.

        Raises:
            BrokenPipeError: Nobody reads it any more.
            TargetError: It cannot be written.
        """
        try:
            return super().write(data)
        except BrokenPipeError:
            reader_left()
            raise
        except OSError as error:
            abandon_stdout()
            from dativo_protocols.errors import TargetError

            raise TargetError(f"cannot write to standard output: {error.strerror}") from error


def is_terminal(*, stderr: bool = False) -> bool:
    """Whether a person looks at stdout (or stderr)."""
    return (sys.stderr if stderr else sys.stdout).isatty()


def write(text: str) -> None:
    """Writes text to stdout."""
    sys.stdout.write(text)


def write_bytes(data: bytes) -> None:
    """Writes bytes to stdout as they are, and flushes them."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def write_json(document: Mapping[str, Any], *, exact: Mapping[str, bytes | None] | None = None) -> None:
    """Writes one JSON document to stdout, UTF-8 in any locale.

    Args:
        document: What `json` can write; anything else is written as its text.
        exact: Members added to it at the end as they are: JSON that must not be parsed and written again, or None for null.
    """
    indent = 2 if is_terminal() else None
    parts = [f"{_json(key)}: {_json(value, indent)}".encode() for key, value in document.items()]
    parts += [_json(key).encode() + b": " + (b"null" if value is None else value.strip()) for key, value in (exact or {}).items()]
    if indent:
        write_bytes(b"{\n  " + b",\n  ".join(part.replace(b"\n", b"\n  ") for part in parts) + b"\n}\n")
    else:
        write_bytes(b"{" + b", ".join(parts) + b"}\n")


def _json(value: Any, indent: int | None = None) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    # Half a surrogate pair has no UTF-8, but an escape.
    return text if text.isascii() or _is_utf8(text) else json.dumps(value, indent=indent, default=str)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def note(text: str) -> None:
    """Writes one line for a person to stderr."""
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def printable(text: str) -> str:
    """The text with control characters escaped, except tab and newline: what a connector says must not steer the terminal."""
    return text.translate(_ESCAPES)


def flush() -> None:
    """Flushes stdout; see `_Stdout.write` for what it raises."""
    sys.stdout.flush()


def abandon_stdout() -> None:
    """Sends what is left in stdout's buffers nowhere, so that the interpreter does not fail over it at its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def console(*, stderr: bool = False) -> Console:
    """A rich console on stdout (or stderr) that takes every text literally. Honours `NO_COLOR`, `TERM` and `COLUMNS`."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)
