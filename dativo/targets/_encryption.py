"""The option `encryption` of the file targets: which key encrypts what, and what a file needs to be written and read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from dativo_protocols.errors import ConfigError, TargetError
from dativo_sdk import WriteCatalog

from dativo.targets._encryption_spill import SpillCipher
from dativo.targets._encryption_store import SUFFIX, EncryptedStore, NamedStream
from dativo.targets._staging import FilePlan
from dativo.targets._store import Store

if TYPE_CHECKING:
    import pyarrow.parquet as pq

    from dativo.keys import EncryptionConfig, Keyring
    from dativo.targets._commit_record import DataFile

PARQUET = "parquet"
WHOLE = "whole"
"""What `DataFile.reading` has under `encryption`: encrypted by Parquet's own means, or as a whole (`dativo.keys._envelope`)."""


def open_encryption(config: Any, catalog: WriteCatalog, *, whole: bool) -> Encryption | None:
    """What the option asks for; None where it is not given.

    Args:
        whole: The format cannot be encrypted by itself.

    Raises:
        ConfigError: The option is not valid, or a key is not there.
        TargetError: The KMS cannot be reached.
    """
    if config is None:
        return None
    from dativo.keys._config import open_keyring, read_encryption

    if not isinstance(config, Mapping):
        raise ConfigError("`encryption` must be a mapping", hint="docs/encryption.md", facts={"key": "encryption"})
    checked = read_encryption(config)
    for name in ("column_keys", "plaintext_footer"):
        if whole and getattr(checked, name):
            raise ConfigError(
                f"`encryption`: files of this format are encrypted whole, without `{name}`",
                hint="use the target `parquet`",
                facts={"key": name},
            )
    keys = open_keyring(checked, tenant=catalog.job.tenant, job=catalog.job.job, run=catalog.run_id)
    try:
        keys.check(checked.key_ids())
    except BaseException:
        keys.close()
        raise
    return Encryption(checked, keys, whole=whole)


class Encryption:
    """One run's: keys, and which of them is for which table and column."""

    def __init__(self, config: EncryptionConfig, keys: Keyring, *, whole: bool) -> None:
        self._config = config
        self._keys = keys
        self._whole = whole
        self._quarantines: set[str] = set()
        self._wanted = [_ColumnKey(text, key_id) for key_id, columns in config.column_keys.items() for text in columns]
        self._missing = {wanted.text for wanted in self._wanted if wanted.must}
        self._announced = False

    def around(self, store: Store) -> Store:
        """The store, with data files encrypted on their way into it, and decrypted on their way out."""
        return EncryptedStore(store, self._keys, self._key_of if self._whole else None).as_store()

    def plan(self, plan: FilePlan) -> FilePlan:
        """The plan, for encrypted files and parked rows."""
        reading = plan.reading | {"encryption": WHOLE if self._whole else PARQUET}
        return replace(plan, suffix=plan.suffix + (SUFFIX if self._whole else ""), reading=reading, cipher=SpillCipher())

    def quarantine(self, table: str) -> None:
        """Says that a table holds rejected rows."""
        self._quarantines.add(table)

    def announce(self, table: str, columns: Iterable[str], *, complete: bool = True) -> None:
        """Says which columns a table has.

        Args:
            complete: They are those that rows come with, not only those of earlier commits.

        Raises:
            ConfigError: `column_keys` names a column of this table that is not among them.
        """
        names = set(columns)
        self._announced |= complete
        for wanted in self._wanted:
            if wanted.table in (None, table) and wanted.column in names:
                self._missing.discard(wanted.text)
            elif complete and wanted.must and wanted.table == table:
                raise _no_column(wanted.text, f"table `{table}` has no column `{wanted.column}`")

    def check_columns(self) -> None:
        """Called before the last commit of a run that ended well.

        Raises:
            ConfigError: `column_keys` names a column that no table has, so perhaps a misspelt one.
        """
        for wanted in self._wanted:
            if self._announced and wanted.table is None and wanted.text in self._missing:
                raise _no_column(wanted.text, f"no table has a column `{wanted.column}`")

    def parquet(self, stream: pa.NativeFile, schema: pa.Schema) -> Any:
        """What `ParquetWriter` needs to encrypt a file.

        Raises:
            ConfigError: A key is not there any more, or the credentials are wrong.
            TargetError: The KMS cannot be reached, or refuses.
        """
        from dativo.keys._keyring import Purpose
        from dativo.keys.parquet import encryption_properties

        if not isinstance(stream, NamedStream):
            raise TypeError("the stream of an `EncryptedStore` is a `NamedStream`")
        table = stream.path.split("/")[0]
        footer_key = self._key_of(table)
        columns = {footer_key: list(schema.names)} if table in self._quarantines else self._columns(table, schema.names)
        purpose = Purpose(table, stream.path, columns)
        plaintext_footer = self._config.plaintext_footer
        # With a plaintext footer and one key for everything, pyarrow needs the key for the names of columns too.
        own = {} if list(columns) == [footer_key] and not plaintext_footer else columns
        return encryption_properties(self._keys, purpose, footer_key, own, plaintext_footer=plaintext_footer)

    def close(self) -> None:
        """Forgets the keys. May be called twice."""
        self._keys.close()

    def _key_of(self, table: str) -> str:
        """The key of a table's footers, or of its whole files."""
        if table in self._quarantines and self._config.quarantine_key is not None:
            return self._config.quarantine_key
        return self._config.footer_key

    def _columns(self, table: str, names: Sequence[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in names:
            fitting = [wanted for wanted in self._wanted if wanted.column == name and wanted.table in (None, table)]
            best = max(fitting, key=lambda wanted: wanted.table is not None, default=None)
            found.setdefault(self._config.footer_key if best is None else best.key_id, []).append(name)
        return found


class _ColumnKey:
    """One entry of `column_keys`: `COLUMN` or `TABLE.COLUMN`, with `?` where it need not be there."""

    def __init__(self, text: str, key_id: str) -> None:
        self.text = text
        self.key_id = key_id
        self.must = not text.endswith("?")
        table, dot, column = text.removesuffix("?").rpartition(".")
        self.table = table if dot else None
        self.column = column


def open_parquet(
    store: Store, file: DataFile, columns: Sequence[str], source: pa.NativeFile, *, pre_buffer: bool = False
) -> pq.ParquetFile:
    """The file in `source`, ready for these columns to be read.

    Raises:
        ConfigError: It is encrypted, and the dataset was opened without keys.
        TargetError: It was encrypted when it was committed, and is not now; or the KMS refuses.
    """
    import pyarrow.parquet as pq

    if file.reading.get("encryption") is None:
        return pq.ParquetFile(source, pre_buffer=pre_buffer)
    from dativo.keys._keyring import Purpose
    from dativo.keys.parquet import decryption_properties

    purpose = Purpose(file.path.split("/")[0], file.path, list(columns))
    keys = decryption_properties(_with_keys(store, file).keys, purpose)
    try:
        parquet = pq.ParquetFile(source, pre_buffer=pre_buffer, decryption_properties=keys)
    except pa.ArrowException as error:
        path = store.locate(file.path)
        raise TargetError(f"cannot read `{path}`: it is damaged: {error}", facts={"path": path}) from error
    if not purpose.used:
        # pyarrow takes a plain file with keys as well.
        parquet.close()
        raise TargetError(
            f"`{store.locate(file.path)}` was encrypted, and is not any more",
            hint="somebody has put another file in its place",
            facts={"path": store.locate(file.path)},
        )
    return parquet


def decrypted(store: Store, file: DataFile) -> tuple[Store, DataFile]:
    """Where to read a file, and under which name, so that its format's own reader can.

    Raises:
        ConfigError: It is encrypted, and the dataset was opened without keys.
    """
    if file.reading.get("encryption") != WHOLE:
        return store, file
    return _with_keys(store, file).decrypting(), replace(file, path=file.path.removesuffix(SUFFIX))


def with_keys(store: Store, keys: Any) -> Store:
    """The store, for reading: encrypted files as well as others.

    Args:
        keys: A `dativo.keys.Keyring`, or what `dativo.keys.open_keyring` takes.

    Raises:
        ConfigError: They are not valid.
    """
    from dativo.keys import Keyring, open_keyring

    return EncryptedStore(store, keys if isinstance(keys, Keyring) else open_keyring(keys), None).as_store()


def _with_keys(store: Store, file: DataFile) -> EncryptedStore:
    found: object = store
    if isinstance(found, EncryptedStore):
        return found
    raise ConfigError(
        f"`{store.locate(file.path)}` is encrypted",
        hint="open the dataset with `keys=`, or give the target `encryption`: docs/encryption.md",
        facts={"path": store.locate(file.path)},
    )


def _no_column(text: str, why: str) -> ConfigError:
    return ConfigError(
        f"`encryption.column_keys` names `{text}`, but {why}",
        hint=f"columns are named as the table has them; `{text}?` need not be there",
        facts={"column": text},
    )
