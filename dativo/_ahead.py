"""What every run needs of shared libraries, loaded on another core while Python imports its modules."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec

MODULES = ("lib", "_parquet", "_fs", "_s3fs")
"""Of pyarrow, in the order in which they are imported; each brings the libraries it is linked with."""


def load_libraries() -> None:
    """Begins to load pyarrow's, which take a tenth of a short run: a dynamic linker needs no interpreter."""
    if "pyarrow" in sys.modules:
        return
    spec = find_spec("pyarrow")
    if spec is None or not spec.submodule_search_locations:
        return
    from dativo_protocols import load_ahead

    # The linker loads one library at a time: the small ones that pydantic and yaml bring would wait for these.
    import_module("dativo._model")
    folder = spec.submodule_search_locations[0]
    files = (os.path.join(folder, f"{module}{suffix}") for module in MODULES for suffix in EXTENSION_SUFFIXES)
    load_ahead([file for file in files if os.path.exists(file)])
