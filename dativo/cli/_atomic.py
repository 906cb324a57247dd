"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = ["atomic_file"]


@contextlib.contextmanager
def atomic_file(path: str) -> Iterator[IO[bytes]]:
    """A file to write, which takes the place of `path` when the block ends well, and vanishes when it does not.

    What is no regular file, like `/dev/null` or a named pipe, is written to as it is.

    Raises:
        TargetError: It cannot be written.
    """
    import tempfile

    from dativo_protocols.errors import TargetError

    target = Path(path).resolve()
    try:
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                yield file
            return
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", suffix=".part", delete=False) as new:
            try:
                yield new
                new.flush()
                os.fsync(new.fileno())
                os.chmod(new.name, _mode(target))
                os.replace(new.name, target)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(new.name)
                raise
    except OSError as error:
        raise TargetError(f"cannot write `{path}`: {error.strerror or error}", facts={"file": path}) from error


def _mode(target: Path) -> int:
    """The permissions of what is replaced, else those that any new file gets."""
    try:
        return target.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
