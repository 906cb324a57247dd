"""Singer taps: any executable, or a package in an environment of its own."""

from dativo_engines.singer._catalog import parse_catalog
from dativo_engines.singer._engine import SingerEngine

__all__ = ["SingerEngine", "parse_catalog"]
