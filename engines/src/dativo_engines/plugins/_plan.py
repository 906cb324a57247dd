"""What the launcher and the entrance of a plugin are told to do."""

from __future__ import annotations

import marshal
import math
import os
import resource
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dativo_engines._engine import Connector, EngineOptions
from dativo_engines._private import PROCESS_MARK, PrivateDirectory
from dativo_engines._sandbox_options import Level, SandboxOptions
from dativo_engines.plugins import _entrance, _relay
from dativo_engines.plugins._bwrap import bwrap_arguments, etc_files
from dativo_engines.plugins._hosts import Host, further_addresses
from dativo_engines.plugins._levels import Means
from dativo_engines.plugins._own_folder import OwnFolder
from dativo_engines.plugins._system import DEVICES, ETC, SYSTEM, Seen, hidden_below, is_module, package_folders
from dativo_engines.sandbox import _launcher
from dativo_engines.sandbox._compiled import compiled
from dativo_engines.sandbox._limits import Limits
from dativo_engines.sandbox._seccomp import seccomp_filter

FILES = "/dativo"
FILES_BYTES = 64 << 20
ENTRANCE, PLAN, FILTER = "entrance.pyc", "entrance", "filter"
# Where a plugin finds the certificates that this machine trusts, if not in the system's own place.
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
LOCALE = ("LANG", "LANGUAGE", "TZ")
# The entrance gives them up before any code of the plugin's runs.
CAPABILITIES = ("NET_BIND_SERVICE", "NET_ADMIN", "SETPCAP")
# Of this machine, for a plugin that has no system of its own: about itself, about the machine, about names.
PROC = ("self", "cpuinfo", "meminfo", "stat", "loadavg", "uptime", "version", "filesystems", "sys/vm/overcommit_memory")
ACCOUNTS = ("passwd", "group", "nsswitch.conf")
NAMES = ("hosts", "resolv.conf")
IP_FAMILIES = (2, 10, 16)
DNS = 53


class Plans:
    """The plans of one plugin's starts.

    Args:
        connector: What is started.
        options: Of the run.
        sandbox: What the plugin declares.
        directory: Of the run.
        program: Path of the connector's program.
        seen: What the plugin sees besides the system, shallow paths first.
        hosts: Those it may connect to.
        found: What this machine has.
        level: How the plugin is to be confined.
        user: Whom it runs as outside, for root; else None.
    """

    def __init__(
        self,
        connector: Connector,
        options: EngineOptions,
        sandbox: SandboxOptions,
        directory: PrivateDirectory,
        *,
        program: str,
        seen: Sequence[Seen],
        hosts: Sequence[Host],
        found: Means,
        level: Level,
        user: int | None,
    ) -> None:
        self._connector, self._options, self._sandbox, self._directory = connector, options, sandbox, directory
        self._program, self._seen, self._hosts = program, seen, hosts
        self._found, self._level, self._user = found, level, user
        self._starts = 0

    def in_own_system(self, limits: Limits, files: Mapping[str, bytes]) -> tuple[Path, str]:
        """The launcher's plan for a plugin that `bwrap` confines, and the folder in which the plugin finds its files."""
        sandbox, paths = self._sandbox, [each.inside for each in self._seen]
        hidden = self.hidden()
        arguments = bwrap_arguments(self._seen, hidden, limits.groups.mounts, sandbox.tmp_bytes)
        arguments += [] if sandbox.network == "all" else ["--unshare-net"]
        if self._hosts:
            arguments += [word for name in CAPABILITIES for word in ("--cap-add", f"CAP_{name}")]
        entrance = self._entrance(
            readable=[*SYSTEM, "/proc", "/sys", "/etc", "/dev", FILES, *paths],
            writable=["/tmp", "/dev/shm", *self._writable()],
            # There is nothing else than what it can read, and the folders on the way to that.
            listable=["/"],
            relayed=self._hosts,
        )
        inside = {**self._files(entrance, files, FILES), **etc_files(self._hosts, shares_network=sandbox.network == "all")}
        seccomp = seccomp_filter(plugin=True)
        mounts: dict[str, Any] = {
            "relay": None,
            "seccomp": None if seccomp is None else str(self._directory.write("plugin-seccomp", seccomp)),
        }
        if self._hosts:
            mounts["relay"] = {"program": _relay.__file__, "hosts": [(host.name, host.port) for host in self._hosts]}
        plan = {
            **mounts,
            "bwrap": self._found.bwrap,
            "arguments": [*arguments, "--perms", "0755", "--size", str(FILES_BYTES), "--tmpfs", FILES, "--chdir", "/tmp"],
            "last": [part for path in (*hidden, "/") for part in ("--remount-ro", path)],
            "files": {path: str(self._kept(number, data)) for number, (path, data) in enumerate(inside.items())},
        }
        return self._written(plan, limits, home="/tmp"), FILES

    def in_this_system(self, folder: OwnFolder, limits: Limits, files: Mapping[str, bytes]) -> tuple[Path, str]:
        """The same for one that has no system of its own, and is confined by the entrance alone, as far as the level goes.

        Args:
            folder: The plugin's.
            limits: Of this start.
            files: By name, of the connector.
        """
        shares = self._sandbox.network != ()
        etc = [f"/etc/{name}" for name in (*ETC, *ACCOUNTS, *(NAMES if shares else ()))]
        machine = [*(f"/proc/{name}" for name in PROC), "/sys/devices/system/cpu"]
        # Where Python looks for a module, it reads the names.
        modules = [*package_folders(), *(each.inside for each in self._seen if each.is_own and is_module(each.source))]
        ports = {host.port for host in self._hosts} | ({DNS} if shares else set())
        entrance = self._entrance(
            readable=[*SYSTEM, *etc, *machine, *(each.inside for each in self._seen), str(folder.files)],
            writable=[str(folder.tmp), *self._writable()],
            listable=sorted(set(map(os.path.dirname, modules))),
            ports=None if self._sandbox.network == "all" else sorted(ports),
        )
        entrance["directory"] = str(folder.tmp)
        if self._level == "landlock":
            # Only so does it have no network; and never sockets of this machine's own, which no rule is about.
            folder.write(FILTER, seccomp_filter(plugin=True, families=IP_FAMILIES if shares else ()) or b"")
            entrance["seccomp"] = f"{folder.files}/{FILTER}"
        else:
            entrance["landlock"] = 0
        for path, data in self._files(entrance, files, str(folder.files)).items():
            folder.write(os.path.basename(path), data)
        return self._written({"bwrap": None, "directory": str(folder.tmp)}, limits, home=str(folder.tmp)), str(folder.files)

    def _written(self, plan: Mapping[str, Any], limits: Limits, *, home: str) -> Path:
        self._starts += 1
        whole = {
            **plan,
            "environment": self._environment(home),
            "groups": limits.groups.joining,
            "limits": limits.resources,
            "cpus": limits.processors,
            "user": self._user,
        }
        return self._directory.write(f"plugin-{self._starts}", marshal.dumps(whole))

    def _kept(self, number: int, data: bytes) -> Path:
        return self._directory.write(f"plugin-{self._starts}-{number}", data)

    def _entrance(
        self,
        *,
        readable: Sequence[str],
        writable: Sequence[str],
        listable: Sequence[str],
        ports: Sequence[int] | None = None,
        relayed: Sequence[Host] = (),
    ) -> dict[str, Any]:
        """What the entrance is told."""
        return {
            "landlock": self._found.landlock,
            "readable": readable,
            "writable": writable,
            "listable": listable,
            "devices": [f"/dev/{name}" for name in DEVICES],
            "ports": ports,
            "seccomp": None,
            "relay": _launcher.RELAY if relayed else None,
            "hosts": [(host.inside, host.port) for host in relayed],
            "addresses": list(further_addresses(relayed)),
            "limits": self._limits(),
            "directory": "/tmp",
            # Configurations name files relative to it.
            "folder": os.getcwd() if any(file.path.is_relative_to(Path.cwd()) for file in self._sandbox.files) else None,
        }

    def _limits(self) -> list[tuple[int, int]]:
        """Of each process."""
        sandbox = self._sandbox
        limits = {resource.RLIMIT_NOFILE: sandbox.open_files, resource.RLIMIT_MSGQUEUE: 0}
        if sandbox.file_bytes is not None:
            limits[resource.RLIMIT_FSIZE] = sandbox.file_bytes
        if sandbox.cpu_seconds is not None:
            limits[resource.RLIMIT_CPU] = math.ceil(sandbox.cpu_seconds)
        return list(limits.items())

    def _files(self, entrance: Mapping[str, Any], files: Mapping[str, bytes], folder: str) -> dict[str, bytes]:
        """By path inside: the connector's files, and what starts it."""
        own = {**files, ENTRANCE: compiled(_entrance), PLAN: marshal.dumps(dict(entrance))}
        return {f"{folder}/{name}": data for name, data in own.items()}

    def _environment(self, home: str) -> dict[str, str]:
        locale = {name: value for name, value in os.environ.items() if name in LOCALE or name.startswith("LC_")}
        declared = {name: os.environ[name] for name in self._sandbox.environment if name in os.environ}
        path = os.pathsep.join(dict.fromkeys((os.path.dirname(self._program), "/usr/local/bin", "/usr/bin", "/bin")))
        own = {"PATH": path, "HOME": home, "TMPDIR": home}
        given = {**certificates(self._sandbox), **own, **self._connector.environment, **declared}
        return {"LANG": "C.UTF-8", **locale, **given, PROCESS_MARK: self._directory.mark}

    def _writable(self) -> Iterable[str]:
        return (each.inside for each in self._seen if each.writable)

    def hidden(self) -> list[str]:
        """What lies in the folders that the plugin sees, and is not for it."""
        return hidden_below([*SYSTEM, *(each.inside for each in self._seen)], self._nobodys_business())

    def _nobodys_business(self) -> list[Path]:
        """What a plugin must not see, even where it lies in a folder that it does see."""
        options = self._options
        found = [Path.cwd(), Path(".dativo"), Path.home(), options.cache_dir, self._directory.path.parent]
        return found if options.tmp_dir is None else [*found, options.tmp_dir]


def certificates(sandbox: SandboxOptions) -> dict[str, str]:
    """The variables that name them, for a plugin that may connect to anybody."""
    return {name: os.environ[name] for name in CERTIFICATES if name in os.environ} if sandbox.network else {}
