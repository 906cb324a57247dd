"""HashiCorp Vault and OpenBao: the transit secrets engine."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from dativo_protocols.errors import ConfigError, DativoError, TargetError

from dativo.keys._kms import Wrapped, authenticated, wrong_key
from dativo.keys._packages import package

if TYPE_CHECKING:
    from dativo.keys._config import VaultConfig

SECONDS = 10
"""For one answer; a run waits for the KMS, so it must not hang."""

WRONG = ("authentication failed", "invalid ciphertext")
"""What it says of a ciphertext that the key does not open."""

Answer = TypeVar("Answer")


class VaultKms:
    """Wraps with `transit/encrypt`; the context is `associated_data`, so keys are of an AEAD type: `aes256-gcm96`, the default,
    `aes128-gcm96` or `chacha20-poly1305`, and not derived."""

    kind = "vault"

    def __init__(self, config: VaultConfig) -> None:
        self._config = config
        self._hvac = package("hvac", "vault")
        self._client: Any = None

    def check(self, key_id: str) -> None:
        def read(transit: Any) -> None:
            try:
                transit.read_key(key_id, mount_point=self._config.mount)
            except self._hvac.exceptions.Forbidden:
                # A policy that allows encryption only: the first wrap tells. But a token that is worth nothing is found out now.
                self._connected().auth.token.lookup_self()

        self._call(read, key_id, "look for")

    def wrap(self, key_id: str, plaintext: bytes, context: Mapping[str, str]) -> Wrapped:
        bound = base64.b64encode(authenticated(context)).decode()
        text = base64.b64encode(plaintext).decode()

        def encrypt(transit: Any) -> str:
            answer = transit.encrypt_data(key_id, text, mount_point=self._config.mount, associated_data=bound)
            return str(answer["data"]["ciphertext"])

        payload = self._call(encrypt, key_id, "wrap with")
        # `vault:v3:…`
        return Wrapped(self.kind, key_id, payload.split(":")[1].lstrip("v"), dict(context), payload.encode())

    def unwrap(self, wrapped: Wrapped) -> bytes:
        bound = base64.b64encode(authenticated(wrapped.context)).decode()

        def decrypt(transit: Any) -> bytes:
            answer = transit.decrypt_data(
                wrapped.key_id, wrapped.payload.decode(), mount_point=self._config.mount, associated_data=bound
            )
            return base64.b64decode(answer["data"]["plaintext"])

        return self._call(decrypt, wrapped.key_id, "unwrap with")

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.adapter.close()

    def _connected(self) -> Any:
        if self._client is not None:
            return self._client
        config = self._config
        client = self._hvac.Client(
            url=config.address,
            namespace=config.namespace,
            timeout=SECONDS,
            verify=str(config.ca_file) if config.ca_file else True,
        )
        if config.role_id is not None:
            secret = config.secret_id.get_secret_value() if config.secret_id else None
            client.auth.approle.login(config.role_id, secret, mount_point=config.approle_mount)
        else:
            client.token = config.read_token()
        self._client = client
        return client

    def _call(self, work: Callable[[Any], Answer], key_id: str, action: str) -> Answer:
        from requests.exceptions import RequestException

        failures = (self._hvac.exceptions.VaultError, RequestException)
        for last in (False, True):
            renewable = self._client is not None and self._config.role_id is not None
            try:
                return work(self._connected().secrets.transit)
            except failures as error:
                # The token of an AppRole login ends some day; a new login is worth one more attempt.
                if not last and renewable and isinstance(error, self._hvac.exceptions.Forbidden):
                    self.close()
                    continue
                raise self._explain(error, key_id, action) from error
        raise AssertionError

    def _explain(self, error: Exception, key_id: str, action: str) -> DativoError:
        found = self._hvac.exceptions
        address = self._config.address
        facts = {"kms": self.kind, "key": key_id, "address": address}
        text = str(error).split(", on ")[0].strip()
        if isinstance(error, found.InvalidPath) or "key not found" in text:
            return ConfigError(
                f"Vault at `{address}` has no key `{key_id}` in `{self._config.mount}`",
                hint=f"vault write -f {self._config.mount}/keys/{key_id}",
                facts=facts,
            )
        if isinstance(error, found.Forbidden | found.Unauthorized):
            return ConfigError(
                f"Vault at `{address}` does not let this token {action} key `{key_id}`",
                hint="the token may have ended, or its policy lacks `update` on "
                f"`{self._config.mount}/encrypt/{key_id}` (to write) or `{self._config.mount}/decrypt/{key_id}` (to read)",
                facts=facts,
            )
        if isinstance(error, found.VaultNotInitialized | found.VaultDown):
            state = "sealed" if "sealed" in text else "not ready"
            return TargetError(f"Vault at `{address}` is {state}", hint="unseal it, then run again", retryable=True, facts=facts)
        if isinstance(error, found.InvalidRequest):
            if action.startswith("unwrap") and any(word in text for word in WRONG):
                return wrong_key(self.kind, key_id)
            if "role or secret" in text:
                return ConfigError(f"Vault at `{address}` refuses the AppRole login", facts=facts)
            return TargetError(
                f"Vault at `{address}` cannot {action} key `{key_id}`: {text}",
                hint="is it of an AEAD type such as `aes256-gcm96`, and not below `min_decryption_version`?",
                facts=facts,
            )
        from requests.exceptions import ConnectionError, SSLError, Timeout

        if isinstance(error, SSLError):
            return ConfigError(
                f"the certificate of Vault at `{address}` is not trusted", hint="name its authority in `ca_file`", facts=facts
            )
        if isinstance(error, ConnectionError | Timeout):
            return TargetError(f"Vault at `{address}` cannot be reached", retryable=True, facts=facts)
        temporary = isinstance(error, found.InternalServerError | found.BadGateway | found.RateLimitExceeded)
        return TargetError(f"Vault at `{address}` cannot {action} key `{key_id}`: {text}", retryable=temporary, facts=facts)
