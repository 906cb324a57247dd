"""What an image says about how to run it."""

from __future__ import annotations

import os
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from dativo_protocols import ConfigError, frozen

from dativo_engines.sandbox._root import Root

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TMP = "/tmp"
_SHELL = re.compile(r"[$`;|&<>*?]")


@frozen
class ImageProgram:
    """How an image is started.

    Attributes:
        command: Without the connector's arguments.
        environment: Of the image, with `PATH` and `HOME`.
        directory: To start in.
        user: Number it sees as its own.
        group: Likewise.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    user: int
    group: int


def program_of(root: Root, config: Mapping[str, Any], *, name: str, executable: str | None = None) -> ImageProgram:
    """How to start an unpacked image: what `AIRBYTE_ENTRYPOINT` says, as on Airbyte's platform, else its entry point or command.

    Args:
        root: Of the image.
        config: Of the image: `Entrypoint`, `Cmd`, `Env`, `User`, `WorkingDir`.
        name: For messages.
        executable: Beats what the image says.

    Raises:
        ConfigError: The image names no program, or a user it does not have.
    """
    given = _environment(config)
    named = given.get("AIRBYTE_ENTRYPOINT", "").strip()
    command = ["/bin/sh", "-c", f'exec {named} "$@"', "sh"] if _SHELL.search(named) else shlex.split(named)
    command = [executable] if executable else command or config.get("Entrypoint") or config.get("Cmd") or []
    if not command:
        raise ConfigError(
            f"image `{name}` names no program: it has neither `ENTRYPOINT` nor `AIRBYTE_ENTRYPOINT`",
            hint="is this the image of an Airbyte connector? A recipe can name the program as `executable`",
        )
    user, group, home = _identity(root, name, str(config.get("User") or ""))
    home = given.get("HOME") or home
    environment = {"PATH": DEFAULT_PATH, **given, "HOME": home if _replaceable(home) else TMP}
    return ImageProgram(tuple(map(str, command)), environment, str(config.get("WorkingDir") or "/"), user, group)


def writable_directories(root: Root, config: Mapping[str, Any]) -> Iterator[str]:
    """The home and the image's volumes, where they hold nothing that a connector could need. They exist afterwards."""
    from dativo_engines.containers._user import of_no_use

    home = _environment(config).get("HOME") or _identity(root, "", str(config.get("User") or ""))[2]
    for path in dict.fromkeys(map(posixpath.normpath, (home, *(config.get("Volumes") or ())))):
        if not _replaceable(path) or path == TMP or path.startswith(TMP + "/"):
            continue
        real = root.real(path)
        if os.path.lexists(real) and not os.path.isdir(real):
            continue
        inner = [os.path.relpath(os.path.join(folder, name), real) for folder, _, names in os.walk(real) for name in names]
        if all(map(of_no_use, inner)):
            root.directory(path)
            yield path


def _environment(config: Mapping[str, Any]) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in config.get("Env") or ())


def _replaceable(path: str) -> bool:
    from dativo_engines.containers._user import replaceable

    return replaceable(posixpath.normpath(path))


def _identity(root: Root, image: str, named: str) -> tuple[int, int, str]:
    """The numbers of `user`, `user:group`, `1000` or `1000:1000`, and the home."""
    user, _, group = named.partition(":")
    users = [fields for fields in _table(root, "etc/passwd") if len(fields) >= 6 and fields[3].isdecimal()]
    entry = next((fields for fields in users if (user or "0") in (fields[0], fields[2])), None)
    if entry is None and user and not user.isdecimal():
        raise ConfigError(f"cannot start `{image}`: it runs as user `{user}`, whom it does not know")
    number, own_group, home = (int(entry[2]), int(entry[3]), entry[5]) if entry else (int(user or 0), 0, "/")
    if group and not group.isdecimal():
        found = next((fields[2] for fields in _table(root, "etc/group") if fields[0] == group), None)
        if found is None:
            raise ConfigError(f"cannot start `{image}`: it runs as group `{group}`, whom it does not know")
        group = found
    return number, int(group) if group else own_group, home


def _table(root: Root, name: str) -> list[list[str]]:
    """The lines of a file of accounts that have a number in the third place."""
    lines = root.read(name).decode(errors="replace").splitlines()
    return [fields for fields in (line.split(":") for line in lines) if len(fields) >= 3 and fields[2].isdecimal()]
