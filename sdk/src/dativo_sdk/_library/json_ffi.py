"""Readers behind the older interface of shared libraries, which hands rows over as JSON text.

- `void *create_reader(const char *config_json)`: null where it fails.
- `char *extract_batch(void *reader)`: the next rows. A JSON array of objects; or an object with the rows under `records`, `rows`
  or `data`, and optionally `state` (an object: covers all rows up to here), `done` (true: there are no more; or `has_more`:
  false) and `error` (a text, or an object with `message`); any other object is one row. The end is null, an empty text, `null`,
  an array or object without rows and without `has_more`, or what `done` says.
- `void free_string(char *)`, `void free_reader(void *)`.
- `const char *last_error(void)`, optional: why the last call of one of the two failed; null where it has not.

What the interface has no words for stands in the configuration. The settings `dativo_stream` (the stream's name; else that of the
library), `dativo_schema` (JSON Schema of a row; else told from the first rows) and `dativo_primary_key` are taken out before the
library sees it; `dativo_state`, the state to go on from, is put in where there is one.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from dativo_protocols import (
    AirbyteDecoder,
    Batch,
    Catalog,
    CatalogStream,
    ConfigError,
    ConnectorError,
    Rejects,
    State,
    StreamId,
)

from dativo_sdk._json_members import members
from dativo_sdk._read_catalog import ReadCatalog
from dativo_sdk._reader import Piece
from dativo_sdk._saved_state import SavedState

FUNCTIONS = ("create_reader", "extract_batch", "free_string", "free_reader")
SETTINGS = ("dativo_stream", "dativo_schema", "dativo_primary_key")
_ROWS = ("records", "rows", "data")
_WORDS = frozenset((*_ROWS, "state", "done", "has_more", "error"))


class JsonLibraryReader:
    """A reader of such a library, which is a subclass of this."""

    releases_gil = False
    library: ClassVar[ctypes.CDLL]
    stream: ClassVar[str]

    def __init__(self) -> None:
        self._handle: int | None = None
        self._lines: deque[bytes] = deque()
        self._pieces: deque[Piece] = deque()
        self._state: State | None = None
        self._covered: State | None = None
        self._is_done = False

    def initialize(self, config: Mapping[str, Any], catalog: ReadCatalog | None, state: SavedState | None) -> None:
        """Creates it."""
        own, given = {key: config[key] for key in SETTINGS if key in config}, dict(config)
        for key in own:
            del given[key]
        self._id = StreamId(str(own.get("dativo_stream", self.stream)))
        self._schema, self._key = own.get("dativo_schema"), tuple(own.get("dativo_primary_key", ()))
        if self._schema is not None and not isinstance(self._schema, dict):
            raise ConfigError("config: `dativo_schema` is no JSON Schema")
        self._catalog = catalog
        self._is_selected = catalog is None or self._id in catalog.selected
        if state is not None and (found := state.of(self._id)) is not None:
            given["dativo_state"] = found
        self._handle = self.library.create_reader(json.dumps(given).encode())
        if not self._handle:
            self._handle = None
            raise ConfigError(f"`create_reader` of `{self.stream}` failed{self._why()}", hint="look at its configuration")

    def get_schema(self) -> Catalog:
        """One stream; its schema is what the configuration says, else what its first rows are."""
        methods = ("FULL_TABLE",)
        return Catalog((CatalogStream(self._id, self._json_schema(), self._key, (), methods),))

    def read_batch(self, max_rows: int) -> Piece | None:
        """Rows, decoded as the schema says; those that do not fit are rejected."""
        if not self._is_selected:
            return None
        while not self._pieces:
            if not self._lines and not self._extract():
                return None
            schema = self._json_schema()
            count = min(max_rows, len(self._lines))
            self._pieces.extend(self._decoded([self._lines.popleft() for _ in range(count)], schema))
        piece = self._pieces.popleft()
        self._covered = self._state if not self._lines and not self._pieces else None
        return piece

    def get_incremental_state(self) -> State | None:
        """What came with the rows, once all of them are given."""
        return self._covered

    def close(self) -> None:
        """Frees it."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            self.library.free_reader(handle)

    def _extract(self) -> bool:
        """Asks for rows until there are some; false at the end."""
        while not self._is_done:
            text = self._text()
            if not text.strip() or text.strip() == "null":
                self._is_done = True
                return False
            rows, said = _parsed(text)
            if (error := said.get("error")) is not None:
                message = json.loads(error)
                message = message.get("message", error) if isinstance(message, dict) else message
                raise ConnectorError(f"`{self.stream}` failed: {message}")
            if "state" in said and said["state"] != "null":
                self._state = State(said["state"].encode(), self._id)
            elif rows:
                self._state = None
            more = said.get("has_more")
            self._is_done = said.get("done") == "true" or more == "false" or (not rows and more is None)
            if rows:
                self._lines.extend(rows)
                return True
        return False

    def _text(self) -> str:
        address = self.library.extract_batch(self._handle)
        if not address:
            if why := self._why():
                raise ConnectorError(f"`extract_batch` of `{self.stream}` failed{why}")
            return ""
        try:
            return ctypes.string_at(address).decode()
        except UnicodeDecodeError as error:
            raise ConnectorError(f"`extract_batch` of `{self.stream}` gave no UTF-8") from error
        finally:
            self.library.free_string(address)

    def _why(self) -> str:
        last_error = getattr(self.library, "last_error", None)
        if last_error is None:
            return ""
        last_error.restype = ctypes.c_char_p
        said = last_error()
        return f": {said.decode('utf-8', 'replace')}" if said else ""

    def _json_schema(self) -> dict[str, Any]:
        if self._schema is None:
            if not self._lines:
                self._extract()
            self._schema = inferred(self._lines)
        return self._schema

    def _decoded(self, lines: Sequence[bytes], schema: dict[str, Any]) -> Iterator[Piece]:
        """As an Airbyte source's records are: the decoder has the rules for values that do not fit."""
        name = json.dumps(self._id.name)
        before = f'{{"type":"RECORD","record":{{"stream":{name},"data":'.encode()
        entry = {"stream": {"name": self._id.name, "json_schema": schema}, "sync_mode": "full_refresh"}
        selection = None if self._catalog is None else self._catalog.selected.get(self._id)
        fields = None if selection is None or selection.fields is None else {self._id: [*selection.fields, *self._key]}
        fd = os.memfd_create("dativo-rows")
        try:
            with os.fdopen(os.dup(fd), "wb") as file:
                file.writelines(b"%b%b}}\n" % (before, line) for line in lines)
            os.lseek(fd, 0, os.SEEK_SET)
            catalog = json.dumps({"streams": [entry]}).encode()
            decoder = AirbyteDecoder(fd, catalog=catalog, fields=fields, extra="keep" if fields is None else "drop", threads=1)
            for message in decoder:
                if isinstance(message, (Batch, Rejects)):
                    yield message
        finally:
            os.close(fd)


def json_library_class(library: ctypes.CDLL, name: str) -> type[JsonLibraryReader]:
    """The reader of a library, as a class like any other."""
    for function in FUNCTIONS:
        if not hasattr(library, function):
            raise ConfigError(f"`{library._name}` is no reader: it has `create_reader`, but no `{function}`")
    library.create_reader.restype, library.create_reader.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    library.extract_batch.restype, library.extract_batch.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    library.free_string.restype, library.free_string.argtypes = None, [ctypes.c_void_p]
    library.free_reader.restype, library.free_reader.argtypes = None, [ctypes.c_void_p]
    return type(name, (JsonLibraryReader,), {"library": library, "stream": name, "name": name})


def inferred(lines: Sequence[bytes]) -> dict[str, Any]:
    """A JSON Schema that these rows fit: of a property that is of several kinds, any value."""
    kinds: dict[str, set[str]] = {}
    for line in lines:
        for name, value in json.loads(line).items():
            kinds.setdefault(name, set()).add(_kind(value))
    return {"type": "object", "properties": {name: _schema(found - {"null"}) for name, found in kinds.items()}}


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names: dict[type, str] = {type(None): "null", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _schema(kinds: set[str]) -> dict[str, Any]:
    if kinds == {"integer", "number"}:
        kinds = {"number"}
    return {"type": ["null", *kinds]} if len(kinds) == 1 else {}


def _parsed(text: str) -> tuple[list[bytes], dict[str, str]]:
    """Rows, each on a line, and what else was said, as JSON."""
    # Within JSON a line feed is but a space.
    text = text.replace("\n", " ").replace("\r", " ").strip()
    try:
        if text.startswith("["):
            rows, said = [value for _, value in members(text)], {}
        else:
            said = dict(members(text))
            listed = next((said[key] for key in _ROWS if said.get(key, "").startswith("[")), None)
            if listed is not None:
                rows = [value for _, value in members(listed)]
            else:
                rows, said = ([], said) if said.keys() & _WORDS or not said else ([text], {})
    except ValueError as error:
        raise ConnectorError(f"`extract_batch` gave no JSON: {error}") from None
    if not all(row.startswith("{") for row in rows):
        raise ConnectorError("`extract_batch` gave rows that are no JSON objects")
    return [row.encode("utf-8", "surrogatepass") for row in rows], said
