"""Images in the Docker Engine: one hardened container for each command, gone however the run ends."""

from dativo_engines.containers._client import engine_version
from dativo_engines.containers._docker import DockerRuntime

__all__ = ["DockerRuntime", "engine_version"]
