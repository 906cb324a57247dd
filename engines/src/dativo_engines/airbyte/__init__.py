"""Airbyte sources: an image, a package in an environment of its own, a low-code manifest, or any executable."""

from dativo_engines.airbyte._engine import AirbyteEngine
from dativo_engines.airbyte._selection import configured_catalog

__all__ = ["AirbyteEngine", "configured_catalog"]
