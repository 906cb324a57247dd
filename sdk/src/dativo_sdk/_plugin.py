"""A plugin's class, by the name that users and hosts give it."""

from __future__ import annotations

import importlib
import os
import sys
from importlib import util
from typing import Any

from dativo_protocols import ConfigError

from dativo_sdk._api_version import compatible
from dativo_sdk._installed import entry_points

SUFFIXES = (".so", ".dylib")
"""How the name of a shared library ends."""

READERS = "dativo.readers"
"""The group of entry points by which readers are found."""

WRITERS = "dativo.targets"
"""The same for writers."""

OWN_READERS = ("csv", "jsonl", "parquet", "postgres")
"""Names of the entry points of `dativo-readers`, which is installed by itself."""


def load_class(target: str) -> type[Any]:
    """The class that `module:Class`, `path.py:Class`, the path of a shared library or the name of an entry point names.

    A `path.py` is imported under a name of its own, with its directory on the import path, as a script's is. Entry points are
    those of `dativo.readers`, then of `dativo.targets`.

    Raises:
        ConfigError: There is no such module, file or class, its import fails (the cause is the error's `__cause__`), or it was
            written for another version of the plugin API.
    """
    plugin = _named(target)
    refused = compatible(getattr(plugin, "__api_version__", None), name=f"`{target}`")
    if refused is not None:
        raise refused
    return plugin


def _named(target: str) -> type[Any]:
    if target.endswith(SUFFIXES):
        from dativo_sdk.library import load_library

        return load_library(target)
    place, colon, name = target.rpartition(":")
    if not colon and target.replace("-", "_").replace(".", "_").isidentifier():
        return _entry_point(target)
    if not place or not name.isidentifier():
        raise ConfigError(
            f"`{target}` names no plugin", hint="write `module:Class`, `path.py:Class` or the path of a shared library"
        )
    try:
        module = _file(place) if place.endswith(".py") else importlib.import_module(place)
    except ConfigError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (place == error.name or place.startswith(f"{error.name}.")):
            raise ConfigError(
                f"there is no module `{place}`", hint=f"install the package that has it for {sys.executable}"
            ) from error
        raise _broken(target, error) from error
    except Exception as error:
        raise _broken(target, error) from error
    found = getattr(module, name, None)
    if not isinstance(found, type):
        classes = sorted(
            key for key, value in vars(module).items() if isinstance(value, type) and value.__module__ == module.__name__
        )
        hint = f"it has {', '.join(f'`{each}`' for each in classes)}" if classes else None
        raise ConfigError(f"`{place}` has no class `{name}`", hint=hint)
    return found


def _entry_point(name: str) -> type[Any]:
    for group in (READERS, WRITERS):
        found = {each.value for each in entry_points(group=group, name=name)}
        if len(found) > 1:
            raise ConfigError(f"`{name}` is in several packages: {', '.join(sorted(found))}", hint="name one of them")
        if found:
            return _named(found.pop())
    known = sorted({each.name for each in entry_points(group=READERS)})
    there = f"there are {', '.join(f'`{each}`' for each in known)}" if known else "install the package that has it"
    raise ConfigError(f"there is no plugin `{name}`", hint=missing_hint(name) or there)


def missing_hint(name: str) -> str | None:
    """What to do where this name of an entry point is not known; None for names that are not Dativo's own."""
    return "install Dativo's readers in Rust, the package `dativo-readers`" if name in OWN_READERS else None


def _file(path: str) -> Any:
    if not os.path.isfile(path):
        raise ConfigError(f"there is no file `{path}`")
    path = os.path.realpath(path)
    folder, file = os.path.split(path)
    name = f"dativo_plugin_{file.removesuffix('.py')}"
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == path:
        return loaded
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"`{path}` is no Python file")
    module = util.module_from_spec(spec)
    # Classes of the module look themselves up here: dataclasses, pydantic and pickle do.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _broken(target: str, error: Exception) -> ConfigError:
    text = str(error)
    cause = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return ConfigError(f"`{target}` cannot be imported: {cause}", hint="mend the plugin, or install what it needs")
