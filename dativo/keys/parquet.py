"""Parquet's own encryption (modular encryption) with data keys of a `Keyring`, for pyarrow.

pyarrow can wrap keys twice by itself, but with keys of 128 bits in between; so it wraps once here, and the keyring once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from dativo_protocols.errors import ConfigError, TargetError

from dativo.keys._keyring import Keyring, Purpose
from dativo.keys._packages import package

__all__ = ["decryption_properties", "encryption_properties", "footer_key"]

KEY_BITS = 256


def encryption_properties(
    keys: Keyring, purpose: Purpose, footer_key: str, column_keys: Mapping[str, Sequence[str]], *, plaintext_footer: bool = False
) -> Any:
    """For `pyarrow.parquet.ParquetWriter`: AES-256-GCM, a data key for the footer and one for each column of `column_keys`.

    Args:
        column_keys: Key id to top-level columns, all of them; empty for one data key for everything.

    Raises:
        ConfigError: There is no such key, or the credentials are wrong.
        TargetError: The KMS refuses or cannot be reached.
    """
    encryption = _encryption()
    configuration = encryption.EncryptionConfiguration(
        footer_key=footer_key,
        column_keys={key_id: list(columns) for key_id, columns in column_keys.items()},
        uniform_encryption=not column_keys,
        encryption_algorithm="AES_GCM_V1",
        plaintext_footer=plaintext_footer,
        double_wrapping=False,
        data_key_length_bits=KEY_BITS,
    )
    return _factory(keys, purpose).file_encryption_properties(encryption.KmsConnectionConfig(), configuration)


def decryption_properties(keys: Keyring, purpose: Purpose | None = None) -> Any:
    """For `pyarrow.parquet.ParquetFile` and `read_table`; serves one file. Only the columns that are read need their keys."""
    encryption = _encryption()
    factory = _factory(keys, purpose or Purpose("", None))
    return factory.file_decryption_properties(encryption.KmsConnectionConfig(), encryption.DecryptionConfiguration())


def footer_key(file: str | Path, keys: Keyring) -> bytes:
    """The 32 bytes that encrypt a file's footer, and all of a file without column keys: for readers that want the key itself,
    such as DuckDB. Whoever has them can read that file for ever: the KMS is not asked again.

    Raises:
        TargetError: The file is not encrypted, or the KMS refuses.
    """
    found: list[bytes] = []

    class Catching(Keyring):
        def __init__(self) -> None:
            """The keys are those of another keyring."""

        def unseal(self, text: str | bytes, purpose: Purpose) -> bytes:
            found.append(keys.unseal(text, purpose))
            return found[-1]

    with pq.ParquetFile(file, decryption_properties=decryption_properties(Catching(), Purpose("", None))):
        pass
    if not found:
        raise TargetError(f"`{file}` is not encrypted", facts={"path": str(file)})
    return found[0]


def _encryption() -> Any:
    found = package("pyarrow.parquet.encryption")
    if not hasattr(found.EncryptionConfiguration, "uniform_encryption"):
        raise ConfigError("Parquet encryption needs pyarrow 21 or newer", hint="pip install 'dativo[encryption]'")
    return found


def _factory(keys: Keyring, purpose: Purpose) -> Any:
    encryption = _encryption()

    base: Any = encryption.KmsClient

    class Client(base):  # type: ignore[misc]
        """What pyarrow asks for; made here, for pyarrow's encryption may not be there."""

        def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> str:
            return keys.seal(master_key_identifier, key_bytes, purpose)

        def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
            return keys.unseal(wrapped_key, purpose)

    return encryption.CryptoFactory(lambda configuration: Client())
