"""The class that a native reader is, and what it says of itself before anything of it runs."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dativo_protocols import ConfigError
from dativo_sdk.host import READERS, WRITERS, EntryPoint, entry_points, missing_hint

from dativo_engines._choices import suggestion
from dativo_engines._engine import Connector, Isolation

if TYPE_CHECKING:
    from dativo_sdk.manifest import Manifest

OWN = ("dativo", "dativo-engines", "dativo-plugin-sdk", "dativo-protocols", "dativo-readers")
"""Dativo's own distributions."""


RUNNER = ("-P", "-m", "dativo_sdk.program")
"""This Python, as the program that a reader becomes in a process of its own; without the current directory on its path."""


def as_program(connector: Connector, isolation: Isolation = "process") -> Connector:
    """The plugin as a program of its own."""
    arguments = (*RUNNER, connector.reader or "", *connector.arguments)
    return replace(connector, executable=sys.executable, package=None, arguments=arguments, isolation=isolation)


def isolation_of(connector: Connector, group: str = READERS) -> Isolation:
    """Where a native plugin runs: as it says, else in this process if it is Dativo's own code, else in a sandbox."""
    if connector.isolation is not None:
        return connector.isolation
    return "in_process" if is_own(connector.reader or "", group) else "sandbox"


def code_of(connector: Connector) -> list[Path]:
    """The files and folders that are the plugin's own code, which a sandbox shows to it.

    Of a file, the folder of its manifest, else the file alone; of a module, its package, wherever it is installed.

    Raises:
        ConfigError: Its manifest cannot be read.
    """
    if connector.reader is None:
        return []
    place, colon, _ = connector.reader.rpartition(":")
    if is_library(connector.reader) or place.endswith(".py"):
        file = Path(place if colon else connector.reader)
        from dativo_sdk.manifest import Manifest

        manifest = Manifest.beside(file)
        return [file if manifest is None or manifest.root is None else manifest.root]
    module = place if colon else _any_entry_point(connector.reader).module
    # Of the package alone: nothing of a module is run to find it.
    found = find_spec(module.partition(".")[0])
    if found is None:
        return []
    places = found.submodule_search_locations or ([found.origin] if found.origin else [])
    return [Path(each) for each in places]


def manifest_of(connector: Connector) -> Manifest | None:
    """What the plugin says of itself, without running anything of it. Of a program, the manifest whose `entry` it is.

    Raises:
        ConfigError: There is no such plugin, or its manifest is wrong.
    """
    from dativo_sdk.manifest import Manifest

    reader = connector.reader
    if reader is None:
        file = connector.executable
        manifest = Manifest.beside(Path(file)) if file is not None and os.sep in file and os.path.isfile(file) else None
        if manifest is None or manifest.root is None or file is None:
            return None
        return manifest if (manifest.root / manifest.entry).resolve() == Path(file).resolve() else None
    if ":" in reader or is_library(reader):
        return Manifest.of_target(reader)
    return Manifest.installed(reader, "reader" if _any_entry_point(reader).group == READERS else "writer")


def admit(connector: Connector) -> Manifest | None:
    """The plugin's manifest, once what it says has been looked at; to be called before anything of the plugin is loaded.

    None where there is none, and of an entry point that was installed with Dativo.

    Raises:
        ConfigError: A file is not the one that was published, or the plugin was written for another version of the API.
    """
    reader = connector.reader
    # What was installed with Dativo says nothing that has to be looked at, and to look costs a twentieth of a short run.
    if reader is not None and ":" not in reader and not is_library(reader) and _any_entry_point(reader).package in OWN:
        return None
    manifest = manifest_of(connector)
    if manifest is not None:
        manifest.verify()
        refused = manifest.compatible()
        if refused is not None:
            raise refused
    return manifest


def is_library(reader: str) -> bool:
    """Whether this is a shared library rather than Python."""
    return reader.endswith((".so", ".dylib"))


def is_own(reader: str, group: str = READERS) -> bool:
    """Whether a plugin was installed with Dativo, as far as that can be told without running anything of it."""
    module, colon, _ = reader.partition(":")
    if colon:
        return not module.endswith(".py") and module.partition(".")[0] in {name.replace("-", "_") for name in OWN}
    if is_library(reader):
        return False
    return _entry_point(reader, group).package in OWN


def _any_entry_point(name: str) -> EntryPoint:
    """Of a reader, else of a writer, as plugins are loaded."""
    found = (point for group in (READERS, WRITERS) for point in entry_points(group=group, name=name))
    return next(found, None) or _entry_point(name, READERS)


def _entry_point(name: str, group: str) -> EntryPoint:
    for point in entry_points(group=group, name=name):
        return point
    known = sorted({point.name for point in entry_points(group=group)})
    kind = group.rpartition(".")[2]
    hint = suggestion(name, known, kind) if known else "install the package that has it, or name its class: `module:Class`"
    if group == READERS:
        hint = missing_hint(name) or hint
    raise ConfigError(f"there is no entry point `{name}` in the group `{group}`", hint=hint, facts={"name": name, "group": group})
