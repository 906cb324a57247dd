"""Targets that are writers of one's own: a job names them by a reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from dativo_engines import EngineOptions
from dativo_engines.references import parse_reference
from dativo_protocols.errors import ConfigError
from dativo_sdk import Writer

from dativo._document import Document
from dativo._paths import cache_dir, state_dir
from dativo._sandbox_config import sandbox_options

if TYPE_CHECKING:
    from dativo._job import ResolvedJob, TargetConfig

__all__ = ["check_custom_target", "custom_target"]

ENGINES = ("native", "program", "flight")


def check_custom_target(target: TargetConfig, document: Document) -> None:
    """Looks whether the reference is one of a writer, without running anything.

    Raises:
        ConfigError: It is not; says where the job names it.
    """
    try:
        engine, _ = parse_reference(target.connector)
    except ConfigError as error:
        raise document.error(("target", "connector"), error.message, hint=error.hint) from None
    if engine not in ENGINES:
        hint = "a writer is `native:module:Class`, `native:./writer.py:Class`, `program:./writer` or `flight:LOCATION`"
        raise document.error(("target", "connector"), f"engine `{engine}` runs no writers", hint=hint)
    if engine == "program" and target.isolation == "in_process":
        hint = "leave `isolation` out, or set it to `sandbox`"
        raise document.error(("target", "isolation"), "a program is always a process of its own", hint=hint)
    if engine == "flight" and target.isolation is not None:
        raise document.error(("target", "isolation"), "a server runs where it runs", hint="leave `isolation` out")


def custom_target(job: ResolvedJob, log: Callable[[str, str], None] | None) -> Writer:
    """A new writer, as the job wants it to be run.

    Raises:
        ConfigError: There is none, or it was written for another version of the contracts.
        ConnectorError: It cannot be asked what it can do.
    """
    target, timeouts = job.job.target, job.job.source.timeouts
    engine, connector = parse_reference(target.connector, environment=target.environment)
    options = EngineOptions(
        cache_dir=cache_dir(None),
        stall_timeout_seconds=timeouts.stall_seconds,
        stop_timeout_seconds=timeouts.stop_seconds,
        secrets=job.secrets,
        log=log,
        tmp_dir=state_dir(job.project) / "tmp" if state_dir(job.project).is_dir() else None,
        sandbox=sandbox_options(target.sandbox, job.project),
    )
    if engine == "flight":
        from dativo_engines.flight import open_flight_writer

        return open_flight_writer(connector, options)
    from dativo_engines.native import open_writer

    return open_writer(replace(connector, isolation=target.isolation), options, job.target_config)
