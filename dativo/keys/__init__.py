"""Keys for data that is encrypted here before it goes anywhere: `docs/encryption.md`.

A KMS (`open_kms`: a key file, Vault, AWS KMS, an HSM) wraps key-encryption keys. A `Keyring` seals the data keys of files and
columns with them, and writes an audit line for each key that it uses. A provider's package is loaded when it is used.
"""

from dativo.keys._audit import Audit, KeyUse
from dativo.keys._config import (
    AwsConfig,
    EncryptionConfig,
    KeysConfig,
    KmsConfig,
    LocalConfig,
    Pkcs11Config,
    VaultConfig,
    open_keyring,
    open_kms,
)
from dativo.keys._keyring import Keyring
from dativo.keys._kms import Kms, Wrapped

__all__ = [
    "Audit",
    "AwsConfig",
    "EncryptionConfig",
    "KeyUse",
    "Keyring",
    "KeysConfig",
    "Kms",
    "KmsConfig",
    "LocalConfig",
    "Pkcs11Config",
    "VaultConfig",
    "Wrapped",
    "open_keyring",
    "open_kms",
]
