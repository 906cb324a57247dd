"""Who an image runs as, and which of its directories can be replaced by empty writable ones: found once, in its files."""

from __future__ import annotations

import base64
import contextlib
import json
import posixpath
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dativo_protocols import frozen

LIMIT_BYTES = 1 << 20
LINKS = 5
HOME = "/"

# What is in a home that nobody uses, and what programs leave there when an image is built.
_SKELETON = frozenset(
    ".bashrc .profile .bash_logout .bash_profile .bash_history .ashrc .cshrc .tcshrc .kshrc .zshrc .python_history .wget-hsts"
    " .lesshst .viminfo .cache .local/state".split()
)
# Never replaced: they are not the image's own, or already there.
_KERNEL = ("proc", "sys", "dev")


@frozen
class UserFacts:
    """Who the image runs as.

    Attributes:
        uid: Numeric.
        gid: Of the first group.
        home: Where its `HOME` is.
        bare: Directories of those asked for in which nothing is that a connector could need.
    """

    uid: int
    gid: int
    home: str
    bare: tuple[str, ...] = ()


def find_user(client: Any, container: str, user: str, directories: Sequence[str], environment: Mapping[str, str]) -> UserFacts:
    """Reads the image's files through a container that never runs.

    Args:
        client: Of the engine.
        container: Made from the image.
        user: As the image's configuration has it: a name or number, with or without a group.
        directories: To look into, besides the home.
        environment: The image's own.
    """
    name, _, group = user.partition(":")
    accounts = list(_entries(_read(client, container, "/etc/passwd"), 6))
    known = next((fields for fields in accounts if name and name in (fields[0], fields[2])), None)
    if not name:
        known = next((fields for fields in accounts if fields[2] == "0"), None)
    uid = _number(known[2] if known else name)
    gid = _number(known[3]) if known else 0
    if group:
        groups = _entries(_read(client, container, "/etc/group"), 3)
        found = next((fields for fields in groups if fields[0] == group), None)
        gid = _number(found[2] if found else group)
    home = environment.get("HOME") or (known[5] if known else "") or HOME
    looked = dict.fromkeys(map(posixpath.normpath, (home, *directories)))
    return UserFacts(uid, gid, home, tuple(path for path in looked if replaceable(path) and _is_bare(client, container, path)))


def replaceable(path: str) -> bool:
    """Whether a directory of the image may be hidden at all."""
    return path.startswith("/") and path != "/" and path.split("/")[1] not in _KERNEL


def of_no_use(name: str) -> bool:
    """Whether what has this name in a home or volume is nothing that a connector could need."""
    return name in _SKELETON or name.startswith((".cache/", ".local/state/"))


def _number(text: str) -> int:
    # A name that is in no file: the engine will say so when it starts the container.
    return int(text) if text.isdecimal() else 0


def _entries(text: str, fields: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) >= fields:
            yield parts


def _read(client: Any, container: str, path: str) -> str:
    """A text file of the image, links followed; nothing when there is none."""
    for _ in range(LINKS):
        with _archive(client, container, path) as (tar, target):
            if target:
                path = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
                continue
            entry = tar.next() if tar is not None else None
            file = tar.extractfile(entry) if tar is not None and entry is not None and entry.isfile() else None
            return file.read(LIMIT_BYTES).decode(errors="replace") if file is not None else ""
    return ""


def _is_bare(client: Any, container: str, path: str) -> bool:
    """Whether a directory is missing, or holds nothing of use."""
    with _archive(client, container, path) as (tar, target):
        if tar is None or target:
            return not target
        for entry in tar:
            inner = entry.name.partition("/")[2]
            if not (entry.isdir() or inner in _SKELETON or inner.startswith((".cache/", ".local/state/"))):
                return False
    return True


@contextlib.contextmanager
def _archive(client: Any, container: str, path: str) -> Iterator[tuple[tarfile.TarFile | None, str]]:
    """What is at the path, None if nothing is, and where it leads if it is a link.

    The SDK's own call leaves the connection open when not all is read, and a home can be large.
    """
    address = f"{client.base_url}/v{client.api_version}/containers/{container}/archive"
    plain = {"Accept-Encoding": "identity"}
    with client.get(address, params={"path": path}, headers=plain, stream=True, timeout=client.timeout) as response:
        if response.status_code == 404:
            yield None, ""
            return
        response.raise_for_status()
        stat = json.loads(base64.b64decode(response.headers["x-docker-container-path-stat"]))
        with tarfile.open(fileobj=response.raw, mode="r|") as tar:
            yield tar, stat.get("linkTarget") or ""
