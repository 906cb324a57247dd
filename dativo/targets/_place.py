"""From `path` and `storage_options` to the store they mean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from dativo_protocols.errors import ConfigError

from dativo.targets._local_store import LocalStore
from dativo.targets._store import Store


def open_store(path: str | Path, storage_options: Mapping[str, Any] | None = None) -> Store:
    """The store at a path of this machine, or at a URL; nothing is read or made yet.

    Raises:
        ConfigError: The URL or an option is not valid, or `obstore` is not installed.
    """
    scheme = path.partition("://")[0].lower() if isinstance(path, str) and "://" in path else "file"
    if scheme != "file":
        from dativo.targets._object_store import ObjectStore

        return ObjectStore(str(path), storage_options or {})
    if storage_options:
        raise ConfigError("`storage_options` are for object stores", hint="give `path` as a URL, such as `s3://bucket/folder`")
    if isinstance(path, str) and "://" in path:
        parts = urlsplit(path)
        if parts.netloc not in ("", "localhost"):
            raise ConfigError(f"`{path}` names another machine", hint="write `file:///absolute/path`")
        path = unquote(parts.path)
    return LocalStore(Path(path).expanduser().absolute())
