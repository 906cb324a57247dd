"""The files a program is started with."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Sequence
from typing import IO, Any, Literal, TypeAlias, cast

from dativo_protocols import ConfigError

from dativo_sdk._airbyte_catalog import read_catalog_of
from dativo_sdk._read_catalog import ReadCatalog
from dativo_sdk._saved_state import SavedState

OnBadRows: TypeAlias = Literal["fail", "log"]

ON_BAD_ROWS = "dativo_on_bad_rows"
"""A setting of every reader, taken out before it sees the configuration: whether rows that cannot be sent as records end the run
(`fail`, as when it is left out) or are logged, without their values (`log`). Rows that go out as Arrow data are never dropped."""


ON_STDIN = "-"
"""In the place of a partition's file: tokens come on stdin."""


def read_config(files: Sequence[str]) -> tuple[dict[str, Any], OnBadRows]:
    """The configuration, and what becomes of bad rows.

    Raises:
        ConfigError: A file is missing or no JSON object, or `dativo_on_bad_rows` has no such value.
    """
    config: dict[str, Any] = {}
    for file in files:
        config.update(_object(file, "config"))
    chosen = config.pop(ON_BAD_ROWS, "fail")
    if chosen not in ("fail", "log"):
        raise ConfigError(f"config: `{ON_BAD_ROWS}` is `fail` or `log`")
    return config, cast(OnBadRows, chosen)


def read_partition(file: str | None) -> bytes | None:
    """The token of the part that is to be read."""
    return None if file is None else _bytes(file, "partition")


def read_tokens(lines: IO[bytes]) -> Iterator[bytes]:
    """Tokens of parts: one a line, in base64, until the end.

    Raises:
        ConfigError: A line is none.
    """
    for line in lines:
        try:
            yield b64decode(line.strip(), validate=True)
        except ValueError:
            raise ConfigError("what came on stdin is no token of a part in base64") from None


def read_state(file: str | None) -> SavedState | None:
    """Airbyte's array of states; None where it says nothing.

    Raises:
        ConfigError: It is none.
    """
    data = b"" if file is None else _bytes(file, "state")
    if not data.strip():
        return None
    state = SavedState.parse(data)
    if state.shared is not None and not json.loads(state.shared):
        state = SavedState(state.streams)
    return state if state != SavedState() else None


def read_configured(file: str | None, partition: bytes | None) -> ReadCatalog | None:
    """What an Airbyte catalog, configured, says is to be read: fields are those in a stream's schema.

    Raises:
        ConfigError: It is none.
    """
    if file is None:
        return None
    return read_catalog_of({"streams": _streams(file)}, partition)


def read_singer_catalog(file: str) -> list[dict[str, Any]]:
    """The entries of a tap's catalog.

    Raises:
        ConfigError: It is none.
    """
    return _streams(file)


def _streams(file: str) -> list[dict[str, Any]]:
    streams = _object(file, "catalog").get("streams")
    if not isinstance(streams, list) or not all(isinstance(each, dict) for each in streams):
        raise ConfigError("catalog: `streams` is missing or is no list of objects")
    return streams


def read_text(file: str, what: str) -> str:
    """A file's text."""
    try:
        return _bytes(file, what).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} file `{file}` is not UTF-8") from error


def _bytes(file: str, what: str) -> bytes:
    try:
        with open(file, "rb") as opened:
            return opened.read()
    except OSError as error:
        raise ConfigError(f"{what} file `{file}` cannot be read: {error.strerror}") from error


def _object(file: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(read_text(file, what))
    except ValueError as error:
        # Never the text: it may hold secrets.
        place = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigError(f"{what} file `{file}` is no JSON{place}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{what} file `{file}` is no JSON object")
    return found
