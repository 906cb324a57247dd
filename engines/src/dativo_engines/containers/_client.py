"""The connection to the Docker Engine, and what its refusals mean."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from typing import Any

from dativo_protocols import ConfigError, ConnectorError, DativoError

# Of one request. Waiting for a container has none.
TIMEOUT_SECONDS = 120
DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
OTHERWISE = "or set `runtime: sandbox`, which runs images without a Docker Engine"

_NO_ROOM = re.compile(
    r"no space left on device|cannot allocate memory|resource temporarily unavailable|too many open files", re.I
)


def address() -> str:
    """Where the engine listens."""
    return os.environ.get("DOCKER_HOST") or DEFAULT_ADDRESS


def socket_path() -> str | None:
    """The engine's socket on this machine; None when it is reached in another way."""
    host = address()
    return host.removeprefix("unix://") if host.startswith("unix://") else None


def connect() -> Any:
    """A client of the engine that `DOCKER_HOST` names, or this machine's.

    Raises:
        ConfigError: There is no engine, or this user may not use it.
        ConnectorError: It does not answer (retryable).
    """
    path = socket_path()
    if path is not None:
        try:
            # What is behind the SDK's complaint is hard to see, and loading it takes a while.
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(TIMEOUT_SECONDS)
                probe.connect(path)
        except OSError as error:
            raise no_engine(error) from None
    try:
        import docker
        from docker.errors import DockerException
    except ImportError:
        raise ConfigError("images need the package `docker`", hint=f"`pip install docker`, {OTHERWISE}") from None
    try:
        return docker.from_env(timeout=TIMEOUT_SECONDS).api
    except DockerException as error:
        raise no_engine(error) from None


def engine_version() -> str:
    """The version of the engine that answers, and where it does.

    Raises:
        DativoError: None answers, or it fails.
    """
    with contextlib.closing(connect()) as client, requests_to(client, "its version"):
        return f"{client.version().get('Version')} at `{address()}`"


def no_engine(error: BaseException) -> DativoError:
    """The error for an engine that could not be reached."""
    causes = list(_causes(error))
    facts: dict[str, object] = {"address": address(), "error": str(causes[-1])}
    if any(isinstance(cause, PermissionError) for cause in causes):
        return ConfigError(
            f"no permission to use the Docker Engine at `{address()}`",
            hint=f"add this user to the group `docker` and log in again, {OTHERWISE}",
            facts=facts,
        )
    if any(isinstance(cause, FileNotFoundError) for cause in causes):
        return ConfigError(
            f"there is no Docker Engine: `{address()}` does not exist",
            hint=f"install or start Docker, set `DOCKER_HOST`, {OTHERWISE}",
            facts=facts,
        )
    reason = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), str(causes[-1]))
    return ConnectorError(
        f"the Docker Engine at `{address()}` cannot be reached: {reason}",
        hint=f"start Docker, check `DOCKER_HOST`, {OTHERWISE}",
        retryable=True,
        facts=facts,
    )


def why_lost(error: BaseException) -> str:
    """Why nothing can be said about a container, in a few words."""
    from docker.errors import NotFound

    return "it was removed by somebody else" if isinstance(error, NotFound) else no_engine(error).message


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything behind it: the layers of HTTP keep their causes in arguments as well."""
    seen: list[BaseException] = []
    pending = [error]
    while pending:
        one = pending.pop(0)
        if any(one is other for other in seen):
            continue
        seen.append(one)
        yield one
        pending += [part for part in (one.__cause__, one.__context__, *one.args) if isinstance(part, BaseException)]


@contextlib.contextmanager
def requests_to(client: Any, image: str) -> Iterator[None]:
    """Turns the engine's refusals within the block into errors that say what to do.

    Args:
        client: Of the requests.
        image: What they are about, for messages.
    """
    import requests
    from docker.errors import APIError, DockerException

    try:
        yield
    except APIError as error:
        raise _refused(client, image, str(error.explanation or error)) from None
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        raise no_engine(error) from None
    except DockerException as error:
        raise ConnectorError(f"cannot run `{image}` in Docker: {error}") from None


def _refused(client: Any, image: str, said: str) -> DativoError:
    # The runtime's own complaint comes last, after those of everybody who passed it on.
    reason = re.sub(r"^.*?(?:starting container process caused|OCI runtime create failed|runc create failed): ", "", said)
    reason = reason.removesuffix(": unknown").strip()
    facts: dict[str, object] = {"image": image, "engine": said}
    if "invalid reference format" in said:
        return ConfigError(f"not an image: `{image}`", hint="write `repository/name:tag`", facts=facts)
    if found := re.search(r"network (\S+) not found", said):
        return ConfigError(
            f"there is no Docker network `{found[1]}`", hint=f"there are: {', '.join(_networks(client))}", facts=facts
        )
    if found := re.search(r'exec: "([^"]*)": (.+?)(?:: unknown)?$', said):
        return ConfigError(
            f"cannot start `{image}`: its program `{found[1]}` cannot be executed: {found[2]}",
            hint="an Airbyte source names its program as `ENTRYPOINT` or in `AIRBYTE_ENTRYPOINT`; is this image one?",
            facts=facts,
        )
    if found := re.search(r"unable to find (user|group) (\S+?):", said):
        return ConfigError(f"cannot start `{image}`: it runs as {found[1]} `{found[2]}`, whom it does not know", facts=facts)
    if re.search(r"memory limit|range of cpus", said, re.I):
        return ConfigError(
            f"cannot run `{image}` with these limits: {reason}", hint="change `container` of the source", facts=facts
        )
    if _NO_ROOM.search(said):
        return ConnectorError(
            f"cannot start `{image}`: {reason}", hint="make room on the engine's machine", retryable=True, facts=facts
        )
    return ConnectorError(f"the Docker Engine refused to run `{image}`: {reason}", facts=facts)


def _networks(client: Any) -> list[str]:
    try:
        return sorted(f"`{one['Name']}`" for one in client.networks())
    except Exception:
        return ["`bridge`", "`none`", "`host`"]
