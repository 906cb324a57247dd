"""What a plugin sees of this machine: a system without its secrets, this Python, its own code, and what it declares."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dativo_protocols import ConfigError, frozen

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# What programs need to start, to know the time, and to trust a server; nothing about this machine or its users.
ETC = (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "ssl/certs", "ssl/openssl.cnf", "ssl/cert.pem", "pki/tls/certs",
    "pki/tls/cert.pem", "pki/ca-trust/extracted", "ca-certificates", "crypto-policies", "localtime", "timezone", "services",
    "protocols", "mime.types", "gai.conf",
)  # fmt: skip
DEVICES = ("null", "zero", "full", "random", "urandom")
# Whose modules run in a plugin's process.
PACKAGES = ("dativo_sdk", "dativo_protocols")
# They are no files of anybody's.
RESERVED = ("/", "/proc", "/sys", "/dev", "/dativo")


@frozen
class Seen:
    """Something of this machine that a plugin sees.

    Attributes:
        inside: Path that it has for the plugin.
        source: Path that it has here, without links.
        writable: Whether it may change it.
        is_own: Whether what its owner may do with it, the plugin may do, whoever it runs as.
    """

    inside: str
    source: str
    writable: bool = False
    is_own: bool = False


def seen_by_plugin(program: str, code: Sequence[Path], files: Sequence[tuple[Path, bool]]) -> list[Seen]:
    """What is seen besides the system, shallow paths first.

    Args:
        program: Path of what is started.
        code: The plugin's own files and folders.
        files: What it declares, and whether that is writable.

    Raises:
        ConfigError: Something of it does not exist, or cannot be handed in, or lies in a folder that the plugin may change.
    """
    seen: dict[str, Seen] = {}
    for path in (*python_paths(), *_environment_of(program)):
        seen.update({each.inside: each for each in _named(path)})
    for path in (Path(program), *code):
        _check(path, "code")
        seen.update({each.inside: each for each in _named(path, is_own=True) if not _is_below(each.source, seen)})
    for path, writable in files:
        _check(path, "files")
        if writable and (inner := next((each for each in (*code, *(one for one, _ in files)) if _is_inside(each, path)), None)):
            raise ConfigError(
                f"`{inner}` lies in `{path}`, which the plugin may change",
                hint="a plugin could put something else in its place: keep what it reads apart from what it writes",
            )
        seen.update({each.inside: each for each in _named(path, writable=writable, is_own=True)})
    there = [each for each in seen.values() if each.writable or not _is_below(each.inside, SYSTEM)]
    return sorted(there, key=lambda each: (each.inside.count("/"), each.inside))


def python_paths() -> list[Path]:
    """Where this Python is, with what is installed for it, and what a plugin's process runs of Dativo."""
    found = {sys.base_prefix, sys.prefix, sys.base_exec_prefix, sys.exec_prefix, *package_folders()}
    return [Path(path) for path in sorted(found) if not _is_below(path, found - {path})]


def package_folders() -> Iterator[str]:
    """The packages that a plugin's process runs of Dativo."""
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        yield from (spec.submodule_search_locations or ()) if spec is not None else ()


def is_module(path: str) -> bool:
    """Whether Python can import it by its name."""
    return path.endswith(".py") or os.path.isfile(os.path.join(path, "__init__.py"))


def hidden_below(places: Sequence[str], hidden: Iterable[Path]) -> list[str]:
    """Of what is not for plugins, what would be seen because it lies below one of these places."""
    found = sorted({os.path.realpath(path) for path in hidden})
    return [path for path in found if os.path.isdir(path) and path not in places and _is_below(path, places)]


def _named(path: Path, *, writable: bool = False, is_own: bool = False) -> Iterator[Seen]:
    """Under its name, and under the one that links lead to."""
    source = os.path.realpath(path)
    for inside in dict.fromkeys((source, os.path.abspath(path))):
        yield Seen(inside, source, writable, is_own)


def _check(path: Path, key: str) -> None:
    if not path.exists():
        raise ConfigError(f"the plugin's `{key}` name what does not exist: `{path}`", hint="relative paths start at the project")
    if os.path.realpath(path) in RESERVED or os.path.abspath(path) in RESERVED:
        raise ConfigError(f"`{path}` cannot be handed to a plugin", hint="name the files or folders in it that it needs")


def _environment_of(program: str) -> Iterator[Path]:
    """The virtual environment that a program belongs to, unless that is a folder of somebody's.

    Who made the plugin may have made the file that says so: what else is named in there is not handed in.
    """
    folder = Path(program).parent.parent
    somebodys = (Path.cwd(), Path.home())
    if (folder / "pyvenv.cfg").is_file() and not any(each.is_relative_to(folder) for each in somebodys):
        yield folder


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether it lies below the folder, under either of its names."""
    names = {os.path.abspath(path), os.path.realpath(path)}
    places = {os.path.abspath(folder), os.path.realpath(folder)}
    return bool(names - places) and any(_is_below(name, places) for name in names - places)


def _is_below(path: str, places: Iterable[str]) -> bool:
    return any(path == place or path.startswith(place.rstrip("/") + "/") for place in places)
