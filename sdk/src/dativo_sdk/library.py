"""Shared libraries as readers: `load_library("/path/lib.so")` is a class like any other reader's.

A library has the C interface of `dativo_reader.h`, which hands Arrow data over without a copy, or the older one of four functions
that hands rows over as JSON (`dativo_sdk._library.json_ffi` says exactly what is understood). It is loaded into this process, and
can do there whatever this process can: hosts run foreign ones in a process of their own, by `python -m dativo_sdk.program`.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

from dativo_protocols import ConfigError

from dativo_sdk._library.c_abi import library_class
from dativo_sdk._library.json_ffi import json_library_class

__all__ = ["load_library"]


def load_library(path: str | os.PathLike[str]) -> type[Any]:
    """The reader in a shared library.

    Raises:
        ConfigError: There is no such file, it cannot be loaded, or it is no reader.
    """
    place = os.path.realpath(path)
    if not os.path.isfile(place):
        raise ConfigError(f"there is no file `{os.fspath(path)}`")
    try:
        library = ctypes.CDLL(place)
    except OSError as error:
        raise ConfigError(
            f"`{place}` cannot be loaded: {error}", hint="it must be built for this machine, and find the libraries it needs"
        ) from error
    name = os.path.basename(place).partition(".")[0].removeprefix("lib")
    if hasattr(library, "dativo_api_version"):
        return library_class(library, name)
    if hasattr(library, "create_reader"):
        return json_library_class(library, name)
    raise ConfigError(
        f"`{place}` is no reader: it has neither `dativo_api_version` nor `create_reader`",
        hint="a library has the functions of `dativo_reader.h`",
    )
