"""A plugin's class, by the name that users and hosts give it."""

from __future__ import annotations

import importlib
import sys
from importlib import util
from pathlib import Path
from typing import Any

from dativo_protocols import ConfigError


def load_class(target: str) -> type[Any]:
    """The class that `module:Class`, `path.py:Class` or the path of a shared library names.

    A `path.py` is imported under a name of its own, with its directory on the import path, as a script's is.

    Raises:
        ConfigError: There is no such module, file or class, or its import fails: the cause is the error's `__cause__`.
    """
    place, colon, name = target.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise ConfigError(
            f"`{target}` names no plugin", hint="write `module:Class`, `path.py:Class` or the path of a shared library"
        )
    try:
        module = _file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
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


def _file(path: Path) -> Any:
    if not path.is_file():
        raise ConfigError(f"there is no file `{path}`")
    path = path.resolve()
    name = f"dativo_plugin_{path.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
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
