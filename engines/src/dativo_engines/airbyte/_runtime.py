"""What runs a source: its program here, Docker, or the sandbox."""

from __future__ import annotations

from dativo_engines._engine import Connector, EngineOptions
from dativo_engines._private import PrivateDirectory
from dativo_engines._program import ProgramRuntime
from dativo_engines._redaction import Redactor
from dativo_engines._runtime import Runtime


def runtime_for(connector: Connector, options: EngineOptions, *, directory: PrivateDirectory, redactor: Redactor) -> Runtime:
    """The runtime that the connector asks for; not prepared yet."""
    if connector.isolation == "sandbox":
        from dativo_engines.native import code_of
        from dativo_engines.plugins import PluginSandbox

        code = code_of(connector)
        return PluginSandbox(connector, options, directory=directory, redactor=redactor, sandbox=options.sandbox, code=code)
    if connector.image is None:
        return ProgramRuntime(connector, options, directory=directory, redactor=redactor)
    # Each is loaded when it is needed: the Docker client takes its time.
    if connector.runtime == "sandbox":
        from dativo_engines.sandbox import SandboxRuntime

        return SandboxRuntime(connector, options, directory=directory, redactor=redactor)
    from dativo_engines.containers import DockerRuntime

    return DockerRuntime(connector, options, directory=directory, redactor=redactor)
