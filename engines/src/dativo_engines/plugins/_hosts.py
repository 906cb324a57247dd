"""The hosts that a plugin may connect to, and by which addresses it finds them in a network of its own."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterator, Sequence

from dativo_protocols import ConfigError, frozen

DEFAULT_PORT = 443
# `api.example:8443`, `10.0.0.5`, `[2001:db8::5]:5432`; a bare IPv6 address has no port.
_HOST = re.compile(
    r"\[(?P<six>[0-9A-Fa-f:.]+)\](?::(?P<port6>\d+))?|(?P<name>[A-Za-z0-9_](?:[A-Za-z0-9._-]*))(?::(?P<port>\d+))?"
)
_PLAIN = "127.0.0.1 localhost dativo\n::1 localhost\n"


@frozen
class Host:
    """Where a plugin may connect to.

    Attributes:
        name: A host's name or address, as declared.
        port: Of TCP.
        inside: The address by which it is found inside.
    """

    name: str
    port: int
    inside: str


def parse_hosts(declared: Sequence[str]) -> tuple[Host, ...]:
    """The declared hosts, each once.

    An address means itself inside; a name means a loopback address of its own, whatever it means outside.

    Raises:
        ConfigError: One is neither.
    """
    found: dict[tuple[str, int], Host] = {}
    names: dict[str, str] = {"localhost": "127.0.0.1"}
    for text in declared:
        name, port = parsed_host(text)
        with contextlib.suppress(ValueError):
            names[name] = str(ipaddress.ip_address(name))
        if name not in names:
            # Not 127.0.0.x, where a plugin may listen itself.
            number = sum(address.startswith("127.1.") for address in names.values()) + 1
            names[name] = f"127.1.{number >> 8}.{number & 255}"
        # `localhost` and its address are one.
        found.setdefault((names[name], port), Host(name, port, names[name]))
    return tuple(found.values())


def hosts_file(hosts: Sequence[Host]) -> bytes:
    """What `/etc/hosts` says inside."""
    named = {host.name: host.inside for host in hosts if host.name not in ("localhost", host.inside)}
    return (_PLAIN + "".join(f"{address} {name}\n" for name, address in named.items())).encode()


def further_addresses(hosts: Sequence[Host]) -> Iterator[str]:
    """The addresses that a loopback interface does not have by itself."""
    for address in dict.fromkeys(host.inside for host in hosts):
        if not ipaddress.ip_address(address).is_loopback:
            yield address


def parsed_host(text: str) -> tuple[str, int]:
    """Name or address, and port.

    Raises:
        ConfigError: It is no host.
    """
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(text)), DEFAULT_PORT
    match = _HOST.fullmatch(text)
    name = match["six"] or match["name"].lower().rstrip(".") if match else ""
    if match and match["six"]:
        with contextlib.suppress(ValueError):
            name = str(ipaddress.IPv6Address(name))
    if match is None or not name or (match["six"] and ":" not in name):
        raise ConfigError(
            f"`{text}` in `network` is no host",
            hint="write names or addresses with a port: `db.example:5432`, `[2001:db8::5]:5432`, or `network: all`",
        )
    port = int(match["port6"] or match["port"] or DEFAULT_PORT)
    if not 0 < port < 65536:
        raise ConfigError(f"`{text}` in `network` has no such port", hint="ports are numbers from 1 to 65535")
    return name, port
