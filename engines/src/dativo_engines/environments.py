"""Isolated environments: a Python environment for each connector package, made once and shared by all runs.

Layout below the cache directory:

    envs/NAME-KEY/             the environment; complete once it holds `dativo-environment.json`, which is written last
    envs/NAME-KEY.lock         shared lock: in use; exclusive: being built or removed

It is built in its final place, since console scripts name their interpreter by its path; a build that was killed leaves a
directory without the file, and the next one starts over.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dativo_protocols import ConfigError, frozen

from dativo_engines._cache import CacheFolders, InUse
from dativo_engines._installer import Installer, install

METADATA = "dativo-environment.json"
FORMAT = 1

_NAME = re.compile(r"^\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*(.*)$", re.DOTALL)
_NEEDS_PKG_RESOURCES = re.compile(rb"^\s*(?:import|from)\s+pkg_resources\b", re.MULTILINE)
# The last ones with pkg_resources.
SETUPTOOLS = "setuptools<81"


@frozen
class EnvironmentInfo:
    """What is known of an environment.

    Attributes:
        name: Its directory's name: the package's name and the first digits of the key.
        path: Its directory.
        requirement: As asked for, without credentials.
        requirements: The pins asked for besides.
        python: Version of its interpreter.
        packages: `name==version` of everything in it, sorted.
        version: Of the package itself.
        executables: Console scripts of the package itself.
        created: Seconds since 1970.
        size_bytes: Of its files, hard links to the installer's cache included.
    """

    name: str
    path: Path
    requirement: str
    requirements: tuple[str, ...]
    python: str
    packages: tuple[str, ...]
    version: str
    executables: tuple[str, ...]
    created: float
    size_bytes: int


class Environment(InUse):
    """An environment in use: it cannot be removed before `close`.

    Attributes:
        info: What is in it.
    """

    def __init__(self, info: EnvironmentInfo, lock: int) -> None:
        super().__init__(lock)
        self.info = info

    def program(self, name: str | None = None) -> str:
        """Path of the package's console script: the one of that name, the one named like the package, or its only one.

        Raises:
            ConfigError: There is no such script, or it cannot be told which one.
        """
        scripts = self.info.executables
        listed = ", ".join(f"`{script}`" for script in scripts) or "none"
        if name is not None:
            path = self.info.path / "bin" / name
            if path.name != name or not path.exists():
                raise ConfigError(f"package `{self.info.requirement}` has no program `{name}`", hint=f"it has: {listed}")
            return str(path)
        package = _package_name(self.info.requirement)
        matching = [script for script in scripts if _normal(script) == package] or list(scripts)
        if len(matching) != 1:
            raise ConfigError(
                f"cannot tell which program of `{self.info.requirement}` is the connector",
                hint=f"name it as `executable` in a recipe; it has: {listed}",
            )
        return str(self.info.path / "bin" / matching[0])


class EnvironmentStore:
    """All environments below one cache directory.

    Args:
        cache_dir: Made when first needed.
        log: Called with level and line while something is installed.
    """

    def __init__(self, cache_dir: Path, log: Callable[[str, str], None] | None = None) -> None:
        self._root = cache_dir.absolute() / "envs"
        self._log = log or (lambda level, line: None)
        self._folders = CacheFolders(self._root, _load, metadata=METADATA, making="installs", log=self._log)

    def ensure(self, requirement: str, pins: Sequence[str] = ()) -> Environment:
        """The environment for this requirement; installed now unless it was before. Waits while somebody else installs it.

        Args:
            requirement: A named requirement: `tap-jsonl==0.3.1`, `tap-x @ git+https://…`.
            pins: Further requirements to install with it.

        Raises:
            ConfigError: There is no such package or version, or it cannot be installed here.
            ConnectorError: The package index cannot be reached (retryable).
        """
        package = _package_name(requirement)
        key = _key(requirement, pins)
        path = self._root / f"{package}-{key[:12]}"
        self._folders.make_root()
        return Environment(*self._folders.ensure(path, lambda: self._build(path, package, requirement, pins)))

    def list(self) -> list[EnvironmentInfo]:
        """The complete environments, by name."""
        paths = sorted(self._root.glob("*/")) if self._root.is_dir() else []
        return [info for path in paths if (info := _load(path)) is not None]

    def remove(self, name: str) -> tuple[EnvironmentInfo, ...]:
        """Removes an environment, or all of a package.

        Args:
            name: An environment's name, a package's name, or the requirement as it was asked for.

        Returns:
            What was removed.

        Raises:
            ConfigError: There is none of that name, or one is in use.
        """
        found = [
            info
            for info in self.list()
            if name in (info.name, info.requirement) or _normal(name) == _package_name(info.requirement)
        ]
        if not found:
            known = ", ".join(f"`{info.name}`" for info in self.list()) or "none"
            raise ConfigError(f"no environment `{name}`", hint=f"there are: {known}")
        for info in found:
            self._folders.remove(info.path, what=f"environment `{info.name}`")
        return tuple(found)

    def _build(self, path: Path, package: str, requirement: str, pins: Sequence[str]) -> None:
        started = time.monotonic()
        shutil.rmtree(path, ignore_errors=True)
        shown = without_credentials(requirement)
        self._log("info", f"installing {shown}")
        try:
            with Installer(path, self._log) as installer:
                install(installer, requirement, pins, shown=shown)
                if _needs_setuptools(path):
                    installer.add([SETUPTOOLS])
                info = _describe(path, package, shown, tuple(without_credentials(pin) for pin in pins))
                newest = installer.newest(requirement, package)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        if newest is not None and newest != info.version:
            self._log(
                "warning",
                f"{shown} gave {package} {info.version}: {newest} does not fit here; pin a version",
            )
        _store(info)
        self._log("info", f"installed {package} {info.version} in {time.monotonic() - started:.1f} s")


def without_credentials(requirement: str) -> str:
    """The requirement with the user and password of a URL masked."""
    return re.sub(r"(://)[^/@\s]+@", r"\1***@", requirement)


def _normal(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _package_name(requirement: str) -> str:
    found = _NAME.match(requirement)
    if found is None or (found[2] and not re.match(r"[@<>=!~;]", found[2])):
        raise ConfigError(
            f"not a requirement: `{without_credentials(requirement)}`",
            hint="write a name and a version, `tap-name==1.2.3`, or a name and an address, `tap-name @ git+https://…`",
        )
    if found[2].startswith("@") and not re.search(r"://|^@\s*file:", found[2]):
        version = found[2][1:].strip()
        raise ConfigError(
            f"`{without_credentials(requirement)}` names no address after `@`",
            hint=f"for a version write `{found[1]}=={version}`",
        )
    return _normal(found[1])


def _key(requirement: str, pins: Sequence[str]) -> str:
    """Everything that decides what an environment holds and where it works."""
    interpreter = [
        platform.python_implementation(),
        platform.python_version(),
        os.path.realpath(sys.executable),
        platform.machine(),
    ]
    text = json.dumps([FORMAT, " ".join(requirement.split()), sorted(pins), interpreter, sys.platform])
    return hashlib.sha256(text.encode()).hexdigest()


def _site_packages(path: Path) -> list[Path]:
    return sorted(path.glob("lib/python*/site-packages"))


def _needs_setuptools(path: Path) -> bool:
    """Old connectors import `pkg_resources`, which nobody installs any more unless asked."""
    for site in _site_packages(path):
        if (site / "pkg_resources").is_dir():
            return False
        for directory, names, files in os.walk(site):
            names[:] = [name for name in names if name not in ("tests", "test", "__pycache__")]
            for name in files:
                if name.endswith(".py"):
                    with contextlib.suppress(OSError):
                        if _NEEDS_PKG_RESOURCES.search(Path(directory, name).read_bytes()):
                            return True
    return False


def _describe(path: Path, package: str, requirement: str, pins: tuple[str, ...]) -> EnvironmentInfo:
    from importlib.metadata import distributions

    found = list(distributions(path=[str(site) for site in _site_packages(path)]))
    own = next((one for one in found if _normal(one.metadata["Name"] or "") == package), None)
    if own is None:
        raise ConfigError(f"`{requirement}` installed no package `{package}`", hint="name the package as its own metadata does")
    scripts = sorted(
        {point.name for point in own.entry_points if point.group == "console_scripts"} | set(_installed_programs(own, path))
    )
    size = sum(Path(directory, name).lstat().st_size for directory, _, names in os.walk(path) for name in names)
    return EnvironmentInfo(
        name=path.name,
        path=path,
        requirement=requirement,
        requirements=pins,
        python=platform.python_version(),
        packages=tuple(sorted(f"{_normal(one.metadata['Name'] or '?')}=={one.version}" for one in found)),
        version=own.version,
        executables=tuple(scripts),
        created=time.time(),
        size_bytes=size,
    )


def _installed_programs(distribution: Any, path: Path) -> Iterator[str]:
    """Programs that a package puts into `bin` without an entry point: compiled ones, `scripts=`."""
    for file in distribution.files or ():
        located = Path(os.path.normpath(distribution.locate_file(file)))
        if located.parent == path / "bin" and os.access(located, os.X_OK):
            yield located.name


def _store(info: EnvironmentInfo) -> None:
    """Marks the environment as complete: the file appears whole or not at all."""
    data = {"format": FORMAT, **asdict(info), "path": str(info.path)}
    temporary = info.path / (METADATA + ".new")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(info.path / METADATA)


def _load(path: Path) -> EnvironmentInfo | None:
    try:
        data = json.loads((path / METADATA).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    # A cache that was moved holds scripts that name the old place.
    if data.pop("format", None) != FORMAT or data["path"] != str(path) or not (path / "bin" / "python").exists():
        return None
    return EnvironmentInfo(
        **{
            **data,
            "path": path,
            "packages": tuple(data["packages"]),
            "requirements": tuple(data["requirements"]),
            "executables": tuple(data["executables"]),
        }
    )
