"""A hardware security module, or anything else with a PKCS#11 library."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from dativo_protocols.errors import ConfigError, DativoError, TargetError

from dativo.keys._kms import Wrapped, authenticated, wrong_key
from dativo.keys._packages import package

if TYPE_CHECKING:
    from dativo.keys._config import Pkcs11Config

NONCE_BYTES = 12
TAG_BITS = 128
SHORTEST = NONCE_BYTES + TAG_BITS // 8

Answer = TypeVar("Answer")


class Pkcs11Kms:
    """Wraps with `CKM_AES_GCM` inside the token: 12 bytes of nonce, then ciphertext and tag. Keys need not be extractable.

    A key id is the label of AES keys; its versions are their `CKA_ID`s as numbers, of which the greatest wraps.
    """

    kind = "pkcs11"

    def __init__(self, config: Pkcs11Config) -> None:
        self._config = config
        self._pkcs11 = package("pkcs11", "pkcs11")
        self._lock = threading.Lock()
        self._session: Any = None

    def check(self, key_id: str) -> None:
        self._call(lambda session: self._key(session, key_id), key_id, "look for")

    def wrap(self, key_id: str, plaintext: bytes, context: Mapping[str, str]) -> Wrapped:
        nonce = os.urandom(NONCE_BYTES)

        def encrypt(session: Any) -> Wrapped:
            key, version = self._key(session, key_id)
            sealed = key.encrypt(plaintext, **self._gcm(nonce, key_id, context))
            return Wrapped(self.kind, key_id, version, dict(context), nonce + sealed)

        return self._call(encrypt, key_id, "wrap with")

    def unwrap(self, wrapped: Wrapped) -> bytes:
        nonce, sealed = wrapped.payload[:NONCE_BYTES], wrapped.payload[NONCE_BYTES:]
        if len(wrapped.payload) < SHORTEST:
            raise wrong_key(self.kind, wrapped.key_id)

        def decrypt(session: Any) -> bytes:
            key, _ = self._key(session, wrapped.key_id, wrapped.version)
            return bytes(key.decrypt(sealed, **self._gcm(nonce, wrapped.key_id, wrapped.context)))

        return self._call(decrypt, wrapped.key_id, "unwrap with")

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            try:
                session.close()
            except self._pkcs11.PKCS11Error:
                # The token is gone, and the session with it.
                return

    def _gcm(self, nonce: bytes, key_id: str, context: Mapping[str, str]) -> dict[str, Any]:
        bound = key_id.encode() + b"\0" + authenticated(context)
        parameters = self._pkcs11.GCMParams(nonce=nonce, aad=bound, tag_bits=TAG_BITS)
        return {"mechanism": self._pkcs11.Mechanism.AES_GCM, "mechanism_param": parameters}

    def _key(self, session: Any, key_id: str, version: str | None = None) -> tuple[Any, str]:
        attribute = self._pkcs11.Attribute
        wanted = {
            attribute.CLASS: self._pkcs11.ObjectClass.SECRET_KEY,
            attribute.KEY_TYPE: self._pkcs11.KeyType.AES,
            attribute.LABEL: key_id,
        }
        found = {str(int.from_bytes(key.id, "big")): key for key in session.get_objects(wanted)}
        if version is None and found:
            newest = max(found, key=int)
            return found[newest], newest
        if version in found:
            return found[version], version
        raise self._pkcs11.NoSuchKey(f"version {version}" if found else "")

    def _open(self) -> Any:
        config = self._config
        raised = self._pkcs11.exceptions
        token = self._pkcs11.lib(str(config.module)).get_token(token_label=config.label)
        try:
            return token.open(user_pin=config.read_pin())
        except raised.UserAlreadyLoggedIn:
            # The login is the process's, not the session's.
            return token.open()

    def _call(self, work: Callable[[Any], Answer], key_id: str, action: str) -> Answer:
        raised = self._pkcs11.exceptions
        # What another session of this process causes by logging out, or a token that was away for a moment: open once more.
        lost = (
            raised.UserNotLoggedIn,
            raised.SessionHandleInvalid,
            raised.SessionClosed,
            raised.NoSuchKey,
            raised.KeyHandleInvalid,
            raised.ObjectHandleInvalid,
            raised.DeviceRemoved,
            raised.TokenNotPresent,
        )
        with self._lock:
            fresh = self._session is None
            try:
                try:
                    self._session = self._session or self._open()
                    return work(self._session)
                except lost:
                    if fresh:
                        raise
                    self.close()
                    self._session = self._open()
                    return work(self._session)
            except self._pkcs11.PKCS11Error as error:
                self.close()
                raise self._explain(error, key_id, action) from error

    def _explain(self, error: Exception, key_id: str, action: str) -> DativoError:
        raised = self._pkcs11.exceptions
        config = self._config
        facts = {"kms": self.kind, "key": key_id, "token": config.label, "module": str(config.module)}
        name = type(error).__name__
        if isinstance(error, raised.PinLocked):
            hint = "the security officer of the token can unlock it"
            return ConfigError(f"the PIN of token `{config.label}` is locked", hint=hint, facts=facts)
        if isinstance(error, raised.PinIncorrect | raised.PinInvalid | raised.PinLenRange | raised.PinExpired):
            hint = "after a few wrong ones the token locks itself: do not just try again"
            return ConfigError(f"token `{config.label}` refuses the PIN: `{name}`", hint=hint, facts=facts)
        if isinstance(error, raised.NoSuchToken | raised.TokenNotPresent | raised.DeviceRemoved | raised.TokenNotRecognised):
            hint = "is the module plugged in and its service up, and is `label` the token's?"
            return TargetError(f"there is no token `{config.label}`", hint=hint, retryable=True, facts=facts)
        if isinstance(error, raised.NoSuchKey):
            return ConfigError(
                f"token `{config.label}` has no AES key `{key_id}`{f', {error}' if str(error) else ''}",
                hint="a key's label is its id, and `CKA_ID` its version; old versions must stay as long as their data",
                facts=facts,
            )
        if type(error) is raised.PKCS11Error and "loading" in str(error):
            return ConfigError(f"cannot load the PKCS#11 module `{config.module}`: {error}", facts=facts)
        # Tokens say by various errors that a tag does not fit.
        if action.startswith("unwrap") and isinstance(
            error, raised.EncryptedDataInvalid | raised.EncryptedDataLenRange | raised.GeneralError | raised.FunctionFailed
        ):
            return wrong_key(self.kind, key_id)
        if isinstance(error, raised.MechanismInvalid | raised.MechanismParamInvalid | raised.FunctionNotSupported):
            hint = "it must let the caller give the nonce of `CKM_AES_GCM`, which some modules refuse in FIPS mode"
            return ConfigError(f"token `{config.label}` has no AES-GCM: `{name}`", hint=hint, facts=facts)
        temporary = isinstance(error, raised.DeviceError | raised.DeviceMemory | raised.SessionCount | raised.GeneralError)
        return TargetError(f"token `{config.label}` cannot {action} key `{key_id}`: `{name}`", retryable=temporary, facts=facts)
