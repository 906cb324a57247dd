"""Runs a connector's image in the Docker Engine; see `Runtime`."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from dativo_protocols import ConfigError

from dativo_engines._engine import Connector, EngineOptions
from dativo_engines._private import PrivateDirectory
from dativo_engines._redaction import Redactor
from dativo_engines._running import StderrLines
from dativo_engines._runtime import ConnectorRuntime, placed
from dativo_engines.containers import _hardening, _ownership, _watcher
from dativo_engines.containers._client import connect, requests_to, socket_path
from dativo_engines.containers._container import Container
from dativo_engines.containers._images import Image, ImageStore
from dativo_engines.containers._stream import own_connection
from dativo_engines.containers._user import UserFacts, find_user


class DockerRuntime(ConnectorRuntime):
    """Starts a container for each command.

    Configuration, catalog and state reach it through a volume of their own that is mounted read-only. A second container, which
    never runs, writes them there, owned by the image's user and readable for nobody else; Docker keeps volumes where only root
    can look. So it works the same for root and other users, and for an engine on another machine, where a directory of this
    machine cannot be mounted. A volume in memory would be emptied between the two.

    Containers and volumes are removed when they are done with; by a watcher when this process is killed; and, should that be
    killed as well, at the next start.
    """

    def __init__(self, connector: Connector, options: EngineOptions, *, directory: PrivateDirectory, redactor: Redactor) -> None:
        super().__init__(connector, options, directory=directory, redactor=redactor)
        self._mark = directory.mark
        self._labels = _ownership.labels(self._mark)
        self._count = 0
        self._client: Any = None
        self._prepared: tuple[Image, UserFacts] | None = None

    @property
    def _ready(self) -> tuple[Image, UserFacts]:
        if self._prepared is None:
            raise RuntimeError("`prepare` comes before `start`")
        return self._prepared

    def prepare(self) -> None:
        """Finds or pulls the image, and removes what killed runs left.

        Raises:
            ConfigError: There is no engine, or no such image, or it is not for this machine.
            ConnectorError: The engine or the registry cannot be reached (retryable).
        """
        if self._prepared is not None:
            return
        reference = self._connector.image
        if reference is None:
            raise ConfigError(f"`{self._connector.reference}` names no image")
        container = self._options.container
        with ExitStack() as opening:
            opening.enter_context(_ownership.claim(self._mark))
            self._client = connect()
            opening.callback(self._client.close)
            watcher = _Watcher(self._mark)
            opening.callback(watcher.close)
            with requests_to(self._client, reference):
                _ownership.sweep(self._client, self._log)
            images = ImageStore(self._client, self._options.cache_dir, self._log)
            image = images.find(reference, platform=container.platform, pull=container.pull)
            user = images.facts(image)
            if user is None:
                user = self._find_user(image)
                images.keep(image, user, container.platform)
            if user.uid == 0:
                self._log("debug", f"`{reference}` runs as root, without any of root's powers")
            self._prepared = image, user
            self._stack = opening.pop_all()

    def start(
        self, arguments: Sequence[str], files: Mapping[str, bytes], *, stop_timeout_seconds: float | None = None
    ) -> Container:
        """Starts the image's program with the connector's own arguments before these.

        Raises:
            ConfigError: The image names no program, or one that is not there; or there is no such network.
            ConnectorError: The engine is gone, or refuses.
        """
        image, user = self._ready
        self._count += 1
        name = f"dativo-{self._mark[:16]}-{self._count}"
        memory = self._options.container.memory_bytes
        with ExitStack() as opening, requests_to(self._client, self.name):
            volumes = {}
            if files:
                volumes[_hardening.FILES] = opening.enter_context(self._volume(f"{name}-files"))
                self._write(volumes[_hardening.FILES], files)
            for path in _hardening.filled_volumes(image, user):
                volumes[path] = opening.enter_context(self._volume(f"{name}-{len(volumes)}"))
            container = self._create(name, [*self._connector.arguments, *placed(arguments, _paths(files))], volumes)
            opening.callback(_ownership.remove_container, self._client, container)
            with ExitStack() as attaching:
                streams = {"stdout": 1, "stderr": 1, "stream": 1}
                connection = own_connection(self._client.attach_socket(container, streams))
                attaching.callback(connection.close)
                self._client.start(container)
                attaching.pop_all()
            disposing = opening.pop_all()
        running = Container(
            self._client,
            container,
            connection,
            stderr=StderrLines(self._redactor, self._options.log),
            stop_timeout_seconds=self._stop_timeout(stop_timeout_seconds),
            limit=f"{memory / 2**20:.0f} MiB" if memory else None,
            foreign=image.platform if image.is_foreign else None,
            dispose=lambda: self._dispose(disposing),
        )
        return self._stack.enter_context(running)

    def _dispose(self, disposing: ExitStack) -> None:
        try:
            disposing.close()
        except Exception as error:
            self._log("warning", f"a container could not be removed, the next run tries again: {error}")

    def _create(self, name: str, arguments: Sequence[str], volumes: Mapping[str, str]) -> str:
        image, user = self._ready
        program = self._connector.executable
        made = self._client.create_container(
            image.pin.id,
            list(arguments),
            entrypoint=[program] if program else image.entrypoint,
            name=name,
            environment={**_hardening.environment(user), **self._connector.environment},
            labels=self._labels,
            stop_signal="SIGTERM",
            host_config=_hardening.limits(self._client, user, self._options.container, volumes),
            healthcheck={"test": ["NONE"]},
        )
        for warning in made.get("Warnings") or ():
            self._log("warning", f"the Docker Engine cannot confine the connector as asked: {warning}")
        container: str = made["Id"]
        return container

    @contextlib.contextmanager
    def _idle(self, image: Image, name: str, host_config: Mapping[str, Any]) -> Iterator[str]:
        """A container that never runs."""
        container = self._client.create_container(
            image.pin.id,
            ["none"],
            entrypoint=["none"],
            name=name,
            labels=self._labels,
            use_config_proxy=False,
            host_config=host_config,
        )["Id"]
        try:
            yield container
        finally:
            _ownership.remove_container(self._client, container)

    @contextlib.contextmanager
    def _volume(self, name: str) -> Iterator[str]:
        """A volume, removed at the end."""
        self._client.create_volume(name, labels=self._labels)
        try:
            yield name
        finally:
            _ownership.remove_volume(self._client, name)

    def _write(self, volume: str, files: Mapping[str, bytes]) -> None:
        image, user = self._ready
        with self._idle(image, volume, _hardening.writing(self._client, image, volume)) as container:
            self._client.put_archive(container, _hardening.FILES, _tar(files, user))

    def _find_user(self, image: Image) -> UserFacts:
        name = f"dativo-{self._mark[:16]}-look"
        with (
            requests_to(self._client, image.pin.reference),
            self._idle(image, name, _hardening.looking(self._client)) as container,
        ):
            return find_user(self._client, container, image.config.get("User") or "", image.volumes, image.environment)


class _Watcher:
    """The process that removes this run's containers if this one cannot."""

    def __init__(self, mark: str) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        path = socket_path()
        # An engine on another machine is left to the next start.
        if path is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", _watcher.__file__, path, mark, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def close(self) -> None:
        """There is nothing left to remove."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(b"D")
                self._process.stdin.close()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


def _paths(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: f"{_hardening.FILES}/{name}" for name in files}


def _tar(files: Mapping[str, bytes], user: UserFacts) -> bytes:
    """The files, for the image's user alone."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid, info.gid = len(data), 0o400, user.uid, user.gid
            tar.addfile(info, io.BytesIO(data))
    return written.getvalue()
