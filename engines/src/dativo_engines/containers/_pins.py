"""Which image a name meant when it was first run: it means the same one in every run after."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, field
from pathlib import Path
from typing import Any

from dativo_protocols import ConfigError, frozen

from dativo_engines._cache import write_whole

FORMAT = 1


@frozen
class Pin:
    """What is known of an image.

    Attributes:
        reference: As jobs and recipes name it.
        id: The engine's id of the image, `sha256:…`.
        digest: `repository@sha256:…` as the registry knows it; None for an image that came from no registry.
        facts: What was found in its files; see `_user.py`.
    """

    reference: str
    id: str
    digest: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


class PinStore:
    """One small JSON file for each image, beside the isolated environments.

    Args:
        cache_dir: Of the environments; files are in `docker/` below it.
    """

    def __init__(self, cache_dir: Path) -> None:
        self._root = cache_dir.absolute() / "docker"

    def path(self, reference: str, platform: str | None) -> Path:
        """Where the pin of this name is; removing the file lets the name mean another image."""
        key = hashlib.sha256(json.dumps([reference, platform]).encode()).hexdigest()[:12]
        return self._root / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', reference)[-80:].strip('-')}-{key}.json"

    def load(self, reference: str, platform: str | None) -> Pin | None:
        """The pin, or None when there is none that can be read."""
        try:
            data = json.loads(self.path(reference, platform).read_bytes())
            if data.pop("format") != FORMAT or data["reference"] != reference:
                return None
            return Pin(**data)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def save(self, pin: Pin, platform: str | None) -> None:
        """Writes the pin, whole or not at all.

        Raises:
            ConfigError: The cache cannot be written.
        """
        path = self.path(pin.reference, platform)
        try:
            write_whole(path, json.dumps({"format": FORMAT, **asdict(pin)}, indent=1))
        except OSError as error:
            raise ConfigError(f"cannot write the cache `{self._root}`: {error.strerror}", hint="set `DATIVO_CACHE`") from error
