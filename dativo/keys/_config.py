"""What a job says about keys and encryption; `docs/encryption.md` explains each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from dativo_protocols.errors import ConfigError
from pydantic import Field, SecretStr, model_validator

from dativo._document import Document
from dativo._model import Duration, Model, validate
from dativo._paths import state_dir
from dativo.keys._audit import Audit
from dativo.keys._keyring import Keyring
from dativo.keys._kms import Kms


class LocalConfig(Model):
    """Keys in a file of this machine."""

    type: Literal["local"]
    file: Path
    """JSON, of mode 0600."""


class VaultConfig(Model):
    """The transit engine of Vault or OpenBao. Logs in by a token, or by an AppRole."""

    type: Literal["vault"]
    address: str = Field(default_factory=lambda: os.environ.get("VAULT_ADDR", ""))
    """`https://…`; by default `$VAULT_ADDR`."""
    mount: str = "transit"
    namespace: str | None = None
    token: SecretStr | None = None
    """By default `token_file`, else `$VAULT_TOKEN`."""
    token_file: Path | None = None
    role_id: str | None = None
    secret_id: SecretStr | None = None
    approle_mount: str = "approle"
    ca_file: Path | None = None
    """Certificates of the authorities to trust, in PEM; by default the system's."""
    allow_http: bool = False
    """Without TLS, whoever is on the way reads keys; this machine itself is always allowed."""

    @model_validator(mode="after")
    def _addressed(self) -> VaultConfig:
        if not self.address:
            raise ValueError("`address` is not set, nor is `$VAULT_ADDR`")
        _check_address("address", self.address, self.allow_http)
        return self

    def read_token(self) -> str:
        """The token that the configuration names.

        Raises:
            ConfigError: It names none, or a file that cannot be read.
        """
        if self.token is not None:
            return self.token.get_secret_value()
        token = _first_line(self.token_file) if self.token_file is not None else os.environ.get("VAULT_TOKEN", "")
        if not token:
            hint = "`token`, `token_file`, `role_id` with `secret_id`, or `$VAULT_TOKEN`"
            raise ConfigError(f"there is no token for Vault at `{self.address}`", hint=hint)
        return token


class AwsConfig(Model):
    """AWS KMS; credentials come from where boto3 finds them."""

    type: Literal["aws"]
    region: str | None = None
    profile: str | None = None
    endpoint: str | None = None
    """Another address, for a private endpoint or a server that speaks the protocol."""
    allow_http: bool = False
    """As for Vault."""

    @model_validator(mode="after")
    def _addressed(self) -> AwsConfig:
        if self.endpoint is not None:
            _check_address("endpoint", self.endpoint, self.allow_http)
        return self


class Pkcs11Config(Model):
    """A token of a PKCS#11 module."""

    type: Literal["pkcs11"]
    module: Path
    """The vendor's library, for example `/usr/lib/softhsm/libsofthsm2.so`."""
    label: str
    """The token's."""
    pin: SecretStr | None = None
    pin_file: Path | None = None

    def read_pin(self) -> str | None:
        """The PIN, or None for a token that needs none."""
        if self.pin is not None:
            return self.pin.get_secret_value()
        return None if self.pin_file is None else _first_line(self.pin_file)


KmsConfig: TypeAlias = Annotated[LocalConfig | VaultConfig | AwsConfig | Pkcs11Config, Field(discriminator="type")]


class KeysConfig(Model):
    """What reading needs."""

    kms: KmsConfig
    cache: Duration = 600.0
    """How long a key-encryption key stays in memory before the KMS is asked again; 0 asks for each file."""
    audit: Path | None = None
    """JSON lines, appended; by default `.dativo/key-audit.jsonl`."""


class EncryptionConfig(KeysConfig):
    """What writing needs. Every column is encrypted: those that no key names, with the footer's."""

    footer_key: str = Field(min_length=1)
    """The id of the KMS's key for footers, for columns that no other key names, and for whole files."""
    column_keys: dict[str, list[str]] = Field(default_factory=dict)
    """Parquet: key id to columns, each `COLUMN` for every table or `TABLE.COLUMN`; with `?` behind it, it need not be there."""
    quarantine_key: str | None = None
    """For rejected rows, which hold whole records; needed beside `column_keys`, else the footer's."""
    plaintext_footer: bool = False
    """Parquet: everybody can read a file's schema and row count; keys are still needed for every value."""

    @model_validator(mode="after")
    def _consistent(self) -> EncryptionConfig:
        named: dict[str, str] = {}
        for key_id, columns in self.column_keys.items():
            for column in columns:
                name = column.removesuffix("?")
                if named.setdefault(name, key_id) != key_id:
                    raise ValueError(f"column `{name}` has two keys in `column_keys`: `{named[name]}` and `{key_id}`")
        if self.column_keys and self.quarantine_key is None:
            raise ValueError("`column_keys` needs a `quarantine_key`: rejected rows hold whole records, of all columns")
        return self

    def key_ids(self) -> list[str]:
        """Every key that it names."""
        named = (self.footer_key, *self.column_keys, *([self.quarantine_key] if self.quarantine_key else []))
        return list(dict.fromkeys(named))


def read_encryption(config: Mapping[str, Any], where: str = "encryption") -> EncryptionConfig:
    """The target's option `encryption`.

    Raises:
        ConfigError: It is not valid; says where.
    """
    return validate(EncryptionConfig, config, Document(where, config))


def open_kms(config: LocalConfig | VaultConfig | AwsConfig | Pkcs11Config) -> Kms:
    """Opens the KMS; it may be asked for nothing before it is used.

    Raises:
        ConfigError: A package is missing, or a file.
    """
    if isinstance(config, LocalConfig):
        from dativo.keys._local import LocalKms

        return LocalKms(config.file.expanduser())
    if isinstance(config, VaultConfig):
        from dativo.keys._vault import VaultKms

        return VaultKms(config)
    if isinstance(config, AwsConfig):
        from dativo.keys._aws import AwsKms

        return AwsKms(config)
    from dativo.keys._pkcs11 import Pkcs11Kms

    return Pkcs11Kms(config)


def open_keyring(config: KeysConfig | Mapping[str, Any], *, tenant: str = "", job: str = "", run: str = "") -> Keyring:
    """A keyring over the KMS of a configuration.

    Args:
        config: Also as a mapping: that of `KeysConfig` (a target's whole `encryption` will do), or of a KMS alone.
        tenant: Authenticated in what is wrapped, and audited like `job` and `run`.

    Raises:
        ConfigError: It is not valid.
    """
    if not isinstance(config, KeysConfig):
        data = dict(config) if "kms" in config else {"kms": dict(config)}
        model = EncryptionConfig if "footer_key" in data else KeysConfig
        config = validate(model, data, Document("keys", data))
    file = config.audit.expanduser() if config.audit else state_dir() / "key-audit.jsonl"
    kms = open_kms(config.kms)
    return Keyring(kms, Audit(file), tenant=tenant, job=job, run=run, cache_seconds=config.cache)


def _check_address(name: str, address: str, allow_http: bool) -> None:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"`{name}` must be a URL such as `https://kms.example.org`")
    if parts.scheme == "http" and not allow_http and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ValueError(
            f"`{name}` must begin with `https://`: keys travel there; `allow_http: true` for a network that encrypts"
        )


def _first_line(file: Path) -> str:
    try:
        return file.expanduser().read_text().partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigError(f"cannot read `{file}`: {reason}", facts={"path": str(file)}) from None
