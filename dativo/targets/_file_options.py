"""What can be configured of a file target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dativo_protocols import frozen
from dativo_protocols.errors import ConfigError

from dativo.targets._place import open_store
from dativo.targets._store import Store


@frozen
class FileOption:
    """A configuration key: its default, and what it may be: one of the choices, a number from `least` on, yes or no, or text."""

    default: str | int | bool
    choices: tuple[str, ...] = ()
    least: int = 0


COMMON_OPTIONS: Mapping[str, FileOption] = {
    "file_size_bytes": FileOption(128 << 20, least=1),
    "keep_replaced_seconds": FileOption(900, least=0),
}


def read_options(config: Mapping[str, Any], own: Mapping[str, FileOption]) -> tuple[Store, dict[str, Any]]:
    """The dataset's store, and a value for each common option and each of the format's own; `encryption` as it is, or None.

    Raises:
        ConfigError: A key is unknown or missing, or a value is not valid.
    """
    known = {**COMMON_OPTIONS, **own}
    for key in config:
        if key not in ("path", "storage_options", "encryption") and key not in known:
            valid = ", ".join(f"`{key}`" for key in ("path", "storage_options", *known, "encryption"))
            raise ConfigError(
                f"unknown key `{key}` in the target's configuration", hint=f"valid keys: {valid}", facts={"key": key}
            )
    path, storage = config.get("path"), config.get("storage_options") or {}
    if not isinstance(path, (str, Path)) or not str(path):
        raise ConfigError(
            "the target's configuration needs `path`",
            hint="name a directory, which is made when it is not there, or a URL such as `s3://bucket/folder`",
        )
    if not isinstance(storage, Mapping):
        raise ConfigError("`storage_options` must be a mapping", facts={"key": "storage_options"})
    options = {key: _checked(key, config.get(key, option.default), option) for key, option in known.items()}
    options["encryption"] = config.get("encryption")
    return open_store(path, storage), options


def _checked(key: str, value: Any, option: FileOption) -> Any:
    if option.choices:
        if value not in option.choices:
            valid = ", ".join(f"`{choice}`" for choice in option.choices)
            raise ConfigError(f"`{key}` cannot be `{value}`", hint=f"valid values: {valid}", facts={"key": key})
    elif isinstance(option.default, bool):
        if not isinstance(value, bool):
            raise ConfigError(f"`{key}` must be true or false", facts={"key": key})
    elif isinstance(option.default, str):
        if not isinstance(value, str):
            raise ConfigError(f"`{key}` must be text", facts={"key": key})
    elif not isinstance(value, int) or isinstance(value, bool) or value < option.least:
        raise ConfigError(f"`{key}` must be a whole number of at least {option.least}", facts={"key": key})
    return value
