"""Which containers and volumes are whose, so that nobody's are left: labels, and a sweep that removes those of dead runs."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

RUN = "dativo.run"
HOST = "dativo.host"
BOOT = "dativo.boot"
PROCESSES = "dativo.processes"
PID = "dativo.pid"
STARTED = "dativo.started"

# What is not running, and whose owner cannot be seen from here, is removed when it is older.
FORGOTTEN_SECONDS = 24 * 3600.0


@functools.cache
def _identity() -> dict[str, str]:
    """This machine, its boot, and the namespace in which its process ids mean something."""
    machine = ""
    with contextlib.suppress(OSError):
        machine = Path("/etc/machine-id").read_text()
    found = {HOST: hashlib.sha256(f"{machine}{socket.gethostname()}".encode()).hexdigest()[:16], BOOT: "", PROCESSES: ""}
    with contextlib.suppress(OSError):
        found[BOOT] = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        found[PROCESSES] = os.readlink("/proc/self/ns/pid")
    return found


_claimed: set[str] = set()


@contextlib.contextmanager
def claim(mark: str) -> Iterator[None]:
    """Within it this process works on the run; what it could not remove then belongs to nobody, however long it lives."""
    _claimed.add(mark)
    try:
        yield
    finally:
        _claimed.discard(mark)


def labels(mark: str) -> dict[str, str]:
    """Labels of what belongs to this process's run `mark`."""
    return {RUN: mark, **_identity(), PID: str(os.getpid()), STARTED: _started(os.getpid()) or ""}


def _started(pid: int) -> str | None:
    """When the process started, in ticks since boot; nothing where that cannot be known, None when it is dead."""
    try:
        # The program's name stands in parentheses and may hold any byte.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except OSError:
            pass
        return ""
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()


def owner_is_dead(found: Mapping[str, str]) -> bool | None:
    """Whether the run that set these labels is over, or its process gone; None when that cannot be seen from here."""
    here = _identity()
    if found.get(HOST) != here[HOST]:
        return None
    if found.get(BOOT) != here[BOOT]:
        return True
    if found.get(PROCESSES) != here[PROCESSES] or not found.get(PID, "").isdigit():
        return None
    now, then = _started(int(found[PID])), found.get(STARTED)
    if found[PID] == str(os.getpid()) and found.get(RUN) not in _claimed:
        return True
    return now is None or bool(now and then and now != then)


def sweep(client: Any, log: Callable[[str, str], None]) -> None:
    """Removes the containers and volumes of runs whose process is dead.

    What runs on behalf of a process that cannot be seen from here stays; once it has ended it goes after a day.
    """
    mine = {"label": RUN}
    for container in client.containers(all=True, filters=mine):
        dead = owner_is_dead(container["Labels"])
        forgotten = container["State"] in ("created", "exited", "dead") and time.time() - container["Created"] > FORGOTTEN_SECONDS
        if dead or (dead is None and forgotten):
            log("info", f"removing container `{container['Names'][0].lstrip('/')}` of a run that is over")
            remove_container(client, container["Id"])
    for volume in client.volumes(filters=mine)["Volumes"] or ():
        if owner_is_dead(volume["Labels"]):
            remove_volume(client, volume["Name"])


def remove_container(client: Any, name: str) -> None:
    """Ends and removes it; does nothing when it is gone, or going."""
    from docker.errors import APIError, NotFound

    try:
        client.remove_container(name, force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != 409:
            raise


def remove_volume(client: Any, name: str) -> None:
    """Does nothing when it is gone, or still in use by a container that is about to be removed."""
    from docker.errors import APIError, NotFound

    try:
        client.remove_volume(name, force=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != 409:
            raise
