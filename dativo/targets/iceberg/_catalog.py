"""The catalog that a configuration names: opened when it is first needed, its failures as errors that show no secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dativo_protocols.errors import ConfigError, DativoError, TargetError

from dativo.targets._disk import make_directory, refused

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table import CreateTableTransaction, Table

__all__ = ["IcebergCatalog"]

_FILE = "catalog.db"
_NAME = "dativo"
_SECRET = re.compile(r"token|secret|password|credential|key|auth|header", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")
_AWAY = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "Timeout")
_PASSING = ("ServerError", "ServiceUnavailableError", *_AWAY)


class IcebergCatalog:
    """One namespace of one catalog.

    Args:
        path: Of the configuration: the warehouse, where no other catalog is configured.
        namespace: Parts are separated by `.`.
        properties: Those of pyiceberg, with `type`; without any, the catalog is an SQLite file in the warehouse.
    """

    def __init__(self, path: str, namespace: str, properties: Mapping[str, str]) -> None:
        self.embedded = not properties
        self._path = path
        self._namespace = tuple(namespace.split("."))
        self._properties = dict(properties)
        self._catalog: Catalog | None = None
        self._secrets = [value for key, value in properties.items() if _SECRET.search(key) and len(value) > 3]
        self.uri = path if self.embedded else _USER_INFO.sub("", properties.get("uri", properties.get("type", path)))

    @property
    def exists(self) -> bool:
        """Whether there is a catalog; opening the embedded one makes it."""
        return not self.embedded or (Path(self._path) / _FILE).exists()

    def open(self) -> Catalog:
        """The catalog; an embedded one is made when it is not there."""
        if self._catalog is None:
            with self.failures("open the catalog"):
                self._catalog = self._loaded()
        return self._catalog

    def close(self) -> None:
        """Frees its connections. May be called twice."""
        catalog, self._catalog = self._catalog, None
        if catalog is not None:
            catalog.close()

    def tables(self) -> list[str]:
        """Names of the namespace's tables."""
        if not self.exists:
            return []
        from pyiceberg.exceptions import NoSuchNamespaceError

        catalog = self.open()
        with self.failures("list the tables"):
            try:
                return sorted(identifier[-1] for identifier in catalog.list_tables(self._namespace))
            except NoSuchNamespaceError:
                return []

    def table(self, name: str) -> Table | None:
        """The table as it is now, or None when there is none. Its transactions try once: a conflict is the caller's to settle."""
        if not self.exists:
            return None
        from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
        from pyiceberg.table import TableProperties

        catalog = self.open()
        with self.failures("load", name):
            try:
                table = catalog.load_table((*self._namespace, name))
            except (NoSuchTableError, NoSuchNamespaceError):
                return None
        # Of this object alone: a commit sends changes, not the properties it was loaded with.
        table.metadata.properties[TableProperties.COMMIT_NUM_RETRIES] = "0"
        return table

    def creation(
        self, name: str, schema: Schema, spec: PartitionSpec | None, location: str | None, properties: Mapping[str, str]
    ) -> CreateTableTransaction:
        """A transaction that creates the table; nothing is there before it is committed, but the namespace.

        Args:
            spec: None without partitions.
            location: None where the catalog decides.
        """
        from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC

        catalog = self.open()
        with self.failures("create", name):
            catalog.create_namespace_if_not_exists(self._namespace)
            return catalog.create_table_transaction(
                (*self._namespace, name),
                schema,
                location,
                UNPARTITIONED_PARTITION_SPEC if spec is None else spec,
                properties=dict(properties),
            )

    def location(self, name: str) -> str | None:
        """Where a new table is to be, or None where the catalog decides."""
        return f"{_file_uri(self._path)}/{'/'.join(self._namespace)}/{name}" if self.embedded else None

    def full_name(self, name: str) -> str:
        """The table's name as users write it."""
        return ".".join((*self._namespace, name))

    @contextmanager
    def failures(self, action: str, table: str | None = None) -> Iterator[None]:
        """Gives errors of pyiceberg, of its catalogs and of the file system as `TargetError`."""
        try:
            yield
        except DativoError:
            raise
        except OSError as error:
            if error.errno is not None and self.embedded:
                raise refused(error, action, "/".join((self._path, *self._namespace, table)) if table else self._path) from error
            raise self._failed(error, action, table) from error
        except Exception as error:
            raise self._failed(error, action, table) from error

    def _failed(self, error: Exception, action: str, table: str | None) -> TargetError:
        kind = type(error).__name__
        text = str(error).strip() or kind
        locked, full = "database is locked" in text, "database or disk is full" in text
        what = f"{action} `{self.full_name(table)}`" if table is not None else action
        denied = kind in ("UnauthorizedError", "ForbiddenError", "OAuthError", "AuthorizationExpiredError")
        hint: str | None
        if kind in _AWAY:
            # What the library says of it names its own objects, and the cause last.
            text = re.sub(r"^.*\[Errno -?\d+\] ([\w ]+).*$", r"\1", text.splitlines()[0])
            hint = "is the catalog at work, and can it be reached?"
        elif denied:
            hint = "check the credentials in `catalog`"
        elif "readonly database" in text or "unable to open database file" in text:
            file = f"`{self._path}/catalog.db`" if self.embedded else "the catalog's file"
            hint = f"let this user write to {file} and its folder"
        elif kind == "BadRequestError":
            hint = "the catalog does not take that: many have rules for names, such as small letters, digits and `_`"
        elif full:
            hint = "free some space, then run again"
        else:
            hint = "run again: it goes on from the last commit" if locked else None
        return TargetError(
            f"cannot {what} in `{self.uri}`: {self._masked(text.splitlines()[0].rstrip('.'))}",
            hint=hint,
            retryable=locked or full or kind in _PASSING or kind == "CommitStateUnknownException",
            facts={"catalog": self.uri, "error": kind, **({} if table is None else {"table": table})},
        )

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return _USER_INFO.sub("***@", text)

    def _loaded(self) -> Catalog:
        from pyiceberg.catalog import load_catalog

        properties: dict[str, Any] = dict(self._properties)
        if self.embedded:
            from sqlalchemy import URL

            make_directory(Path(self._path))
            file = str(Path(self._path).absolute() / _FILE)
            properties = {
                "type": "sql",
                "uri": URL.create("sqlite", database=file).render_as_string(),
                "warehouse": _file_uri(self._path),
                "py-io-impl": "dativo.targets.iceberg._file_io.DurableFileIO",
            }
        name = properties.pop("name", _NAME)
        try:
            return load_catalog(name, **properties)
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"cannot open the catalog: {self._masked(str(error).splitlines()[0].rstrip('.'))}",
                hint="`catalog` takes the properties of pyiceberg, with `type`: `rest`, `sql`, `glue`, `hive`, `dynamodb`",
                facts={"key": "catalog"},
            ) from error


def _file_uri(path: str) -> str:
    return f"file://{Path(path).absolute()}"
