"""Arrow data of a C library, handed over by the PyCapsule interface without a copy and without another library.

The structures are those of the [Arrow C data interface](https://arrow.apache.org/docs/format/CDataInterface.html).
"""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar

RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class ArrowSchemaStruct(ctypes.Structure):
    """`struct ArrowSchema`."""

    _fields_: ClassVar = [
        ("format", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("metadata", ctypes.c_void_p),
        ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("children", ctypes.POINTER(ctypes.c_void_p)),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    ]


class ArrowArrayStruct(ctypes.Structure):
    """`struct ArrowArray`."""

    _fields_: ClassVar = [
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.POINTER(ctypes.c_void_p)),
        ("children", ctypes.POINTER(ctypes.c_void_p)),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    ]


_SCHEMA, _ARRAY = b"arrow_schema", b"arrow_array"
_new = ctypes.pythonapi.PyCapsule_New
_new.restype = ctypes.py_object
_new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
# A capsule that is being destroyed is no object any more: it is named by its address.
_pointer = ctypes.PyDLL(None).PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
_kept: dict[int, ctypes.Structure] = {}


class CarriedBatch:
    """A record batch that a library filled into the two structures. Whoever takes it first owns it: it can be taken once."""

    def __init__(self, array: ArrowArrayStruct, schema: ArrowSchemaStruct) -> None:
        self._array: ArrowArrayStruct | None = array
        self._schema: ArrowSchemaStruct | None = schema
        self.num_rows = int(array.length)
        self.nbytes = _nbytes(array, schema)

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        array, schema = self._array, self._schema
        if array is None or schema is None:
            raise RuntimeError("the batch was handed over before: it belongs to whoever took it then")
        self._array = self._schema = None
        return _capsule(schema, _SCHEMA), _capsule(array, _ARRAY)

    def __del__(self) -> None:
        # Nobody took it: it is the library's to free.
        for struct in (self._array, self._schema):
            if struct is not None:
                release(struct)


def release(struct: Any) -> None:
    """Calls the release callback of a structure that was not moved away."""
    if struct.release:
        RELEASE(struct.release)(ctypes.addressof(struct))


def _capsule(struct: ctypes.Structure, name: bytes) -> object:
    address = ctypes.addressof(struct)
    _kept[address] = struct
    found: object = _new(address, name, ctypes.cast(_DESTRUCTORS[name], ctypes.c_void_p))
    return found


def _destructor(name: bytes) -> Any:
    def destroy(capsule: int) -> None:
        struct = _kept.pop(_pointer(capsule, name), None)
        if struct is not None:
            release(struct)

    # Without giving the GIL up: a capsule is destroyed by whoever holds it.
    return ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(destroy)


_DESTRUCTORS = {name: _destructor(name) for name in (_SCHEMA, _ARRAY)}

_WIDTHS = {"c": 1, "C": 1, "s": 2, "S": 2, "i": 4, "I": 4, "l": 8, "L": 8, "e": 2, "f": 4, "g": 8, "tdD": 4, "tdm": 8}
_WIDTHS |= {"tts": 4, "ttm": 4, "ttu": 8, "ttn": 8, "tiM": 4, "tiD": 8, "tin": 16}


def _nbytes(array: ArrowArrayStruct, schema: ArrowSchemaStruct) -> int:
    """About what the array holds: the interface does not say how long buffers are."""
    length, kind = array.length, (schema.format or b"").decode()
    total = (length + 7) // 8 if array.n_buffers and array.buffers[0] else 0
    if kind in ("u", "z") and array.n_buffers == 3 and array.buffers[1]:
        total += 4 * (length + 1) + _span(array, ctypes.c_int32)
    elif kind in ("U", "Z") and array.n_buffers == 3 and array.buffers[1]:
        total += 8 * (length + 1) + _span(array, ctypes.c_int64)
    elif kind == "b":
        total += (length + 7) // 8
    elif kind.startswith("d:"):
        total += length * (int(kind.split(",")[2]) // 8 if kind.count(",") == 2 else 16)
    elif kind.startswith("w:"):
        total += length * int(kind[2:])
    elif kind.startswith(("ts", "tD")):
        total += length * 8
    elif kind in ("+l", "+m"):
        total += 4 * (length + 1)
    elif kind == "+L":
        total += 8 * (length + 1)
    else:
        total += length * _WIDTHS.get(kind, 0)
    for place in range(min(array.n_children, schema.n_children)):
        child = ArrowArrayStruct.from_address(array.children[place])
        total += _nbytes(child, ArrowSchemaStruct.from_address(schema.children[place]))
    return int(total)


def _span(array: ArrowArrayStruct, offset: Any) -> int:
    offsets = ctypes.cast(array.buffers[1], ctypes.POINTER(offset))
    return int(offsets[array.offset + array.length] - offsets[array.offset])
