"""What a job lets a foreign plugin have: `source.sandbox` and `target.sandbox`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from dativo_engines import SandboxFile, SandboxOptions
from pydantic import BeforeValidator, Field

from dativo._model import Duration, Model, Size

__all__ = ["SandboxConfig", "SandboxFileConfig", "sandbox_options"]


class SandboxFileConfig(Model):
    """A file or folder that a plugin may use; its path alone is enough."""

    path: str
    """Relative to the project; it has the same place for the plugin."""
    write: bool = False
    """Whether the plugin may change it."""


def _path_is_file(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


def _path_alone(schema: dict[str, Any]) -> None:
    """What the validator takes besides."""
    schema["items"] = {"anyOf": [schema["items"], {"type": "string"}]}


class SandboxConfig(Model):
    """What a plugin may use: what is not named here, it does not get."""

    level: Literal["process", "landlock", "namespaces", "strict"] | None = None
    """The least that will do; the run is refused where it cannot be had. Left out, the strongest there is."""
    files: Annotated[list[Annotated[SandboxFileConfig, BeforeValidator(_path_is_file)]], Field(json_schema_extra=_path_alone)] = (
        Field(default_factory=list)
    )
    """Files and folders besides its own code."""
    network: list[str] | Literal["all"] = Field(default_factory=list)
    """Hosts that it may connect to, `db.example:5432`, without a port 443; or `all`, this machine's network."""
    environment: list[str] = Field(default_factory=list)
    """Names of variables of Dativo's environment."""
    memory: Size | None = None
    """More ends it; 0 for no limit."""
    cpus: Annotated[float, Field(gt=0)] | None = None
    """Processors, or parts of one."""
    cpu_seconds: Annotated[float, Field(gt=0)] | None = None
    """Processor time of all its processes."""
    processes: Annotated[int, Field(ge=0)] | None = None
    """Processes and threads at a time; 0 for no limit."""
    open_files: Annotated[int, Field(gt=0)] | None = None
    """Of each process."""
    file_size: Size | None = None
    """The longest file that it may write; 0 for no limit."""
    tmp: Size | None = None
    """Room for temporary files, which are kept in memory."""
    output: Size | None = None
    """Bytes on stdout; 0 for no limit."""
    time: Duration | None = None
    """How long it may run."""


NAMES = {"memory": "memory_bytes", "file_size": "file_bytes", "tmp": "tmp_bytes", "output": "output_bytes", "time": "seconds"}
UNLIMITED = ("memory_bytes", "processes", "file_bytes", "output_bytes", "seconds")


def sandbox_options(sandbox: SandboxConfig, project: Path) -> SandboxOptions:
    """For the engine: what is left out is its own choice."""
    said = {NAMES.get(name, name): value for name, value in sandbox.model_dump(exclude_none=True).items()}
    said = {name: None if value == 0 and name in UNLIMITED else value for name, value in said.items()}
    said["files"] = tuple(SandboxFile((project / Path(file.path).expanduser()).absolute(), file.write) for file in sandbox.files)
    said["network"] = "all" if sandbox.network == "all" else tuple(sandbox.network)
    said["environment"] = tuple(sandbox.environment)
    return SandboxOptions(**said)
