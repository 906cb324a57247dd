"""Removes a run's containers and volumes when Dativo dies without a word, as by SIGKILL.

Run as `python -I -S _watcher.py SOCKET MARK PARENT` with the standard library's smallest parts only. Standard input is a pipe
from Dativo: the byte `D` says that there is nothing left to do; end of file means that Dativo is dead.
"""

import json
import os
import select
import signal
import socket
import sys
import time

ATTEMPTS = 5
TIMEOUT_SECONDS = 30


def call(path: str, method: str, target: str) -> tuple[int, bytes]:
    """Status and body of one request, in the version of HTTP that has no chunks."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as engine:
        engine.settimeout(TIMEOUT_SECONDS)
        engine.connect(path)
        engine.sendall(f"{method} {target} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        said = b""
        while part := engine.recv(65536):
            said += part
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def remove(path: str, mark: str) -> bool:
    """Removes what carries the run's label; returns whether nothing was there."""
    filters = f"filters=%7B%22label%22%3A%5B%22dativo.run%3D{mark}%22%5D%7D"
    containers = json.loads(call(path, "GET", f"/containers/json?all=1&{filters}")[1])
    for container in containers:
        call(path, "DELETE", f"/containers/{container['Id']}?force=1&v=1")
    volumes = json.loads(call(path, "GET", f"/volumes?{filters}")[1])["Volumes"] or []
    for volume in volumes:
        call(path, "DELETE", f"/volumes/{volume['Name']}?force=1")
    return not containers and not volumes


def dativo_died(parent: int) -> bool:
    """Waits until Dativo ends; returns whether it left anything to do."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    while True:
        if poll.poll(2000):
            return os.read(0, 1) != b"D"
        # A process forked off Dativo may hold the pipe open.
        if os.getppid() != parent:
            return True


def main(path: str, mark: str, parent: str) -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if not dativo_died(int(parent)):
        return
    # A container that was being made when Dativo died may show up a moment later.
    for attempt in range(ATTEMPTS):
        try:
            if remove(path, mark) and attempt > 1:
                return
        except (OSError, ValueError, IndexError, KeyError):
            pass
        time.sleep(0.5)


if __name__ == "__main__":
    main(*sys.argv[1:])
