"""Connects to declared hosts on behalf of a sandbox that has no network: what comes in at its loopback addresses goes to them.

Runs in a process beside the sandbox, outside of it. The sockets that it accepts connections from were opened inside, in the
sandbox's own network, and handed over before any of its program's code ran; nothing that the program says can lead to another
host or port. A host's name is resolved when somebody connects.
"""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401  (resolving needs it, and may no longer be able to find it by then)
import ipaddress
import select
import signal
import socket
import sys
import threading
from collections import deque

PIECE_BYTES = 256 * 1024
CONNECT_SECONDS = 30.0
CONNECTIONS = 512

Host = tuple[str, int]


def connect(name: str, port: int) -> socket.socket:
    """A connection to the host, by the first of its addresses that answers.

    Raises:
        OSError: None does, or its name leads to this machine itself: whoever answers for a name outside could have it lead there.
    """
    refusal = OSError(0, "it has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM):
        if leads_home(name, str(address[0])):
            refusal = OSError(0, f"the name leads to `{address[0]}`, which only the address itself or `localhost` can declare")
            continue
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(CONNECT_SECONDS)
            made.connect(address)
        except OSError as error:
            made.close()
            refusal = error
        else:
            return made
    raise refusal


def leads_home(name: str, address: str) -> bool:
    """Whether a name that was declared leads to what only this machine reaches: its loopback, a cloud's metadata service."""
    if name == "localhost":
        return False
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name)
        return False
    found = ipaddress.ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    return found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast


class Flow:
    """One direction of a connection."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.waiting = memoryview(b"")
        self.ended = False

    def move(self, *, can_read: bool, can_write: bool) -> None:
        """Raises OSError when the connection is broken."""
        if can_read and not self.waiting:
            with contextlib.suppress(BlockingIOError):
                self.waiting = memoryview(self.source.recv(PIECE_BYTES))
                if not self.waiting:
                    self.ended = True
                    self.sink.shutdown(socket.SHUT_WR)
                can_write = True
        if can_write and self.waiting:
            with contextlib.suppress(BlockingIOError):
                self.waiting = self.waiting[self.sink.send(self.waiting) :]


class Relay:
    """Accepts, connects and moves bytes, in one thread; only connecting, which may take long, has threads of its own.

    Args:
        listening: Sockets inside.
        hosts: Where each one leads.
    """

    def __init__(self, listening: list[socket.socket], hosts: list[Host]) -> None:
        self._hosts = {each.fileno(): host for each, host in zip(listening, hosts, strict=True)}
        self._listening = {each.fileno(): each for each in listening}
        self._poll = select.poll()
        self._flows: dict[int, tuple[Flow, Flow]] = {}
        self._made: deque[tuple[socket.socket, socket.socket | None]] = deque()
        self._pending = 0
        self._woken, self._wake = socket.socketpair()
        for fd in (*self._listening, self._woken.fileno()):
            self._poll.register(fd, select.POLLIN)

    def run(self) -> None:
        """For ever."""
        while True:
            for fd, event in self._poll.poll():
                if fd in self._listening:
                    self._accept(fd)
                elif fd == self._woken.fileno():
                    self._woken.recv(4096)
                    while self._made:
                        self._join(*self._made.popleft())
                elif fd in self._flows:
                    self._move(fd, event)

    def _accept(self, fd: int) -> None:
        with contextlib.suppress(OSError):
            inside, _ = self._listening[fd].accept()
            if self._pending + len(self._flows) // 2 >= CONNECTIONS:
                inside.close()
                return
            self._pending += 1
            threading.Thread(target=self._connect, args=(inside, self._hosts[fd]), daemon=True).start()

    def _connect(self, inside: socket.socket, host: Host) -> None:
        outside = None
        try:
            outside = connect(*host)
        except OSError as error:
            print(f"cannot connect to `{host[0]}:{host[1]}`: {error.strerror or error}", file=sys.stderr, flush=True)
        self._made.append((inside, outside))
        self._wake.send(b"x")

    def _join(self, inside: socket.socket, outside: socket.socket | None) -> None:
        self._pending -= 1
        if outside is None:
            # A reset, as from a host where nobody listens.
            inside.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            inside.close()
            return
        flows = (Flow(inside, outside), Flow(outside, inside))
        for each in (inside, outside):
            each.setblocking(False)
            with contextlib.suppress(OSError):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._flows[each.fileno()] = flows
            self._poll.register(each.fileno(), select.POLLIN)

    def _move(self, fd: int, event: int) -> None:
        flows = self._flows[fd]
        try:
            for flow in flows:
                can_read = flow.source.fileno() == fd and event & ~select.POLLOUT != 0
                flow.move(can_read=can_read, can_write=flow.sink.fileno() == fd and event & select.POLLOUT != 0)
            broken = event & select.POLLERR != 0 or all(flow.ended and not flow.waiting for flow in flows)
        except OSError:
            broken = True
        for end in (flows[0].source, flows[0].sink):
            wanted = 0 if broken else self._wanted(end, flows)
            # One that is registered for nothing is still told, again and again, that its peer is gone.
            with contextlib.suppress(KeyError):
                self._poll.unregister(end.fileno())
            if wanted:
                self._poll.register(end.fileno(), wanted)
            if broken:
                del self._flows[end.fileno()]
                end.close()

    def _wanted(self, end: socket.socket, flows: tuple[Flow, Flow]) -> int:
        reads = any(flow.source is end and not flow.ended and not flow.waiting for flow in flows)
        writes = any(flow.sink is end and flow.waiting for flow in flows)
        return (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0)


def main(control: socket.socket, hosts: list[Host]) -> None:
    """Until it is killed, or until there is no sandbox.

    Args:
        control: Where the listening sockets come from, once.
        hosts: Where each leads, in their order.
    """
    # The program may need its connections to end well.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _, fds, _, _ = socket.recv_fds(control, 1, len(hosts))
    control.close()
    if fds:
        Relay([socket.socket(fileno=fd) for fd in fds], [(name, port) for name, port in hosts]).run()
