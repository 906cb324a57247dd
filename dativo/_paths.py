"""Where things are: the project's own folder and the cache of environments."""

from __future__ import annotations

import os
from pathlib import Path

from dativo_protocols.errors import ConfigError

__all__ = ["cache_dir", "configs_dir", "project_dir", "state_dir", "store_path"]


def project_dir(project: str | Path | None = None) -> Path:
    """The folder that holds `jobs/`, `connectors/`, `tenants/` and `.dativo/`; the current one by default.

    Raises:
        ConfigError: There is no current folder any more.
    """
    if project is not None:
        return Path(project)
    try:
        return Path.cwd()
    except OSError as error:
        raise ConfigError(f"the current folder is gone: {error.strerror}", hint="`--project DIR` works in another one") from None


def state_dir(project: str | Path | None = None) -> Path:
    """`.dativo/` of the project: the state store, locks, temporary files."""
    return project_dir(project) / ".dativo"


def store_path(project: str | Path | None = None) -> Path:
    """The state store's file, for `dativo._store.Store`."""
    return state_dir(project) / "state.sqlite"


def configs_dir(project: str | Path | None = None) -> Path:
    """Where changed configurations are kept, for `dativo._kept_config.KeptConfig`."""
    return state_dir(project) / "configs"


def cache_dir(cache: str | Path | None = None) -> Path:
    """`cache`, else `$DATIVO_CACHE`, else `$XDG_CACHE_HOME/dativo`, else `~/.cache/dativo`; environments are in `envs/` below."""
    if cache is not None:
        return Path(cache)
    if own := os.environ.get("DATIVO_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dativo"
