"""A KMS in a file: AES-256 keys in JSON, readable by their owner only.

`{"version": 1, "keys": {"pii": {"1": "<base64 of 32 bytes>", "2": "…"}}}`; the greatest version is the one that wraps.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from dativo_protocols.errors import ConfigError, TargetError

from dativo.keys._kms import Wrapped, authenticated, wrong_key
from dativo.keys._packages import aesgcm

KEY_BYTES = 32
NONCE_BYTES = 12


class LocalKms:
    """Wraps with AES-256-GCM: 12 bytes of nonce, then ciphertext and tag. The file is read once."""

    kind = "local"

    def __init__(self, file: Path) -> None:
        self._file = file
        self._keys = read_keys(file)

    def check(self, key_id: str) -> None:
        self._versions(key_id)

    def wrap(self, key_id: str, plaintext: bytes, context: Mapping[str, str]) -> Wrapped:
        versions = self._versions(key_id)
        version = max(versions)
        nonce = os.urandom(NONCE_BYTES)
        sealed = aesgcm(versions[version]).encrypt(nonce, plaintext, _bound(key_id, context))
        return Wrapped(self.kind, key_id, str(version), dict(context), nonce + sealed)

    def unwrap(self, wrapped: Wrapped) -> bytes:
        from cryptography.exceptions import InvalidTag

        key = self._versions(wrapped.key_id).get(int(wrapped.version) if wrapped.version.isdecimal() else 0)
        if key is None:
            raise TargetError(
                f"the key file `{self._file}` has no version {wrapped.version} of key `{wrapped.key_id}`",
                hint="old versions must stay in the file as long as there is data that they wrapped: restore it from a backup",
                facts={"kms": self.kind, "key": wrapped.key_id, "version": wrapped.version},
            )
        nonce, sealed = wrapped.payload[:NONCE_BYTES], wrapped.payload[NONCE_BYTES:]
        try:
            return bytes(aesgcm(key).decrypt(nonce, sealed, _bound(wrapped.key_id, wrapped.context)))
        except (InvalidTag, ValueError) as error:
            raise wrong_key(self.kind, wrapped.key_id) from error

    def close(self) -> None:
        self._keys = {}

    def _versions(self, key_id: str) -> dict[int, bytes]:
        try:
            return self._keys[key_id]
        except KeyError:
            known = ", ".join(f"`{name}`" for name in sorted(self._keys)) or "none"
            raise ConfigError(
                f"the key file `{self._file}` has no key `{key_id}`", hint=f"keys: {known}", facts={"key": key_id}
            ) from None


def read_keys(file: Path) -> dict[str, dict[int, bytes]]:
    """Key ids to versions to 32 bytes.

    Raises:
        ConfigError: There is no such file, others may read it, or it holds something else.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        hint = f"`dativo keys new {file} KEY` makes one" if isinstance(error, FileNotFoundError) else None
        raise ConfigError(f"cannot read the key file `{file}`: {error.strerror}", hint=hint, facts={"path": str(file)}) from error
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"the key file `{file}` is no file", facts={"path": str(file)})
        if status.st_mode & 0o077:
            raise ConfigError(
                f"the key file `{file}` has mode {stat.S_IMODE(status.st_mode):04o}: others than its owner may use it",
                hint=f"chmod 600 {file}; if others could read it, its keys are known: make new ones and load the data anew",
                facts={"path": str(file)},
            )
        content = opened.read()
    try:
        document = json.loads(content)
        if document["version"] != 1:
            raise ValueError("version")
        keys = {
            str(key_id): {int(version): base64.b64decode(text, validate=True) for version, text in versions.items()}
            for key_id, versions in document["keys"].items()
        }
        if any(not versions or any(len(key) != KEY_BYTES for key in versions.values()) for versions in keys.values()):
            raise ValueError("length")
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        # Without the cause: it may quote the file.
        raise ConfigError(
            f"the key file `{file}` does not hold keys", hint="its form is in docs/encryption.md", facts={"path": str(file)}
        ) from None
    return keys


def add_key(file: Path, key_id: str) -> int:
    """Adds a new random key, or a new version of one that is there, and returns the version; makes the file when it is missing.

    Raises:
        ConfigError: The file holds something else, or cannot be written.
    """
    try:
        directory = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _unwritable(file, error) from error
    try:
        # One at a time: a version that somebody else has just made and used must not get lost.
        fcntl.flock(directory, fcntl.LOCK_EX)
        keys = read_keys(file) if file.exists() else {}
        version = max(keys.get(key_id, {0: b""})) + 1
        keys.setdefault(key_id, {})[version] = os.urandom(KEY_BYTES)
        _replace(file, keys)
        os.fsync(directory)
    except OSError as error:
        raise _unwritable(file, error) from error
    finally:
        os.close(directory)
    return version


def _replace(file: Path, keys: Mapping[str, Mapping[int, bytes]]) -> None:
    document = {
        "version": 1,
        "keys": {
            name: {str(number): base64.b64encode(key).decode() for number, key in sorted(versions.items())}
            for name, versions in sorted(keys.items())
        },
    }
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as opened:
            json.dump(document, opened, indent=2)
            opened.write("\n")
            opened.flush()
            os.fsync(descriptor)
        new.replace(file)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _unwritable(file: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot write the key file `{file}`: {error.strerror}", facts={"path": str(file)})


def _bound(key_id: str, context: Mapping[str, str]) -> bytes:
    return key_id.encode() + b"\0" + authenticated(context)
