"""What can be configured of a file target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dativo_protocols.errors import ConfigError


@dataclass(frozen=True, slots=True)
class FileOption:
    """One configuration key: its default, and what it may be: one of the choices, or a number of at least `least`."""

    default: str | int
    choices: tuple[str, ...] = ()
    least: int = 0


COMMON_OPTIONS: Mapping[str, FileOption] = {
    "file_size_bytes": FileOption(128 << 20, least=1),
    "keep_replaced_seconds": FileOption(900, least=0),
}


def read_options(config: Mapping[str, Any], own: Mapping[str, FileOption]) -> tuple[Path, dict[str, Any]]:
    """The dataset's absolute path, and a value for each common option and each of the format's own.

    Raises:
        ConfigError: A key is unknown or missing, or a value is not valid.
    """
    known = {**COMMON_OPTIONS, **own}
    for key in config:
        if key != "path" and key not in known:
            valid = ", ".join(f"`{key}`" for key in ("path", *known))
            raise ConfigError(
                f"unknown key `{key}` in the target's configuration", hint=f"valid keys: {valid}", facts={"key": key}
            )
    path = config.get("path")
    if not isinstance(path, (str, Path)) or not str(path):
        raise ConfigError("the target's configuration needs `path`", hint="name a directory; it is made when it is not there")
    return Path(path).expanduser().absolute(), {
        key: _checked(key, config.get(key, option.default), option) for key, option in known.items()
    }


def _checked(key: str, value: Any, option: FileOption) -> Any:
    if option.choices:
        if value not in option.choices:
            valid = ", ".join(f"`{choice}`" for choice in option.choices)
            raise ConfigError(f"`{key}` cannot be `{value}`", hint=f"valid values: {valid}", facts={"key": key})
    elif not isinstance(value, int) or isinstance(value, bool) or value < option.least:
        raise ConfigError(f"`{key}` must be a whole number of at least {option.least}", facts={"key": key})
    return value
