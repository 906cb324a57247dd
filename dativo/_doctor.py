"""What this machine has of what Dativo needs or can use, looked up without running anybody's plugin."""

from __future__ import annotations

import importlib.util
import os
import platform
import resource
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from dativo_protocols import frozen
from dativo_protocols.errors import ConfigError, DativoError

__all__ = ["Finding", "examine"]

State = Literal["ok", "weak", "absent", "broken"]
DISTRIBUTIONS = ("dativo", "dativo-protocols", "dativo-plugin-sdk", "dativo-engines")
LEAST_PYTHON = (3, 11)
# Less holds no run: environments, staged rows, the state.
LEAST_FREE_BYTES = 256 << 20
LEAST_OPEN_FILES = 256


@frozen
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: `dativo`, `sandbox`, `docker`, `engines`, `targets`, `plugins`, `disk`.
        name: What it is.
        state: `ok`; `weak` where it is there and could be better; `absent` where there is none and nothing needs it;
            `broken` where it is needed and must be mended.
        found: What was found, in words.
        hint: What to do about it, or None.
    """

    topic: str
    name: str
    state: State
    found: str
    hint: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def examine(project: Path | None = None) -> list[Finding]:
    """Everything, in the order in which it is told; makes a sandbox and a control group for the trial, and leaves neither.

    Args:
        project: Whose `.dativo` is looked at; the current folder by default.
    """
    looks = (_dativo, _sandbox, _docker, _engines, _targets, _plugins)
    return [*(finding for look in looks for finding in look()), *_disk(project or Path.cwd())]


def _dativo() -> Iterator[Finding]:
    versions = {}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding("dativo", name, "broken", "not installed", f"pip install {name}")
    same = len(set(versions.values())) <= 1
    for name, version in versions.items():
        hint = None if same else "all of Dativo's packages have one version: install them anew, together"
        yield Finding("dativo", name, "ok" if same else "broken", version, hint)
    from dativo_sdk import API_VERSION

    yield Finding("dativo", "plugin API", "ok", API_VERSION)
    found = f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    old = sys.version_info < LEAST_PYTHON
    least = ".".join(map(str, LEAST_PYTHON))
    yield Finding("dativo", "Python", "broken" if old else "ok", found, f"install Python {least} or newer" if old else None)
    system = platform.system()
    state: State = "ok" if system == "Linux" else "weak"
    hint = None if state == "ok" else "sandboxes need Linux"
    yield Finding("dativo", "system", state, f"{system} {platform.release()}, {platform.machine()}", hint)


def _sandbox() -> Iterator[Finding]:
    from dativo_engines.plugins import means

    found = means()
    lacking = found.lacking("strict")
    reasons = "; ".join(error.message for error in lacking)
    hints = "; ".join(error.hint for error in lacking if error.hint) or None
    level = f"`{found.strongest}`" + (f", not `strict`: {reasons}" if reasons else "")
    yield Finding("sandbox", "level", "weak" if lacking else "ok", level, hints)
    yield _part("bubblewrap, user namespaces", found.missing.get("bwrap"), f"{found.bwrap} makes sandboxes")
    yield _part("Landlock", found.missing.get("landlock"), f"version {found.landlock}")
    yield _part("seccomp", found.missing.get("seccomp"), "system calls are filtered")
    yield _control_groups()
    yield _limits()


def _part(name: str, missing: DativoError | None, found: str) -> Finding:
    if missing is None:
        return Finding("sandbox", name, "ok", found)
    return Finding("sandbox", name, "weak", missing.message, missing.hint)


def _control_groups() -> Finding:
    from dativo_engines.sandbox import held_controllers

    held = held_controllers()
    if held >= {"memory", "pids", "cpu"}:
        return Finding("sandbox", "control groups", "ok", "memory, processes and processors are limited together")
    rest = f"only {', '.join(sorted(held))} can be limited together" if held else "none can be made"
    return Finding(
        "sandbox",
        "control groups",
        "weak",
        f"{rest}: other limits hold for each process",
        "as root they are there; for a user, `systemd-run --user --scope -p Delegate=yes dativo …`",
    )


def _limits() -> Finding:
    kinds = {"open files": resource.RLIMIT_NOFILE, "processes": resource.RLIMIT_NPROC, "file size": resource.RLIMIT_FSIZE}
    values = {name: resource.getrlimit(kind)[1] for name, kind in kinds.items()}
    said = ", ".join(f"{name} {'unlimited' if value == resource.RLIM_INFINITY else value}" for name, value in values.items())
    few = 0 <= values["open files"] < LEAST_OPEN_FILES
    hint = f"raise it: `ulimit -n {LEAST_OPEN_FILES}` or more" if few else None
    return Finding("sandbox", "resource limits", "broken" if few else "ok", said, hint)


def _docker() -> Iterator[Finding]:
    from dativo_engines.containers import engine_version

    try:
        yield Finding("docker", "Docker Engine", "ok", engine_version())
    except DativoError as error:
        yield Finding("docker", "Docker Engine", "absent", error.message, error.hint)


def _engines() -> Iterator[Finding]:
    from dativo_engines import available_engines, load_engine

    names = available_engines()
    if not names:
        yield Finding("engines", "engines", "broken", "none is installed", "install `dativo-engines` anew")
    for name in names:
        try:
            found = load_engine(name)
            yield Finding("engines", name, "ok", f"{found.__module__}.{found.__qualname__}")
        except ConfigError as error:
            yield Finding("engines", name, "broken", error.message, error.hint)


def _targets() -> Iterator[Finding]:
    from dativo_sdk.host import entry_points

    from dativo._target import available_targets

    for name in available_targets():
        (point, *_) = entry_points("dativo.targets", name)
        if point.package != "dativo":
            continue
        missing = [each for each in _required(name) if importlib.util.find_spec(each) is None]
        found = f"needs {', '.join(f'`{each}`' for each in missing)}" if missing else "its libraries are installed"
        yield Finding("targets", name, "absent" if missing else "ok", found, f"pip install 'dativo[{name}]'" if missing else None)


def _required(target: str) -> list[str]:
    """Modules that a target of Dativo's own needs besides Dativo."""
    modules = {
        "duckdb": ["duckdb"],
        "delta": ["deltalake", "duckdb", "obstore"],
        "iceberg": ["duckdb", "obstore", "pyiceberg"],
        "postgres": ["adbc_driver_manager", "adbc_driver_postgresql", "psycopg"],
    }
    return modules.get(target, [])


def _plugins() -> Iterator[Finding]:
    """Of others, by what their packages say; none is imported."""
    from dativo_sdk.host import entry_points
    from dativo_sdk.manifest import READERS, WRITERS, Manifest

    for group, kind in ((READERS, "reader"), (WRITERS, "writer")):
        for name in sorted({each.name for each in entry_points(group) if each.package != "dativo"}):
            try:
                manifest = Manifest.installed(name, kind)  # type: ignore[arg-type]
                refused = manifest.compatible()
                found = f"{kind}, version {manifest.version}, for API version {manifest.api_version}"
                if refused is None:
                    yield Finding("plugins", name, "ok", found)
                else:
                    yield Finding("plugins", name, "weak", f"{found}: refused", refused.hint)
            except ConfigError as error:
                yield Finding("plugins", name, "weak", error.message, error.hint)


def _disk(project: Path) -> Iterator[Finding]:
    from dativo._paths import cache_dir, state_dir

    yield _place("cache", cache_dir(), "set `DATIVO_CACHE`")
    yield _place("state", state_dir(project), "`--project DIR` works in another folder")
    shared = "/dev/shm"
    if os.path.isdir(shared):
        yield _place("shared memory", Path(shared), "start the container around this with `--shm-size`", least=16 << 20)


def _place(name: str, path: Path, hint: str, *, least: int = LEAST_FREE_BYTES) -> Finding:
    """A folder that is written to; one that is not there yet is made where its nearest parent is."""
    there = next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
    free = shutil.disk_usage(there).free
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding("disk", name, "broken", f"`{path}` cannot be written", hint)
    found = f"`{path}`, {free / 2**30:.1f} GiB free"
    return Finding("disk", name, "broken" if free < least else "ok", found, f"make room, or {hint}" if free < least else None)
