"""Where a trial's rows come from: a tap that is a program, or a source in a container. Each says how it is found and killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

TAP = Path(__file__).with_name("tap.py")
STREAMS = ["red", "green", "blue"]


class Source(Protocol):
    """The source of all trials of a setting."""

    def place(self, folder: Path) -> dict[str, Any]:
        """What a job in the folder says of it; what it needs is put there."""
        ...

    def kill(self, folder: Path, dativo: int, chance: random.Random) -> bool:
        """Kills it, if it runs for this process; returns whether there was anything to kill."""
        ...

    def left_over(self, dativo: list[int]) -> list[str]:
        """What is still there of it, made for these processes."""
        ...


@dataclass(frozen=True)
class Tap:
    """A Singer tap that replays a file.

    Attributes:
        messages: The file.
        pause_ms: It waits so long after every MiB.
    """

    messages: Path
    pause_ms: float = 0.0

    def place(self, folder: Path) -> dict[str, Any]:
        """The tap is copied, so that every process of the trial can be told by the folder's name."""
        tap = folder / "tap.py"
        tap.write_bytes(TAP.read_bytes())
        tap.chmod(0o755)
        return {"connector": f"singer:{tap}", "config": {"file": str(self.messages), "pause_ms": self.pause_ms}}

    def kill(self, folder: Path, dativo: int, chance: random.Random) -> bool:
        taps = [pid for pid in descendants(dativo) if str(folder / "tap.py") in command_line(pid).split("\0")[:3]]
        for pid in taps:
            end(pid)
        return bool(taps)

    def left_over(self, dativo: list[int]) -> list[str]:
        """Nothing that is no process of the folder."""
        return []


@dataclass(frozen=True)
class Container:
    """An Airbyte source in a container: `source.py` of this directory.

    Attributes:
        image: Its name in the Docker Engine.
        rows: Of all streams together.
        state_every: Rows.
        pause_ms: It waits so long after so many rows.
    """

    image: str
    rows: int
    state_every: int
    pause_ms: float = 0.0

    def place(self, folder: Path) -> dict[str, Any]:
        config = {"rows": self.rows, "state_every": self.state_every, "pause_ms": self.pause_ms}
        return {"connector": f"airbyte:{self.image}", "config": config, "container": {"network": "none"}}

    def kill(self, folder: Path, dativo: int, chance: random.Random) -> bool:
        """By the engine, or past it: its first process dies, or the program below that. One that only discovers is left alone."""
        from docker.errors import APIError

        killed = False
        with engine() as client:
            for container in client.containers(filters={**made_for(dativo), "status": "running"}):
                if " read " not in container["Command"]:
                    continue
                # It may have ended meanwhile.
                with contextlib.suppress(APIError):
                    first = int(client.inspect_container(container["Id"])["State"]["Pid"])
                    how = chance.choice(["engine", "first", "program"])
                    if how == "engine" or not os.path.exists(f"/proc/{first}"):
                        client.kill(container["Id"])
                    else:
                        for pid in [first] if how == "first" else descendants(first):
                            end(pid)
                    killed = True
        return killed

    def left_over(self, dativo: list[int]) -> list[str]:
        with engine() as client:
            found = [
                name for pid in dativo for one in client.containers(all=True, filters=made_for(pid)) for name in one["Names"]
            ]
            volumes = [client.volumes(filters=made_for(pid))["Volumes"] or () for pid in dativo]
        return [*found, *(volume["Name"] for some in volumes for volume in some)]


@contextlib.contextmanager
def engine() -> Iterator[Any]:
    """A client of the Docker Engine."""
    from dativo_engines.containers._client import connect

    with contextlib.closing(connect()) as client:
        yield client


def made_for(dativo: int) -> dict[str, str]:
    """The filter for containers and volumes of a run in this process."""
    from dativo_engines.containers._ownership import PID

    return {"label": f"{PID}={dativo}"}


def processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def command_line(pid: int) -> str:
    """Its arguments, each ended by NUL; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    """Of the process, by the parents that the system names."""
    found: list[int] = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        children = [int(child) for task in tasks for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except OSError:
        return found
    for child in children:
        found += [child, *descendants(child)]
    return found


def end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
