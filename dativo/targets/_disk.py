"""Files that survive a power cut, and what to tell the user when the disk refuses."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from dativo_protocols.errors import TargetError

HINTS = {
    errno.ENOSPC: "free some space, then run again: the run resumes from its last commit",
    errno.EDQUOT: "the quota is used up: free some space, then run again",
    errno.EFBIG: "the file size limit of the process or the file system is reached: choose a smaller `file_size_bytes`",
    errno.EACCES: "let this user write there, or choose another `path`",
    errno.EPERM: "let this user write there, or choose another `path`",
    errno.EROFS: "the file system is read-only: choose another `path`",
    errno.ENOTDIR: "a file lies where a directory is needed: move it away, or choose another `path`",
    errno.EEXIST: "a file lies where a directory is needed: move it away, or choose another `path`",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "raise the system's limit of open files",
    errno.ENOLCK: "the file system has no locks: choose a `path` on a local disk",
    errno.ENOTSUP: "the file system lacks hard links or locks: choose a `path` on a local disk",
    errno.EIO: "the disk reports an error: look at the system's log",
}
RETRYABLE = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}


def refused(error: OSError, action: str, path: str | Path) -> TargetError:
    """The user's view of a refusal by the operating system; `action` is a verb, for example `write`."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    if isinstance(error.filename, str | Path) and str(error.filename).startswith(f"{path}/"):
        reason += f" (`{error.filename}`)"
    return TargetError(
        f"cannot {action} `{path}`: {reason}",
        hint=HINTS.get(error.errno or 0),
        retryable=error.errno in RETRYABLE,
        facts={"path": str(path), "errno": errno.errorcode.get(error.errno or 0, "")},
    )


def sync(path: str | Path) -> None:
    """Waits until a file's bytes, or a directory's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Makes a directory and its parents, each durable in its own parent."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(exist_ok=True)
        sync(directory.parent)
