"""Readers behind the C interface of `dativo_reader.h`."""

from __future__ import annotations

import ctypes
import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from dativo_protocols import (
    Batch,
    Catalog,
    ConfigError,
    ConnectorError,
    ContractError,
    DativoError,
    Rejects,
    State,
    StreamId,
)

from dativo_sdk._airbyte_catalog import configured_catalog, stream_of
from dativo_sdk._json_members import members
from dativo_sdk._library.carrier import ArrowArrayStruct, ArrowSchemaStruct, CarriedBatch, release
from dativo_sdk._read_catalog import ReadCatalog
from dativo_sdk._reader import Partition, Piece
from dativo_sdk._saved_state import SavedState

_TEXT, _HANDLE = ctypes.c_char_p, ctypes.c_void_p
_RETURNED = ctypes.POINTER(ctypes.c_void_p)


class Functions:
    """The functions of one library; those that give a text give it to Python, and free it."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        signatures: dict[str, tuple[Any, list[Any]]] = {
            "dativo_api_version": (ctypes.c_uint32, []),
            "dativo_spec": (_TEXT, []),
            "dativo_open": (ctypes.c_int, [_TEXT, _TEXT, _TEXT, _TEXT, ctypes.c_size_t, _RETURNED]),
            "dativo_schema": (ctypes.c_int, [_HANDLE, _RETURNED]),
            "dativo_read": (ctypes.c_int, [_HANDLE, ctypes.c_uint64, _RETURNED, _HANDLE, _HANDLE]),
            "dativo_state": (ctypes.c_int, [_HANDLE, _RETURNED]),
            "dativo_partitions": (ctypes.c_int, [_HANDLE, ctypes.c_uint32, ctypes.c_uint64, _RETURNED]),
            "dativo_close": (None, [_HANDLE]),
            "dativo_free": (None, [ctypes.c_void_p]),
            "dativo_error": (_TEXT, []),
        }
        for name, (result, arguments) in signatures.items():
            if name == "dativo_partitions" and not hasattr(library, name):
                continue
            function = getattr(library, name, None)
            if function is None:
                raise ConfigError(f"`{library._name}` is no reader: it has no function `{name}`")
            function.restype, function.argtypes = result, arguments

    def api_version(self) -> str:
        """MAJOR.MINOR."""
        version = int(self._library.dativo_api_version())
        return f"{version >> 16}.{version & 0xFFFF}"

    def spec(self) -> dict[str, Any]:
        """What the library says of itself."""
        return self._object((self._library.dativo_spec() or b"").decode(), "dativo_spec")

    def open(self, config: str, catalog: bytes | None, state: bytes | None, partition: bytes | None) -> int:
        """A reader."""
        handle = ctypes.c_void_p()
        size = 0 if partition is None else len(partition)
        self._check(
            self._library.dativo_open(config.encode(), catalog, state, partition, size, ctypes.byref(handle)), "dativo_open"
        )
        if handle.value is None:
            raise ConnectorError("`dativo_open` gave no reader, and no error")
        return handle.value

    def schema(self, handle: int) -> dict[str, Any]:
        """A catalog."""
        text = ctypes.c_void_p()
        self._check(self._library.dativo_schema(handle, ctypes.byref(text)), "dativo_schema")
        return self._object(self._taken(text) or "", "dativo_schema")

    def read(self, handle: int, max_rows: int) -> tuple[dict[str, Any], CarriedBatch] | None:
        """Rows and what they are, or None at the end."""
        text, array, schema = ctypes.c_void_p(), ArrowArrayStruct(), ArrowSchemaStruct()
        code = self._library.dativo_read(handle, max_rows, ctypes.byref(text), ctypes.addressof(array), ctypes.addressof(schema))
        try:
            self._check(code, "dativo_read")
            said = self._taken(text)
            if said is None:
                return None
            described = self._object(said, "dativo_read")
            if not array.release or not schema.release:
                raise ConnectorError("`dativo_read` gave no Arrow data")
        except BaseException:
            release(array)
            release(schema)
            raise
        return described, CarriedBatch(array, schema)

    def state(self, handle: int) -> str | None:
        """A state, as the library wrote it."""
        text = ctypes.c_void_p()
        self._check(self._library.dativo_state(handle, ctypes.byref(text)), "dativo_state")
        return self._taken(text)

    def partitions(self, handle: int, count: int, target_bytes: int) -> str | None:
        """Parts, as the library wrote them."""
        text = ctypes.c_void_p()
        self._check(self._library.dativo_partitions(handle, count, target_bytes, ctypes.byref(text)), "dativo_partitions")
        return self._taken(text)

    def close(self, handle: int) -> None:
        """Frees the reader."""
        self._library.dativo_close(handle)

    def _taken(self, text: ctypes.c_void_p) -> str | None:
        if text.value is None:
            return None
        try:
            return ctypes.string_at(text.value).decode()
        finally:
            self._library.dativo_free(text)

    def _check(self, code: int, function: str) -> None:
        if code:
            raise _error((self._library.dativo_error() or b"").decode("utf-8", "replace"), function, code)

    def _object(self, text: str, function: str) -> dict[str, Any]:
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ConnectorError(f"`{function}` gave no JSON object")
        return found


class LibraryReader:
    """A reader of a library, which is a subclass of this with its functions. The functions are called without the GIL."""

    releases_gil = True
    functions: ClassVar[Functions]

    def __init__(self) -> None:
        self._handle: int | None = None

    def initialize(self, config: Mapping[str, Any], catalog: ReadCatalog | None, state: SavedState | None) -> None:
        """Opens it."""
        self._handle = self.functions.open(
            json.dumps(dict(config)),
            None if catalog is None else configured_catalog(catalog),
            None if state is None else state.to_json(),
            None if catalog is None else catalog.partition,
        )

    def get_schema(self) -> Catalog:
        """What it says; as Airbyte catalogs have it."""
        said = self.functions.schema(self._open())
        streams = said.get("streams")
        try:
            return Catalog(tuple(stream_of(entry) for entry in streams or ()), said)
        except (ValueError, AttributeError, TypeError) as error:
            raise ConnectorError(f"`dativo_schema` gave no catalog: {error}") from error

    def read_batch(self, max_rows: int) -> Piece | None:
        """Its rows, without a copy."""
        found = self.functions.read(self._open(), max_rows)
        if found is None:
            return None
        said, data = found
        stream = _stream(said, "dativo_read")
        if said.get("kind", "batch") == "rejects":
            return Rejects(stream, data, data.num_rows)
        return Batch(stream, data, data.num_rows, data.nbytes)

    def get_incremental_state(self) -> State | None:
        """The state that it says."""
        text = self.functions.state(self._open())
        return None if text is None else _state(text, "dativo_state")

    def close(self) -> None:
        """Frees it."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            self.functions.close(handle)

    def _open(self) -> int:
        if self._handle is None:
            raise RuntimeError("the reader is not open")
        return self._handle


class PartitionableLibraryReader(LibraryReader):
    """One that says that it can be read in parts."""

    def partitions(self, count: int, target_bytes: int) -> Sequence[Partition]:
        """`[{"token": base64, "state": {"stream", "namespace", "state"} or null}]`."""
        text = self.functions.partitions(self._open(), count, target_bytes)
        found = []
        for each in members(text or "[]"):
            entry = dict(members(each[1]))
            state = entry.get("state", "null")
            token = b64decode(json.loads(entry["token"]))
            found.append(Partition(token, None if state == "null" else _state(state, "dativo_partitions")))
        return found


def library_class(library: ctypes.CDLL, name: str) -> type[LibraryReader]:
    """The reader of a library, as a class like any other."""
    functions = Functions(library)
    said = functions.spec()
    own = {**said, **said.get("dativo", {})}
    can = own.get("capabilities", {})
    base = PartitionableLibraryReader if "partitions" in can.get("powers", ()) else LibraryReader
    schema = said.get("connectionSpecification", said.get("config_schema"))
    return type(
        name,
        (base,),
        {
            "functions": functions,
            "name": str(own.get("name", name)),
            "version": str(own.get("version", "0")),
            "__api_version__": functions.api_version(),
            "__doc__": str(own.get("description", "")),
            "config_schema": schema if isinstance(schema, dict) else None,
            "modes": tuple(can.get("modes", ("full_refresh", "incremental"))),
        },
    )


def _stream(said: Mapping[str, Any], function: str) -> StreamId:
    name, namespace = said.get("stream"), said.get("namespace")
    if not isinstance(name, str):
        raise ConnectorError(f"`{function}` names no stream")
    return StreamId(name, namespace if isinstance(namespace, str) else None)


def _state(text: str, function: str) -> State:
    """Its bytes are kept."""
    entry = dict(members(text))
    said = {key: json.loads(value) for key, value in entry.items() if key != "state"}
    if "state" not in entry:
        raise ConnectorError(f"`{function}` gave no `state`")
    return State(entry["state"].encode(), None if said.get("stream") is None else _stream(said, function))


def _error(text: str, function: str, code: int) -> DativoError:
    try:
        said = json.loads(text)
        message, hint = str(said["message"]), said.get("hint")
    except (ValueError, KeyError, TypeError):
        return ConnectorError(f"`{function}` failed with code {code}, and does not say why")
    hint = hint if isinstance(hint, str) else None
    kind = said.get("kind")
    if kind == "temporary":
        return ConnectorError(message, hint=hint, retryable=True)
    tree: dict[str, type[DativoError]] = {"config": ConfigError, "contract": ContractError}
    return tree.get(str(kind), ConnectorError)(message, hint=hint)
