"""Where the project's state store is: `DATIVO_STATE`, else `state_backend` in `dativo.yaml`, else `.dativo/state.sqlite`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from dativo_protocols import frozen
from dativo_protocols.errors import ConfigError

from dativo._environment import secret_values
from dativo._paths import project_dir

__all__ = ["LEASE_SECONDS", "PROJECT_FILE", "VARIABLE", "Location", "find_location"]

VARIABLE = "DATIVO_STATE"
PROJECT_FILE = "dativo.yaml"
LEASE_SECONDS = 60.0


@frozen
class Location:
    """A store's URL with its options.

    Attributes:
        uri: Without its options; may hold a password.
        options: From the URL's query, and over it what stands beside `uri` in `dativo.yaml`; all are text.
        project: Relative paths are relative to it.
        lease_seconds: How long a silent run keeps its job, where the backend leases.
    """

    uri: str = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    project: Path = field(default_factory=Path)
    lease_seconds: float = LEASE_SECONDS

    @property
    def scheme(self) -> str:
        return self.uri.partition(":")[0].lower()

    @property
    def shown(self) -> str:
        """The URL without user information, for messages."""
        scheme, separator, rest = self.uri.partition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}" if separator else self.uri

    @property
    def secrets(self) -> tuple[str, ...]:
        """What messages of libraries must not repeat."""
        return secret_values(({"uri": self.uri, **self.options},))

    def masked(self, text: str) -> str:
        """A library's message without what is secret here."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    @property
    def path(self) -> Path:
        """The path of a `sqlite:` or `file:` URL: absolute in `file:///srv/state`, of the project in `file:state`."""
        rest = self.uri.partition(":")[2]
        if rest.startswith("//"):
            parts = urlsplit(f"file:{rest}")
            if parts.netloc or not parts.path.strip("/"):
                raise ConfigError(
                    f"`{self.shown}` is no path",
                    hint=f"write `{self.scheme}:///absolute/path` or `{self.scheme}:path/in/the/project`",
                )
            return Path(unquote(parts.path))
        return self.project / unquote(rest)

    @classmethod
    def parse(cls, uri: str, more: Mapping[str, str] | None = None, project: Path | None = None) -> Location:
        """A URL with its query taken apart.

        Raises:
            ConfigError: It is no URL.
        """
        bare, _, query = uri.strip().partition("?")
        if not bare.partition(":")[0].isalnum() or ":" not in bare or not bare.partition(":")[2]:
            # Not shown: what was put in the place of a URL may be a secret.
            raise ConfigError(
                "the state backend is no URL",
                hint="such as `sqlite:///srv/state.sqlite`, `file:///srv/state`, `s3://bucket/prefix`, `postgresql://host/database`",
            )
        options = {**dict(parse_qsl(query)), **(more or {})}
        said = options.pop("lease_seconds", str(LEASE_SECONDS))
        try:
            lease_seconds = float(said)
            if not 1 <= lease_seconds <= 86400:
                raise ValueError
        except ValueError:
            raise ConfigError(f"the state backend's `lease_seconds` is no number from 1 to 86400: `{said}`") from None
        return cls(bare, options, project or Path(), lease_seconds)


def find_location(project: str | Path | None = None, environment: Mapping[str, str] | None = None) -> Location | None:
    """Where the project's store is; None for the usual place, `.dativo/state.sqlite`.

    Raises:
        ConfigError: What `DATIVO_STATE` or `dativo.yaml` says is no place.
    """
    variables = os.environ if environment is None else environment
    folder = project_dir(project)
    if said := variables.get(VARIABLE):
        return Location.parse(said, project=folder)
    file = folder / PROJECT_FILE
    return _from_file(file, variables) if file.exists() else None


def _from_file(file: Path, variables: Mapping[str, str]) -> Location | None:
    from dativo._document import read_document
    from dativo._environment import substitute

    document = read_document(file, PROJECT_FILE)
    document.data, _ = substitute(document, variables)
    data: Any = document.data if document.data is not None else {}
    if not isinstance(data, dict):
        raise document.error((), "it is not a mapping")
    for key in data:
        if key != "state_backend":
            raise document.error((key,), "there is no such setting", hint="settings: `state_backend`")
    backend = data.get("state_backend")
    if backend is None:
        return None
    backend = {"uri": backend} if isinstance(backend, str) else backend
    if not isinstance(backend, dict) or not isinstance(backend.get("uri"), str):
        raise document.error(("state_backend",), "it has no `uri`", hint="such as `uri: s3://bucket/prefix`")
    more = {}
    for key, value in backend.items():
        if key == "uri":
            continue
        if isinstance(value, dict | list) or value is None:
            raise document.error(("state_backend", str(key)), "it is not a text, a number or a boolean")
        more[str(key)] = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        return Location.parse(backend["uri"], more, file.parent)
    except ConfigError as error:
        raise document.error(("state_backend", "uri"), error.message, hint=error.hint) from None
