"""Who used which key for what: one JSON line each, on the disk before the key is used."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from dativo_protocols import frozen
from dativo_protocols.errors import TargetError

LOGGER = logging.getLogger("dativo.keys.audit")


@frozen
class KeyUse:
    """One use of a key. Never key material, never values of rows.

    Attributes:
        operation: `wrap` makes a file's data key under the key, `unwrap` reads one.
        answered: `kms` was asked, or a key-encryption key that it had given before was still in memory (`cache`).
        version: Of the KMS's key; empty where the KMS has failed to wrap.
        columns: Those that the data key encrypts (`wrap`), or that were asked for (`unwrap`); empty for whole files.
        error: Why it failed, in the words of the error that the user sees.
    """

    operation: Literal["wrap", "unwrap"]
    answered: Literal["kms", "cache"]
    kms: str
    key: str
    version: str
    tenant: str
    job: str
    run: str
    table: str
    file: str
    columns: Sequence[str]
    outcome: Literal["ok", "failed"]
    error: str | None = None


class Audit:
    """Appends to a file of mode 0600, each line in one write and synced, and says the same on the logger `dativo.keys.audit`.

    Several processes may append to one file.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def record(self, use: KeyUse) -> None:
        """Returns when the line is on the disk.

        Raises:
            TargetError: It cannot be written; then the key must not be used.
        """
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds // 1000:06}Z"
        document = {"time": moment, "user": _user(), "process": os.getpid(), **asdict(use), "columns": list(use.columns)}
        line = json.dumps(document, separators=(",", ":"))
        LOGGER.info("%s", line)
        try:
            with self._lock:
                if not self._file.parent.is_dir():
                    self._file.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                try:
                    data = f"{line}\n".encode()
                    if os.write(descriptor, data) != len(data):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        except OSError as error:
            raise TargetError(
                f"cannot write the audit of keys to `{self._file}`: {error.strerror}",
                hint="no key is used that is not recorded: mend it, or name another file in `audit`",
                facts={"path": str(self._file)},
            ) from error


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
