"""Jobs: what a YAML file asks for, checked, with everything it leaves out filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dativo_engines import Connector
from dativo_sdk import JobKey
from pydantic import BaseModel

__all__ = ["Job", "ResolvedJob", "load_job"]


class Job(BaseModel):
    """A job as its file says it; the JSON Schema is in `docs/schemas/job.schema.json`."""

    name: str
    tenant: str = "default"


@dataclass(frozen=True, slots=True)
class ResolvedJob:
    """A job after precedence: recipe, then tenant, then job, then command line.

    Attributes:
        path: The job's file, or None.
        engine: Entry-point name of the engine that runs the connector.
        connector: Which program to run.
        source_config: Handed to the connector.
        target_config: Handed to the writer.
        secrets: Values to mask.
        project: The folder that holds `.dativo/`.
    """

    job: Job
    path: Path | None
    engine: str
    connector: Connector
    source_config: Mapping[str, Any]
    target_config: Mapping[str, Any]
    secrets: tuple[str, ...]
    project: Path

    @property
    def key(self) -> JobKey:
        return JobKey(self.job.tenant, self.job.name)


def load_job(
    job: str | Path | Mapping[str, Any],
    *,
    project: str | Path | None = None,
    overrides: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    purpose: Literal["run", "inspect"] = "run",
) -> ResolvedJob:
    """Loads a job by path, by name (`jobs/<name>.yaml`), or from a mapping.

    Args:
        overrides: As `path=value`; the value is YAML.
        environment: For `${NAME}`; the process's own by default.
        purpose: `inspect` leaves `${NAME}` that is not set as it is, for commands that only need the job's name and tenant.

    Raises:
        ConfigError: With file, line, path within the file, and what is wrong.
    """
    raise NotImplementedError
