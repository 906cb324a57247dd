"""The version of what plugins are written against, and what becomes of plugins of other versions.

A version is `MAJOR.MINOR`. A minor version adds: what plugins of an older one do keeps its meaning, and an optional power that
is newer than the plugin is not looked for in it. A major version may take away, never without having warned for a minor version
and six months. So a plugin of the same major version and the same minor version or an older one is loaded; of any other it is
said what to update. What a version added is marked with `since`, what is to go with `deprecated`.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from dativo_protocols import ConfigError

API_VERSION = "1.0"
"""Of the contracts in this package: what a plugin says as its `__api_version__`."""

T = TypeVar("T", bound=Callable[..., Any])

_VERSION = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})")


def compatible(plugin_version: str | None, *, host_version: str = API_VERSION, name: str = "the plugin") -> ConfigError | None:
    """Whether a plugin of this API version can be loaded: None where it can, else the error that says what to do.

    Args:
        plugin_version: Its `__api_version__`; None where it says none: it is taken for one of the first.
        host_version: Of the SDK that is installed here.
        name: What the user calls it.
    """
    if plugin_version is None:
        return None
    facts = {"api_version": plugin_version, "host_api_version": host_version}
    found = _VERSION.fullmatch(plugin_version) if isinstance(plugin_version, str) else None
    if found is None:
        return ConfigError(
            f"{name} has the API version `{plugin_version}`, which is none",
            hint=f'its makers write `__api_version__ = "{host_version}"`',
            facts=facts,
        )
    major, minor = map(int, found.groups())
    host_major, host_minor = map(int, host_version.split("."))
    if major == host_major and minor <= host_minor:
        return None
    if (major, minor) > (host_major, host_minor):
        newer = f"update Dativo and the package `dativo-plugin-sdk` to one with version {plugin_version}"
        hint = f"{newer}, or take an older version of the plugin"
    else:
        hint = f"take a version of the plugin that was written for {host_major}.x, or ask its makers for one"
    return ConfigError(
        f"{name} was written for version {plugin_version} of the plugin API, and version {host_version} is installed here",
        hint=hint,
        facts=facts,
    )


def is_known_to(power: type, plugin: type[Any]) -> bool:
    """Whether the power was there when the plugin was written: a method that only happens to have its name is none."""
    since = getattr(power, "__since__", "1.0")
    version = getattr(plugin, "__api_version__", API_VERSION)
    return _VERSION.fullmatch(str(version)) is None or _numbers(since) <= _numbers(str(version))


def since(version: str) -> Callable[[T], T]:
    """Marks what this version of the API added: `__since__` says it, and so does the first line of its documentation.

    Raises:
        ValueError: There is no such version yet.
    """
    if _numbers(version) > _numbers(API_VERSION):
        raise ValueError(f"the API version is {API_VERSION}, before {version}")

    def mark(thing: T) -> T:
        thing.__since__ = version  # type: ignore[attr-defined]
        first, newline, rest = (thing.__doc__ or "").partition("\n")
        thing.__doc__ = f"{first} (Since API version {version}.){newline}{rest}".lstrip()
        return thing

    return mark


def deprecated(*, since: str, removed_in: str, instead: str) -> Callable[[T], T]:
    """Marks a function or a class that is going: the first use in a process is a `DeprecationWarning` that says what to use.

    Args:
        since: The version that says so first.
        removed_in: The major version that will not have it any more.
        instead: What to use, as code or in words.

    Raises:
        ValueError: That version is here: it is to be removed.
    """
    if _numbers(removed_in) <= _numbers(API_VERSION):
        raise ValueError(f"the API version is {API_VERSION}: what was to go in {removed_in} is to be removed")

    def mark(thing: T) -> T:
        text = f"`{thing.__qualname__}` is deprecated since API version {since} and goes with {removed_in}: use {instead}"
        said: list[bool] = []

        def warn() -> None:
            if not said:
                said.append(True)
                warnings.warn(text, DeprecationWarning, stacklevel=3)

        if isinstance(thing, type):
            original: Any = thing.__init__  # type: ignore[misc]

            @functools.wraps(original)
            def initialize(*arguments: Any, **named: Any) -> None:
                warn()
                original(*arguments, **named)

            thing.__init__ = initialize  # type: ignore[misc]
            marked: Any = thing
        else:

            @functools.wraps(thing)
            def call(*arguments: Any, **named: Any) -> Any:
                warn()
                return thing(*arguments, **named)

            marked = call
        marked.__deprecated__ = text
        result: T = marked
        return result

    return mark


def _numbers(version: str) -> tuple[int, int]:
    found = _VERSION.fullmatch(version)
    if found is None:
        raise ValueError(f"`{version}` is no version: MAJOR.MINOR is expected")
    return int(found[1]), int(found[2])
