"""Readers and writers of one's own: Python classes and shared libraries, here, in a process of their own, or in a sandbox."""

from dativo_engines.native._engine import NativeEngine
from dativo_engines.native._plugin import code_of, is_own, manifest_of
from dativo_engines.native._writer import open_writer

__all__ = ["NativeEngine", "code_of", "is_own", "manifest_of", "open_writer"]
