"""What a connector changed in its own configuration, kept for the next run.

OAuth sources get a new refresh token with every use of the old one, which is worthless from then on: a run that is killed right
after such a change must still find the new one. Only what differs from the job's own configuration is kept, in one file a job
that nobody else can read.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from dativo_protocols import frozen
from dativo_protocols.errors import StateError
from dativo_sdk import JobKey

__all__ = ["KeptConfig", "KeptKeys"]

Keys: TypeAlias = tuple[str, ...]

MISSING = object()


@frozen
class KeptKeys:
    """What is kept, without a value.

    Attributes:
        keys: Dotted paths within the configuration.
        time: When it was kept, in seconds since 1970.
        run_id: By which run; None when it was no run.
    """

    keys: list[str]
    time: float
    run_id: str | None


class KeptConfig:
    """The changed configuration of one job: `.dativo/configs/<tenant>@<job>.json`, mode 0600 in a folder of mode 0700.

    Args:
        folder: `.dativo/configs`; made when it is needed.
    """

    def __init__(self, folder: Path, job: JobKey) -> None:
        self.path = folder / f"{job.tenant}@{job.job}.json"
        self._job = job

    def over(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration with what was kept laid over it, key by key at any depth.

        A key that the job has changed since is the job's, and what the connector had added beside it is left out.

        Args:
            config: As the job says it.

        Raises:
            StateError: The file cannot be read.
        """
        kept = self._read()
        result = _copied(config)
        if kept is None:
            return result
        salt = bytes.fromhex(kept["salt"])
        changes = [(tuple(change["keys"]), change) for change in kept["changes"]]
        overtaken = {keys[:-1] for keys, change in changes if change["before"] and not _same(config, keys, change, salt)}
        for keys, change in changes:
            if not _same(config, keys, change, salt) or (change["before"] is None and keys[:-1] in overtaken):
                continue
            inner: Any = result
            for key in keys[:-1]:
                inner = inner[key]
            if "value" in change:
                inner[keys[-1]] = change["value"]
            else:
                inner.pop(keys[-1], None)
        return result

    def keep(self, config: Mapping[str, Any], changed: Mapping[str, Any], run_id: str | None) -> None:
        """Keeps what the connector changed; it is on the disk when this returns.

        Args:
            config: As the job says it.
            changed: The whole new configuration.

        Raises:
            StateError: It cannot be written.
        """
        salt = secrets.token_bytes(16)
        changes = []
        for keys in _differences(config, changed):
            before, after = _value(config, keys), _value(changed, keys)
            change: dict[str, Any] = {"keys": keys, "before": None if before is MISSING else _digest(before, salt)}
            if after is not MISSING:
                change["value"] = after
            changes.append(change)
        document = {"time": time.time(), "run_id": run_id, "salt": salt.hex(), "changes": changes}
        try:
            self._write(json.dumps(document, ensure_ascii=True, default=str).encode())
        except OSError as error:
            raise StateError(f"cannot write `{self.path}`: {error.strerror}", facts={"file": str(self.path)}) from error

    def about(self) -> KeptKeys | None:
        """What is kept, or None.

        Raises:
            StateError: The file cannot be read.
        """
        kept = self._read()
        if kept is None:
            return None
        return KeptKeys([".".join(change["keys"]) for change in kept["changes"]], kept["time"], kept["run_id"])

    def clear(self) -> bool:
        """Forgets it, and says whether there was anything.

        Raises:
            StateError: The file cannot be removed.
        """
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StateError(f"cannot remove `{self.path}`: {error.strerror}", facts={"file": str(self.path)}) from error
        return True

    def _read(self) -> dict[str, Any] | None:
        try:
            found = json.loads(self.path.read_bytes())
            if not {"time", "run_id", "salt", "changes"} <= found.keys():
                raise ValueError("it has another form")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AttributeError) as error:
            raise StateError(
                f"cannot read `{self.path}`, where the connector's changes to its configuration are kept: {error}",
                hint=f"`dativo state config {self._job} --clear` forgets them: then the job's own configuration counts",
                facts={"file": str(self.path)},
            ) from None
        return dict(found)

    def _write(self, data: bytes) -> None:
        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = folder / f".{self.path.name}.{secrets.token_hex(4)}"
        try:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink()
            raise
        directory = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _differences(before: Mapping[str, Any], after: Mapping[str, Any], keys: Keys = ()) -> Iterator[Keys]:
    for key in {**before, **after}:
        old, new = before.get(key, MISSING), after.get(key, MISSING)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, (*keys, key))
        elif old is MISSING or new is MISSING or _text(old) != _text(new):
            yield (*keys, key)


def _same(config: Mapping[str, Any], keys: Keys, change: Mapping[str, Any], salt: bytes) -> bool:
    """Whether the job still says what it said when the change was kept."""
    if not isinstance(_value(config, keys[:-1]), Mapping):
        return False
    now = _value(config, keys)
    return bool(change["before"] == (None if now is MISSING else _digest(now, salt)))


def _value(config: Any, keys: Keys) -> Any:
    for key in keys:
        if not isinstance(config, Mapping) or key not in config:
            return MISSING
        config = config[key]
    return config


def _copied(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in config.items()}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _digest(value: Any, salt: bytes) -> str:
    """Tells whether a value is the same without telling the value."""
    return hmac.new(salt, _text(value).encode(), hashlib.sha256).hexdigest()
