"""What a job says about the sandbox of a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from dativo_engines import Level, SandboxFile, SandboxOptions
from pydantic import Field

from dativo._model import Duration, Model, Size

__all__ = ["SandboxConfig", "SandboxFileConfig", "sandbox_options"]


class SandboxFileConfig(Model):
    """A file or folder for a plugin."""

    path: str
    """It has the same path inside; relative to the project."""
    write: bool = False
    """Whether the plugin may change it."""


class SandboxConfig(Model):
    """What a plugin gets of this machine; what is not named here, it does not get."""

    level: Level | None = None
    """The least that will do, or the run is refused; left out, the strongest that this machine has."""
    memory: Size | None = None
    """More ends the plugin, temporary files included; 0 for no limit."""
    cpus: Annotated[float, Field(gt=0)] | None = None
    """Processors, or parts of one."""
    cpu_seconds: Duration | None = None
    """Processor time of all its processes; 0 for no limit."""
    processes: Annotated[int, Field(ge=0)] | None = None
    """Processes and threads at a time; 0 for no limit."""
    open_files: Annotated[int, Field(ge=16)] | None = None
    """Of each process."""
    file_size: Size | None = None
    """The longest file that it may write; 0 for no limit."""
    tmp: Size | None = None
    """Room for its temporary files, which are kept in memory."""
    output: Size | None = None
    """What it may send; 0 for no limit."""
    time: Duration | None = None
    """How long it may run; 0 for no limit."""
    files: list[str | SandboxFileConfig] = Field(default_factory=list)
    """Files and folders that it may read besides its own code, or write."""
    network: Literal["all"] | list[str] = Field(default_factory=list)
    """Hosts that it may connect to, with a port (443 where there is none); `all` for this machine's own network."""
    environment: list[str] = Field(default_factory=list)
    """Names of variables of Dativo's environment that it gets."""


# By key of the job: name of the option. Zero means that there is no limit.
_LIMITS = {
    "memory": "memory_bytes",
    "cpu_seconds": "cpu_seconds",
    "processes": "processes",
    "file_size": "file_bytes",
    "output": "output_bytes",
    "time": "seconds",
}
_OTHERS = {"level": "level", "cpus": "cpus", "open_files": "open_files", "tmp": "tmp_bytes"}


def sandbox_options(config: SandboxConfig, folder: Path | None = None) -> SandboxOptions:
    """For the engine: what is left out is its own choice.

    Args:
        config: Of the job.
        folder: Where relative paths start; the current directory by default.
    """
    said = config.model_dump(exclude_none=True)
    options: dict[str, Any] = {name: said[key] or None for key, name in _LIMITS.items() if key in said}
    options |= {name: said[key] for key, name in _OTHERS.items() if key in said}
    declared = [SandboxFileConfig(path=each) if isinstance(each, str) else each for each in config.files]
    files = tuple(SandboxFile((folder or Path.cwd()) / Path(each.path).expanduser(), each.write) for each in declared)
    network: Literal["all"] | tuple[str, ...] = "all" if config.network == "all" else tuple(config.network)
    return SandboxOptions(**options, files=files, network=network, environment=tuple(config.environment))
