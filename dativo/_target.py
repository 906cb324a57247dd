"""Targets by name: the entry points of the group `dativo.targets`."""

from __future__ import annotations

from importlib.metadata import entry_points

from dativo_protocols.errors import ConfigError
from dativo_sdk import Writer

from dativo._document import Document, close_matches

__all__ = ["available_targets", "check_target", "load_target", "write_modes"]

GROUP = "dativo.targets"


def available_targets() -> list[str]:
    """Names of all installed targets, sorted."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def check_target(name: str, document: Document) -> None:
    """Looks whether there is such a target, without loading it.

    Raises:
        ConfigError: There is none; says where the job names it.
    """
    known = available_targets()
    if name not in known:
        hint = close_matches(name, known) or f"targets: {', '.join(f'`{each}`' for each in known)}"
        raise document.error(("target", "connector"), f"there is no target `{name}`", hint=hint)


def load_target(name: str) -> Writer:
    """A new writer.

    Raises:
        ConfigError: There is no such target, or it needs a package that is not installed.
    """
    for point in entry_points(group=GROUP, name=name):
        try:
            writer: Writer = point.load()()
        except ImportError as error:
            missing = error.name or "a package"
            raise ConfigError(
                f"target `{name}` needs `{missing}`, which is not installed", hint=f"pip install 'dativo[{name}]'"
            ) from error
        return writer
    known = available_targets()
    raise ConfigError(f"there is no target `{name}`", hint=f"targets: {', '.join(f'`{each}`' for each in known)}")


def write_modes(writer: Writer) -> frozenset[str]:
    """What the writer can do, from its class attribute `write_modes`; without one, `append` and `overwrite`."""
    return frozenset(getattr(writer, "write_modes", ("append", "overwrite")))
