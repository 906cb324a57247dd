"""A connector that runs in a container: its output on a pipe, its end known, nothing left of it."""

from __future__ import annotations

import contextlib
import math
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from dativo_protocols import ConnectorError

from dativo_engines._running import Exit, Started, StderrLines
from dativo_engines.containers._client import why_lost
from dativo_engines.containers._stream import demultiplex, receiver, write_all
from dativo_engines.supervisor import PIPE_BYTES, open_pipe

KILLED = 137
NOT_EXECUTABLE = (126, 127)
CLOSE_SECONDS = 5.0
OUT_OF_MEMORY_SECONDS = 0.3

_INIT_FAILED = re.compile(r"^\[FATAL tini.*\] exec (.+) failed: (.+)$")


class Container(Started):
    """A container that was started; see `Running`.

    One thread takes stdout and stderr apart. It waits while the pipe is full; then the engine's buffer fills, then the
    connector's own pipe, and the connector waits.

    Args:
        client: Of the engine.
        container: Its id.
        connection: Attached to it before it started.
        stderr: Where its stderr goes.
        stop_timeout_seconds: From SIGTERM to SIGKILL.
        limit: Its limit of memory, for messages; None when it has none.
        foreign: The image's platform where the engine must emulate it, for messages.
        dispose: Removes what belongs to it; called once, at the end.

    Attributes:
        stdout: File descriptor to read from; closed by `close`, unless set to -1 by who took it.
        exit: How it ended.
    """

    def __init__(
        self,
        client: Any,
        container: str,
        connection: Any,
        *,
        stderr: StderrLines,
        stop_timeout_seconds: float,
        limit: str | None,
        foreign: str | None,
        dispose: Callable[[], None],
    ) -> None:
        super().__init__(stderr)
        self.exit: Exit | None = None
        self.stdout, self._stdout_write = open_pipe(PIPE_BYTES)
        self._client = client
        self._container = container
        self._connection = connection
        self._stop_timeout = stop_timeout_seconds
        self._limit = limit
        self._foreign = foreign
        self._dispose = dispose
        self._lost: str | None = None
        self._reader_left = False
        self._closed = False
        self._ended = threading.Event()
        self._stopping: threading.Thread | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._pump, name="dativo-container", daemon=True)
        self._thread.start()

    def wait(self, timeout: float | None = None) -> Exit | None:
        """How it ended, with its stderr complete; None when it is still running after `timeout` seconds.

        Raises:
            ConnectorError: The engine is gone, or the container was removed by somebody else (retryable).
        """
        if not self._ended.wait(timeout):
            return None
        if self.exit is None:
            raise ConnectorError(
                f"the connector's container is gone: {self._lost}",
                hint="was the Docker Engine restarted, or the container removed? Run it again",
                retryable=True,
            )
        return self.exit

    def stop(self) -> None:
        """Asks it to end, and kills it after the stop timeout. Does not wait."""
        with self._lock:
            if self._stopping is None and not self._ended.is_set():
                self._stopping = threading.Thread(target=self._stop, name="dativo-container-stop", daemon=True)
                self._stopping.start()

    def close(self) -> None:
        """Ends and removes it. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self.stdout >= 0:
            os.close(self.stdout)
            self.stdout = -1
        self.stop()
        self._ended.wait(self._stop_timeout + CLOSE_SECONDS)
        try:
            self._dispose()
        finally:
            # The engine ends the connection with the container; one that hangs does not hold this up.
            self._thread.join(CLOSE_SECONDS)
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            self._thread.join(CLOSE_SECONDS)
            self._connection.close()

    def _stop(self) -> None:
        # Whatever hinders that: closing removes the container by force.
        with contextlib.suppress(Exception):
            self._client.stop(self._container, timeout=math.ceil(self._stop_timeout))

    def _pump(self) -> None:
        try:
            try:
                demultiplex(receiver(self._connection), self._write, self._stderr.feed)
            except OSError as error:
                self._lost = str(error)
            self._stderr.end()
            self._end_stdout()
            self.exit = self._exit()
        except Exception as error:
            self._lost = why_lost(error)
        finally:
            self._end_stdout()
            self._ended.set()

    def _write(self, parts: list[memoryview]) -> None:
        if self._reader_left:
            return
        try:
            write_all(self._stdout_write, parts)
        except BrokenPipeError:
            self._reader_left = True
            self.stop()

    def _end_stdout(self) -> None:
        if self._stdout_write >= 0:
            os.close(self._stdout_write)
            self._stdout_write = -1

    def _exit(self) -> Exit | None:
        # Its output may be at its end a moment before it is.
        self._client.wait(self._container)
        state = self._state()
        if state["ExitCode"] == KILLED and not state["OOMKilled"]:
            # The engine may hear of the memory after it has heard of the end.
            time.sleep(OUT_OF_MEMORY_SECONDS)
            state = self._state()
        code = int(state["ExitCode"])
        if self._lost is not None and code == 0:
            return None
        cause, hint = self._cause(code, bool(state["OOMKilled"]))
        return Exit(code=code, signal=None, max_rss_bytes=0, cpu_seconds=0.0, cause=cause, hint=hint)

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = self._client.inspect_container(self._container)["State"]
        return state

    def _cause(self, code: int, out_of_memory: bool) -> tuple[str | None, str | None]:
        """What the engine knows of why it ended, and what to do about it."""
        if code == 0:
            return None, None
        limit = f"its limit is {self._limit}" if self._limit else "the engine's machine had no more for it"
        advice = "raise `memory` of the source's `container`, or lower what the source holds at once"
        if out_of_memory:
            return f"out of memory: {limit}", advice
        if code == KILLED:
            return None, f"as for memory, {limit}: if nobody ended the source, {advice}"
        if code in NOT_EXECUTABLE:
            for line in self._stderr.tail:
                if found := _INIT_FAILED.match(line):
                    return self._cannot_execute(found[1], found[2])
        return None, None

    def _cannot_execute(self, program: str, reason: str) -> tuple[str, str]:
        # Only a shell would say what is wrong with it, and there the shell is for another processor, too.
        if self._foreign is not None:
            return (
                f"`{program}` is for another processor: the image is for {self._foreign}",
                "name an image for the engine's platform, or set up emulation on its machine",
            )
        return (
            f"its program `{program}` cannot be executed: {reason}",
            "an Airbyte source names its program as `ENTRYPOINT` or in `AIRBYTE_ENTRYPOINT`; is this image one?",
        )
