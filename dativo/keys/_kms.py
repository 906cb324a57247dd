"""What a KMS does for Dativo: it wraps 32 bytes under a key that never leaves it, and unwraps them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Protocol

from dativo_protocols import frozen
from dativo_protocols.errors import TargetError


@frozen
class Wrapped:
    """A key as a KMS wrapped it; nothing in it is secret.

    Attributes:
        kms: Which kind of KMS did it: `local`, `vault`, `aws`, `pkcs11`.
        key_id: The KMS's key, as the configuration names it.
        version: Of that key, as the KMS tells it.
        context: What was authenticated along with it; unwrapping fails with any other.
        payload: The KMS's own ciphertext.
    """

    kms: str
    key_id: str
    version: str
    context: Mapping[str, str]
    payload: bytes = field(repr=False)

    def document(self) -> dict[str, Any]:
        """As JSON data, to be kept beside what the key encrypts."""
        return {
            "kms": self.kms,
            "key": self.key_id,
            "version": self.version,
            "context": dict(self.context),
            "wrapped": base64.b64encode(self.payload).decode(),
        }

    @classmethod
    def read(cls, document: Any) -> Wrapped:
        """The inverse of `document`.

        Raises:
            TargetError: It is not what `document` gives.
        """
        try:
            kms, key_id, version = (document[name] for name in ("kms", "key", "version"))
            context = {str(name): str(value) for name, value in document["context"].items()}
            payload = base64.b64decode(document["wrapped"], validate=True)
        except (KeyError, TypeError, AttributeError, binascii.Error, ValueError) as error:
            raise TargetError("a wrapped key is damaged, or was not written by Dativo") from error
        return cls(str(kms), str(key_id), str(version), context, payload)


class Kms(Protocol):
    """A key management service. Called from any thread, one call at a time; may block for seconds.

    Each method raises:
        ConfigError: There is no such key or service, or the credentials are wrong: nothing changes without the user.
        TargetError: The KMS refused, or cannot be reached (`retryable`).
    """

    kind: str

    def check(self, key_id: str) -> None:
        """Finds out that the key is there, as far as the KMS lets this user ask; wraps nothing."""
        ...

    def wrap(self, key_id: str, plaintext: bytes, context: Mapping[str, str]) -> Wrapped:
        """Encrypts up to 4096 bytes under the key's current version; `context` is authenticated, not hidden."""
        ...

    def unwrap(self, wrapped: Wrapped) -> bytes:
        """The inverse of `wrap`, under whichever version of the key it was.

        Raises:
            TargetError: Key, payload or context is another one than at wrapping.
        """
        ...

    def close(self) -> None:
        """Ends sessions. May be called twice."""
        ...


def authenticated(context: Mapping[str, str]) -> bytes:
    """A context as bytes: JSON with sorted keys, without spaces, ASCII only."""
    return json.dumps(dict(context), sort_keys=True, separators=(",", ":")).encode()


def wrong_key(kms: str, key_id: str) -> TargetError:
    """What every provider says of a payload that the key does not open."""
    return TargetError(
        f"key `{key_id}` of the {kms} KMS does not open this: it was wrapped by another key, or it was changed",
        hint="give the KMS and the key that wrote it; a key that was made anew under the same name is another key",
        facts={"kms": kms, "key": key_id},
    )
