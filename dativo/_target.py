"""Targets by name: the entry points of the group `dativo.targets`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dativo_engines import is_reference
from dativo_protocols.errors import ConfigError
from dativo_sdk import Writer
from dativo_sdk.host import entry_points

from dativo._document import Document, close_matches

if TYPE_CHECKING:
    from dativo._job import ResolvedJob, TargetConfig

__all__ = ["available_targets", "check_target", "load_target", "open_target", "write_modes"]

GROUP = "dativo.targets"


def available_targets() -> list[str]:
    """Names of all installed targets, sorted."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def check_target(target: TargetConfig, document: Document) -> None:
    """Looks whether there is such a target, without loading it.

    Raises:
        ConfigError: There is none; says where the job names it.
    """
    name = target.connector
    if is_reference(name):
        from dativo._custom_target import check_custom_target

        check_custom_target(target, document)
        return
    for key in ("isolation", "sandbox", "environment"):
        if key in target.model_fields_set:
            raise document.error(("target", key), f"target `{name}` runs in Dativo's own process", hint=f"leave `{key}` out")
    known = available_targets()
    if name not in known:
        hint = close_matches(name, known) or f"targets: {', '.join(f'`{each}`' for each in known)}"
        raise document.error(("target", "connector"), f"there is no target `{name}`", hint=hint)


def open_target(job: ResolvedJob, log: Callable[[str, str], None] | None = None) -> Writer:
    """A new writer for the job's target, whether it is a name or a reference.

    Args:
        log: For what a writer of one's own logs.

    Raises:
        ConfigError: There is no such target, or it needs a package that is not installed.
        ConnectorError: A writer in a process of its own cannot be asked what it can do.
    """
    if is_reference(job.job.target.connector):
        from dativo._custom_target import custom_target

        return custom_target(job, log)
    return load_target(job.job.target.connector)


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
