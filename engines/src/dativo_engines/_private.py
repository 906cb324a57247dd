"""A directory of one run's own for configurations, catalogs and states: they hold secrets."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from dativo_protocols import ConfigError

from dativo_engines._guardian import remove_what_is_elsewhere

OWNER = "owner"
PROCESS_MARK = "DATIVO_PROCESS"


class PrivateDirectory:
    """Mode 0700, files in it 0600, removed when left.

    The owner keeps a lock on the file `owner`; a directory whose lock is free belongs to a dead run. Making a new one
    sweeps those: the files go, and so do processes that a killed run left behind, known by a mark in their environment.

    Args:
        root: Where to make it; `root_of_private_directories()` chooses.

    Attributes:
        path: Its absolute path.
        mark: Value of the environment variable `DATIVO_PROCESS` for processes that must not outlive the run.

    Raises:
        ConfigError: The root cannot be written.
    """

    def __init__(self, root: Path | None = None) -> None:
        root = (root or root_of_private_directories()).absolute()
        self.mark = secrets.token_hex(16)
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(root / "lock"):
                _sweep(root)
                self.path = Path(tempfile.mkdtemp(prefix="run-", dir=root))
                self._owner = os.open(self.path / OWNER, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
                os.write(self._owner, f"{self.mark}\n{os.getpid()}\n".encode())
                fcntl.flock(self._owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"cannot make a private directory in `{root}`: {error.strerror}", hint="make it writable, or run elsewhere"
            ) from error

    def write(self, name: str, data: bytes) -> Path:
        """A file with this content that only its owner can read."""
        path = self.path / name
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            os.fchmod(fd, 0o600)
            file.write(data)
        return path

    def note(self, kind: str, path: Path) -> None:
        """Lets something elsewhere go with the run, however that ends: a control group (`group`), or a `folder`."""
        with contextlib.suppress(OSError):
            (self.path / f"{kind}-{len(os.listdir(self.path))}").symlink_to(path)

    def close(self) -> None:
        """Removes everything. May be called twice."""
        if self._owner >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._owner)
            self._owner = -1

    def __enter__(self) -> PrivateDirectory:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def root_of_private_directories() -> Path:
    """`.dativo/tmp` of the current directory where there is a `.dativo`, else the user's own in the system's temporary place."""
    project = Path(".dativo")
    if project.is_dir() and os.access(project, os.W_OK):
        return project / "tmp"
    root = Path(tempfile.gettempdir()) / f"dativo-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        root.mkdir(mode=0o700)
    found = root.lstat()
    # Anybody can make a directory of that name first.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        return Path(tempfile.mkdtemp(prefix="dativo-"))
    return root


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _sweep(root: Path) -> None:
    for directory in root.glob("run-*"):
        try:
            owner = os.open(directory / OWNER, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            shutil.rmtree(directory, ignore_errors=True)
            continue
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mark = os.read(owner, 64).decode(errors="replace").partition("\n")[0]
            end_marked(mark)
            remove_what_is_elsewhere(str(directory))
            shutil.rmtree(directory, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(owner)


def end_marked(mark: str) -> list[int]:
    """Kills every process that was started with `DATIVO_PROCESS=mark`; returns their pids. Linux only."""
    if len(mark) != 32 or not Path("/proc/self/environ").exists():
        return []
    entry = f"{PROCESS_MARK}={mark}".encode()
    ended: list[int] = []
    for _ in range(100):
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as environ:
                    if entry in environ.read().split(b"\0"):
                        found.append(int(name))
        if not found:
            break
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, 9)
        ended += found
    return ended
