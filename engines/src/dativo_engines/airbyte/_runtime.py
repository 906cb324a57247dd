"""What runs a source: its program here, Docker, or the sandbox."""

from __future__ import annotations

from importlib import import_module

from dativo_engines._engine import Connector, EngineOptions
from dativo_engines._private import PrivateDirectory
from dativo_engines._program import ProgramRuntime
from dativo_engines._redaction import Redactor
from dativo_engines._runtime import Running, Runtime, placed

__all__ = ["Running", "Runtime", "placed", "runtime_for"]

# Loaded when needed: the Docker client takes its time.
IMAGE_RUNTIMES = {
    "docker": ("dativo_engines.containers", "DockerRuntime"),
    "sandbox": ("dativo_engines.sandbox", "SandboxRuntime"),
}


def runtime_for(connector: Connector, options: EngineOptions, *, directory: PrivateDirectory, redactor: Redactor) -> Runtime:
    """The runtime that the connector asks for; not prepared yet."""
    if connector.image is None:
        return ProgramRuntime(connector, options, directory=directory, redactor=redactor)
    module, name = IMAGE_RUNTIMES[connector.runtime]
    runtime: Runtime = getattr(import_module(module), name)(connector, options, directory=directory, redactor=redactor)
    return runtime
