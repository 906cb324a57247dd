"""Parked rows under a key that is nowhere but in this process's memory."""

from __future__ import annotations

import os

import pyarrow as pa

KEY_BYTES = 32
NONCE_BYTES = 12


class SpillCipher:
    """AES-256-GCM with a key made for one run; when the process ends, nobody can read what it has parked."""

    def __init__(self) -> None:
        from dativo.keys._packages import aesgcm

        self._cipher = aesgcm(os.urandom(KEY_BYTES))

    def seal(self, payload: pa.Buffer, place: str) -> bytes:
        """Nonce, ciphertext and tag; `place` says which file and which of its parts this is."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + bytes(self._cipher.encrypt(nonce, memoryview(payload).cast("B"), place.encode()))

    def open(self, sealed: memoryview, place: str) -> bytes:
        """The inverse of `seal`.

        Raises:
            OSError: The file was changed.
        """
        from cryptography.exceptions import InvalidTag

        sealed = sealed.cast("B")
        try:
            return bytes(self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.encode()))
        except InvalidTag as error:
            raise OSError(f"parked rows were changed by somebody else: `{place}`") from error
