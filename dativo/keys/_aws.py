"""AWS KMS, and what speaks its protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dativo_protocols.errors import ConfigError, DativoError, TargetError

from dativo.keys._kms import Wrapped, wrong_key
from dativo.keys._packages import package

if TYPE_CHECKING:
    from dativo.keys._config import AwsConfig

MISSING = {"NotFoundException"}
FORBIDDEN = {
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "OptInRequired",
    "UnrecognizedClientException",
}
UNUSABLE = {"DisabledException", "KMSInvalidStateException", "InvalidKeyUsageException"}
WRONG = {"InvalidCiphertextException", "IncorrectKeyException"}
TEMPORARY = {
    "DependencyTimeoutException",
    "InternalFailure",
    "KeyUnavailableException",
    "KMSInternalException",
    "LimitExceededException",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ThrottlingException",
}


class AwsKms:
    """Wraps with `Encrypt`; the context is the encryption context, so key policies can ask for it and CloudTrail shows it.

    `Wrapped.version` is the key's ARN: an alias may name another key later. AWS rotates a key's material without telling anybody.
    """

    kind = "aws"

    def __init__(self, config: AwsConfig) -> None:
        self._config = config
        boto3 = package("boto3", "aws")
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        try:
            session = boto3.Session(profile_name=config.profile, region_name=config.region)
            self._client: Any = session.client(
                "kms",
                endpoint_url=config.endpoint,
                config=Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 4}),
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(
                f"AWS KMS cannot be used: {error}", hint="`region`, `profile` and `endpoint` say which one"
            ) from error

    def check(self, key_id: str) -> None:
        try:
            self._call(lambda: self._client.describe_key(KeyId=key_id), key_id, "look for")
        except _ForbiddenError as error:
            # A policy that allows encryption only: the first wrap tells. But credentials that are worth nothing are no policy.
            if error.facts["error"] != "AccessDeniedException":
                raise

    def wrap(self, key_id: str, plaintext: bytes, context: Mapping[str, str]) -> Wrapped:
        answer = self._call(
            lambda: self._client.encrypt(KeyId=key_id, Plaintext=plaintext, EncryptionContext=dict(context)), key_id, "wrap with"
        )
        return Wrapped(self.kind, key_id, answer["KeyId"], dict(context), answer["CiphertextBlob"])

    def unwrap(self, wrapped: Wrapped) -> bytes:
        answer = self._call(
            lambda: self._client.decrypt(
                KeyId=wrapped.version or wrapped.key_id, CiphertextBlob=wrapped.payload, EncryptionContext=dict(wrapped.context)
            ),
            wrapped.key_id,
            "unwrap with",
        )
        return bytes(answer["Plaintext"])

    def close(self) -> None:
        self._client.close()

    def _call(self, work: Callable[[], Any], key_id: str, action: str) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return work()
        except (ClientError, BotoCoreError) as error:
            raise self._explain(error, key_id, action) from error

    def _explain(self, error: Exception, key_id: str, action: str) -> DativoError:
        from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, NoCredentialsError

        facts: dict[str, object] = {"kms": self.kind, "key": key_id, "region": self._client.meta.region_name}
        if isinstance(error, ConnectionError | HTTPClientError):
            return TargetError(f"AWS KMS cannot be reached: {error}", retryable=True, facts=facts)
        if isinstance(error, NoCredentialsError):
            hint = "AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the machine's role"
            return ConfigError("there are no credentials for AWS KMS", hint=hint, facts=facts)
        if not isinstance(error, ClientError):
            return ConfigError(f"AWS KMS cannot {action} key `{key_id}`: {error}", facts=facts)
        code = str(error.response.get("Error", {}).get("Code", ""))
        facts["error"] = code
        if code in MISSING:
            return ConfigError(
                f"AWS KMS has no key `{key_id}` in `{facts['region']}`",
                hint="name a key id, an ARN, or an alias as `alias/NAME`",
                facts=facts,
            )
        if code in FORBIDDEN:
            return _ForbiddenError(
                f"AWS KMS does not let this user {action} key `{key_id}`: `{code}`",
                hint="writing needs `kms:Encrypt` on the key, reading `kms:Decrypt`",
                facts=facts,
            )
        if code in UNUSABLE:
            return TargetError(
                f"key `{key_id}` of AWS KMS cannot be used: `{code}`",
                hint="it may be disabled or awaiting deletion: enable it, or cancel the deletion, before its data is lost",
                facts=facts,
            )
        if code in WRONG:
            return wrong_key(self.kind, key_id)
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        temporary = code in TEMPORARY or status >= 500
        return TargetError(f"AWS KMS cannot {action} key `{key_id}`: `{code}`", retryable=temporary, facts=facts)


class _ForbiddenError(ConfigError):
    pass
