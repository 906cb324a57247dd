"""The system that `bwrap` makes for a plugin."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dativo_engines.plugins._hosts import Host, hosts_file
from dativo_engines.plugins._system import DEVICES, ETC, SYSTEM, Seen
from dativo_engines.sandbox._bubblewrap import ISOLATION
from dativo_engines.sandbox._runtime import HIDDEN, SHARED_MEMORY_BYTES

USER = 1000
SMALL_BYTES = 65536
_LINKS = (("/proc/self/fd", "fd"), ("/proc/self/fd/0", "stdin"), ("/proc/self/fd/1", "stdout"), ("/proc/self/fd/2", "stderr"))


def bwrap_arguments(seen: Sequence[Seen], hidden: Sequence[str], groups: Mapping[str, str], tmp_bytes: int) -> list[Any]:
    """What `bwrap` is told; a path that is needed from outside is a mapping, as the launcher takes it.

    Args:
        seen: What the plugin sees besides the system, shallow paths first.
        hidden: Folders that are empty inside.
        groups: Its control groups: path inside, path here.
        tmp_bytes: Size of `/tmp`.
    """
    arguments: list[Any] = [*ISOLATION, "--uid", str(USER), "--gid", str(USER), "--hostname", "dativo"]
    for path in SYSTEM:
        if os.path.islink(path):
            arguments += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            arguments += ["--ro-bind", path, path]
    for name in ETC:
        if os.path.exists(f"/etc/{name}"):
            arguments += ["--ro-bind", os.path.realpath(f"/etc/{name}"), f"/etc/{name}"]
    # Not `--dev`: that takes a second user namespace, and terminals, which nobody needs.
    arguments += ["--proc", "/proc", "--perms", "0755", "--size", str(SMALL_BYTES), "--tmpfs", "/dev"]
    for name in DEVICES:
        arguments += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for target, name in _LINKS:
        arguments += ["--symlink", target, f"/dev/{name}"]
    arguments += ["--perms", "1777", "--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    arguments += ["--perms", "1777", "--size", str(tmp_bytes), "--tmpfs", "/tmp"]
    arguments += ["--perms", "0755", "--size", str(SMALL_BYTES), "--tmpfs", "/sys"]
    for inside, outside in groups.items():
        arguments += ["--ro-bind", outside, inside]
    arguments += ["--remount-ro", "/sys"]
    for name in HIDDEN:
        if Path("/proc", name).exists():
            arguments += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    places = [(path, None) for path in hidden] + [(each.inside, each) for each in seen]
    for path, each in sorted(places, key=lambda place: (place[0].count("/"), place[0])):
        if each is None:
            arguments += ["--perms", "0755", "--size", str(SMALL_BYTES), "--tmpfs", path]
        else:
            arguments += ["--bind" if each.writable else "--ro-bind", _source(each), path]
    return arguments


def etc_files(hosts: Sequence[Host], *, shares_network: bool) -> dict[str, bytes]:
    """Files in `/etc`, by path, that say who the plugin is and how names are resolved."""
    own, resolver = hosts_file(hosts), b""
    if shares_network:
        with suppress(OSError):
            own = Path("/etc/hosts").read_bytes().rstrip(b"\n") + b"\n127.0.0.1 dativo\n"
        with suppress(OSError):
            resolver = Path("/etc/resolv.conf").read_bytes()
    nobody = "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    return {
        "/etc/hosts": own,
        "/etc/resolv.conf": resolver,
        "/etc/hostname": b"dativo\n",
        "/etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
        "/etc/passwd": f"plugin:x:{USER}:{USER}:plugin:/tmp:/bin/sh\n{nobody}".encode(),
        "/etc/group": f"plugin:x:{USER}:\nnogroup:x:65534:\n".encode(),
    }


def _source(each: Seen) -> dict[str, Any]:
    """What the launcher takes for a path; with its owner where the plugin is to stand in for him."""
    if not each.is_own:
        return {"source": each.source}
    owner = os.stat(each.source)
    return {"source": each.source, "owner": [owner.st_uid, owner.st_gid]}
