"""Layers of the test images: Debian with its Python from debootstrap, and packages of the package index on top."""

from __future__ import annotations

import configparser
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from dativo_engines._installer import find_uv

SUITE = "bookworm"
PYTHON = "3.11"
PACKAGES = "python3.11,ca-certificates"
USER = "airbyte"
UID = 1000
SITE = f"usr/local/lib/python{PYTHON}/dist-packages"
CODE = "airbyte/integration_code"
# What no connector reads.
STRIPPED = (
    "usr/share/doc/*", "usr/share/man/*", "usr/share/info/*", "usr/share/locale/*", "usr/share/lintian/*", "usr/share/bug/*",
    "var/lib/apt/lists/*", "var/cache/apt/*", "var/cache/debconf/*", "var/log/*", "dev/*", "proc/*", "sys/*", "run/*", "tmp/*",
)  # fmt: skip


class CannotBuildError(Exception):
    """Something is missing on this machine; the message says what."""


def debian(layer: Path) -> None:
    """Writes the lowest layer: Debian without documentation, Python, and a user `airbyte`.

    Raises:
        CannotBuildError: Not root, no debootstrap, or Debian's packages cannot be reached.
    """
    if os.geteuid() != 0:
        raise CannotBuildError("only root can make a root file system with debootstrap")
    program = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise CannotBuildError("`debootstrap` is missing: `apt-get install debootstrap`")
    with _directory(layer.parent) as root:
        _run([program, "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root)])
        for pattern in STRIPPED:
            for path in root.glob(pattern):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (root / "usr/local/bin/python").symlink_to(f"/usr/bin/python{PYTHON}")
        _run(["chroot", str(root), "useradd", "--uid", str(UID), "--user-group", "--create-home", "--shell", "/bin/sh", USER])
        _tar(root, sorted(os.listdir(root)), layer)


def package(layer: Path, base: Path, requirement: str) -> None:
    """Writes a layer with a package, all it needs, compiled, and `main.py` that starts it.

    Raises:
        CannotBuildError: It cannot be installed.
    """
    with _directory(layer.parent) as root:
        _untar(base, root)
        site = root / SITE
        uv = find_uv()
        installer = [uv, "pip", "install", "--directory", "/", "--quiet"] if uv else _pip()
        _run([*installer, "--python-version", PYTHON, "--target", str(site), requirement])
        shutil.rmtree(site / "bin", ignore_errors=True)
        for tests in ("pandas/tests", "numpy/_core/tests", "numpy/core/tests"):
            shutil.rmtree(site / tests, ignore_errors=True)
        module, function = _entry_point(site, requirement)
        _code(root, f"import sys\n\nfrom {module} import {function}\n\nif __name__ == '__main__':\n    sys.exit({function}())\n")
        _compile(root)
        _tar(root, [SITE, "airbyte"], layer)


def program(layer: Path, base: Path, source: Path, *, setuid_python: bool = False) -> None:
    """Writes a layer with one Python program as `main.py`, and a Python that is setuid root if asked for."""
    with _directory(layer.parent) as root:
        _code(root, source.read_text())
        names = ["airbyte"]
        if setuid_python:
            _untar(base, root, f"usr/bin/python{PYTHON}")
            path = root / "usr/local/bin/setuid-python"
            path.parent.mkdir(parents=True)
            (root / f"usr/bin/python{PYTHON}").rename(path)
            path.chmod(0o4755)
            names.append("usr/local/bin/setuid-python")
        _tar(root, names, layer)


def _compile(root: Path) -> None:
    """Nothing can be written in a container: what is not compiled now is compiled anew at each start."""
    # Where several processes find each other.
    (root / "dev/shm").mkdir(parents=True)
    # 1: some file is for another Python.
    _run(["chroot", str(root), "python", "-m", "compileall", "-q", "-j", "0", "/" + SITE], ok=(0, 1))
    if not any((root / SITE).glob("airbyte_cdk/__pycache__/*.pyc")):
        raise CannotBuildError("the packages could not be compiled")


def _code(root: Path, text: str) -> None:
    folder = root / CODE
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(text)
    for path in (folder.parent, folder, folder / "main.py"):
        os.chown(path, UID, UID)


def _entry_point(site: Path, requirement: str) -> tuple[str, str]:
    """Module and function of the package's console script."""
    name = requirement.partition("==")[0].replace("-", "_")
    scripts = configparser.ConfigParser()
    scripts.read(next(site.glob(f"{name}-*.dist-info")) / "entry_points.txt")
    module, _, function = next(iter(scripts["console_scripts"].values())).partition(":")
    return module, function


def _pip() -> list[str]:
    return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]


@contextlib.contextmanager
def _directory(parent: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="building-", dir=parent) as name:
        root = Path(name) / "root"
        root.mkdir(mode=0o755)
        yield root


def _tar(root: Path, names: Sequence[str], layer: Path) -> None:
    temporary = layer.with_name(f".{layer.name}.{os.getpid()}")
    try:
        _run(["tar", "--numeric-owner", "--sort=name", "-C", str(root), "-cf", str(temporary), *names])
        temporary.rename(layer)
    finally:
        temporary.unlink(missing_ok=True)


def _untar(layer: Path, root: Path, *names: str) -> None:
    _run(["tar", "--numeric-owner", "-C", str(root), "-xpf", str(layer), *names])


def _run(command: Sequence[str], ok: tuple[int, ...] = (0,)) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    if ended.returncode not in ok:
        raise CannotBuildError(f"`{' '.join(command)}` failed ({ended.returncode}):\n{ended.stdout[-2000:]}")
