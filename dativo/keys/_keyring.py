"""Data keys, sealed by keys that a KMS wrapped: the KMS is asked once per key and ten minutes, not once per file and column.

A sealed data key is JSON: `{"dativo": 1, "file": …, "kek": {…}, "data_key": …}`. `kek` is `Wrapped.document()` of 32 random
bytes; `data_key` is base64 of 12 bytes of nonce, then AES-256-GCM's ciphertext and tag under them, with `key` and `file`
authenticated.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

from dativo_protocols.errors import DativoError, TargetError

from dativo.keys._audit import Audit, KeyUse
from dativo.keys._kms import Kms, Wrapped, authenticated, wrong_key
from dativo.keys._packages import aesgcm

KEK_BYTES = 32
NONCE_BYTES = 12
REMEMBERED = 1024
"""Key-encryption keys of files that are read."""


@dataclass(slots=True)
class Purpose:
    """What a data key is for.

    Attributes:
        table: For the audit.
        file: The file's path in its dataset; authenticated, so that files cannot be exchanged. None, when reading: any.
        columns: Column names by key id, or those that are read, for the audit.
    """

    table: str
    file: str | None
    columns: Mapping[str, Sequence[str]] | Sequence[str] = ()
    _audited: set[tuple[str, str]] = field(default_factory=set)

    @property
    def used(self) -> bool:
        """Whether any key has been sealed or unsealed for it."""
        return bool(self._audited)

    def columns_of(self, key_id: str) -> Sequence[str]:
        return self.columns.get(key_id, ()) if isinstance(self.columns, Mapping) else self.columns


class Keyring:
    """Seals and unseals data keys; from any thread. A context manager.

    Every file and key gives one audit line, and every failure another.
    """

    def __init__(
        self, kms: Kms, audit: Audit, *, tenant: str = "", job: str = "", run: str = "", cache_seconds: float = 600
    ) -> None:
        self._kms = kms
        self._audit = audit
        self._owner = (tenant, job, run)
        self._context = {"tenant": tenant} if tenant else {}
        self._seconds = cache_seconds
        self._lock = threading.Lock()
        self._wrapping: dict[str, tuple[bytes, Wrapped, float]] = {}
        self._unwrapped: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    def check(self, key_ids: Iterable[str]) -> None:
        """Finds out that the keys are there, as far as the KMS lets this user ask.

        Raises:
            ConfigError: A key is not there, or the credentials are wrong.
            TargetError: The KMS cannot be reached.
        """
        with self._lock:
            for key_id in key_ids:
                self._kms.check(key_id)

    def seal(self, key_id: str, data_key: bytes, purpose: Purpose) -> str:
        """The data key under the key's current version, as text to keep beside the data.

        Raises:
            ConfigError: There is no such key, or the credentials are wrong.
            TargetError: The KMS refuses or cannot be reached, or the audit cannot be written.
        """
        answered: Literal["kms", "cache"] = "cache"
        with self._lock:
            known = self._wrapping.get(key_id)
            if known is None or time.monotonic() >= known[2]:
                answered = "kms"
                kek = os.urandom(KEK_BYTES)
                try:
                    wrapped = self._kms.wrap(key_id, kek, self._context)
                except DativoError as error:
                    self._record("wrap", answered, key_id, "", purpose, error)
                    raise
                known = self._wrapping[key_id] = (kek, wrapped, time.monotonic() + self._seconds)
        kek, wrapped, _ = known
        self._record("wrap", answered, key_id, wrapped.version, purpose)
        nonce = os.urandom(NONCE_BYTES)
        file = purpose.file or ""
        sealed = nonce + aesgcm(kek).encrypt(nonce, data_key, _bound(key_id, file))
        document = {"dativo": 1, "file": file, "kek": wrapped.document(), "data_key": base64.b64encode(sealed).decode()}
        return json.dumps(document, separators=(",", ":"))

    def unseal(self, text: str | bytes, purpose: Purpose) -> bytes:
        """The inverse of `seal`.

        Raises:
            ConfigError: There is no such key, or the credentials are wrong.
            TargetError: The text was changed, belongs to another file, or was sealed by another key; or as for `seal`.
        """
        from cryptography.exceptions import InvalidTag

        wrapped, file, sealed = _parse(text)
        answered: Literal["kms", "cache"] = "cache"
        try:
            if purpose.file is not None and purpose.file != file:
                raise TargetError(
                    f"`{purpose.file}` is another file: its keys were made for `{file}`",
                    hint="somebody has put one file in the place of another",
                    facts={"file": purpose.file, "written_as": file},
                )
            with self._lock:
                # With the context, which only the KMS can check.
                name = json.dumps(wrapped.document(), sort_keys=True)
                known = self._unwrapped.get(name)
                if known is None or time.monotonic() >= known[1]:
                    answered = "kms"
                    if wrapped.kms != self._kms.kind:
                        raise TargetError(
                            f"key `{wrapped.key_id}` is one of a KMS of type `{wrapped.kms}`, not `{self._kms.kind}`",
                            facts={"kms": wrapped.kms, "key": wrapped.key_id},
                        )
                    known = self._unwrapped[name] = (self._kms.unwrap(wrapped), time.monotonic() + self._seconds)
                    while len(self._unwrapped) > REMEMBERED:
                        self._unwrapped.popitem(last=False)
            try:
                bound = _bound(wrapped.key_id, file)
                data_key = bytes(aesgcm(known[0]).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound))
            except (InvalidTag, ValueError) as error:
                raise wrong_key(wrapped.kms, wrapped.key_id) from error
        except DativoError as error:
            self._record("unwrap", answered, wrapped.key_id, wrapped.version, purpose, error)
            raise
        self._record("unwrap", answered, wrapped.key_id, wrapped.version, purpose)
        return data_key

    def close(self) -> None:
        """Forgets keys and ends sessions. May be called twice."""
        with self._lock:
            self._wrapping.clear()
            self._unwrapped.clear()
            self._kms.close()

    def __enter__(self) -> Keyring:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _record(
        self,
        operation: Literal["wrap", "unwrap"],
        answered: Literal["kms", "cache"],
        key_id: str,
        version: str,
        purpose: Purpose,
        error: DativoError | None = None,
    ) -> None:
        if error is None and answered == "cache" and (operation, key_id) in purpose._audited:
            return
        if error is None:
            purpose._audited.add((operation, key_id))
        outcome: Literal["ok", "failed"] = "ok" if error is None else "failed"
        file = purpose.file or ""
        columns = purpose.columns_of(key_id)
        message = None if error is None else error.message
        self._audit.record(
            KeyUse(
                operation, answered, self._kms.kind, key_id, version, *self._owner, purpose.table, file, columns, outcome, message
            )
        )


def _bound(key_id: str, file: str) -> bytes:
    return authenticated({"file": file, "key": key_id})


def _parse(text: str | bytes) -> tuple[Wrapped, str, bytes]:
    try:
        document = json.loads(text)
        if document["dativo"] != 1:
            raise ValueError("version")
        return (
            Wrapped.read(document["kek"]),
            str(document["file"]),
            base64.b64decode(document["data_key"], validate=True),
        )
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise TargetError("a sealed data key is damaged, or was not written by Dativo") from error
