"""The state store of a project, by the scheme of its URL: the entry points of the group `dativo.state`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dativo_protocols.errors import ConfigError
from dativo_sdk.host import entry_points

from dativo._document import close_matches
from dativo._paths import state_dir, store_path
from dativo._store import Store
from dativo.state._location import Location, find_location

if TYPE_CHECKING:
    from dativo.state._backend import StateBackend

__all__ = ["open_backend", "open_store"]

GROUP = "dativo.state"


def open_store(project: str | Path | None = None) -> Store:
    """The project's store; nothing is made before something is put.

    Raises:
        ConfigError: What `DATIVO_STATE` or `dativo.yaml` says is no place, there is no such backend, or it lacks a package.
    """
    location = find_location(project)
    if location is None:
        return Store(store_path(project))
    backend = _backend_of(location.scheme)
    return Store(lambda: backend(location), locks=state_dir(project) / "locks", lease_seconds=location.lease_seconds)


def open_backend(location: Location) -> StateBackend:
    """A new object for the store at that URL.

    Raises:
        ConfigError: There is no backend for its scheme, it lacks a package, or it does not take the URL.
    """
    return _backend_of(location.scheme)(location)


def _backend_of(scheme: str) -> Callable[[Location], StateBackend]:
    for point in entry_points(group=GROUP, name=scheme):
        backend: Callable[[Location], StateBackend] = point.load()
        return backend
    known = sorted({point.name for point in entry_points(group=GROUP)})
    hint = close_matches(scheme, known) or f"schemes: {', '.join(f'`{each}`' for each in known)}"
    raise ConfigError(f"there is no state backend for `{scheme}:`", hint=hint)
