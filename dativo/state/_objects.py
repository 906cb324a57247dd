"""States in an object store: `s3://bucket/prefix` (and whatever speaks S3), `gs://bucket/prefix`, `az://container/prefix`.

The store must know conditional puts; that is tried once, when the first document is put. Credentials come from where the
cloud's own tools take them (environment, instance, workload identity), or from options of the URL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar

from dativo_protocols.errors import ConfigError, DativoError, StateError

from dativo.state._documents import ConflictError, DocumentBackend, Found
from dativo.state._location import Location

__all__ = ["ObjectDocuments", "object_backend"]

REQUESTS = 16
"""At once, where many documents are read."""
RETRIES: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=20)}
CLIENT: dict[str, Any] = {"connect_timeout": "10s", "timeout": "20s"}

T = TypeVar("T")


def object_backend(location: Location) -> DocumentBackend:
    """The bucket of the URL, under its path.

    Raises:
        ConfigError: An option that the library does not know, or `obstore` is not installed.
    """
    return DocumentBackend(ObjectDocuments(location))


class ObjectDocuments:
    """Documents as objects.

    Args:
        location: Options are those of the library `obstore`, such as `endpoint`, `region`, `access_key_id`. Plain HTTP is
            allowed for an `endpoint` that says so.
    """

    def __init__(self, location: Location) -> None:
        try:
            import obstore
            import obstore.exceptions
            from obstore.store import from_url
        except ImportError as error:
            raise ConfigError(
                f"state store `{location.shown}` needs `obstore`, which is not installed", hint="pip install 'dativo[s3]'"
            ) from error
        self.name = location.shown
        self._location = location
        self._obstore: Any = obstore
        self._errors: Any = obstore.exceptions
        options: Any = dict(location.options)
        client: Any = dict(CLIENT)
        if options.pop("allow_http", "") == "true" or str(options.get("endpoint", "")).startswith("http://"):
            client["allow_http"] = True
        try:
            self._store: Any = from_url(location.uri, client_options=client, retry_config=RETRIES, **options)
        except (self._errors.BaseError, TypeError, ValueError) as error:
            raise ConfigError(f"state store `{self.name}`: {self._said(error)}", hint="see `docs/state.md`") from None

    def close(self) -> None:
        """Connections are closed with the object."""

    def get(self, path: str) -> Found | None:
        def read() -> Found:
            result = self._obstore.get(self._store, path)
            return Found(bytes(result.bytes()), _version(result.meta), result.meta["last_modified"].timestamp())

        try:
            return self._asked(read)
        except FileNotFoundError:
            return None

    def get_all(self, paths: Sequence[str]) -> list[bytes | None]:
        def read(path: str) -> bytes | None:
            found = self.get(path)
            return None if found is None else found.data

        if len(paths) < 2:
            return [read(path) for path in paths]
        with ThreadPoolExecutor(min(REQUESTS, len(paths)), thread_name_prefix="state") as threads:
            return list(threads.map(read, paths))

    def put(self, path: str, data: bytes) -> None:
        self._asked(lambda: self._obstore.put(self._store, path, data, use_multipart=False))

    def replace(self, path: str, data: bytes, version: str | None) -> None:
        mode = "create" if version is None else _mode(version)
        try:
            self._asked(lambda: self._obstore.put(self._store, path, data, mode=mode, use_multipart=False))
        except FileNotFoundError:
            raise ConflictError from None

    def names(self, folder: str) -> list[str]:
        def listed() -> list[str]:
            found = self._obstore.list_with_delimiter(self._store, folder)
            paths = [*found["common_prefixes"], *(each["path"] for each in found["objects"])]
            return sorted(path.rstrip("/").rpartition("/")[2] for path in paths)

        return self._asked(listed)

    def remove(self, paths: Sequence[str]) -> None:
        try:
            self._asked(lambda: self._obstore.delete(self._store, list(paths)))
        except FileNotFoundError:
            # Not every store passes over what is gone already: those behind it are left to the next that removes.
            return

    def now(self) -> float:
        def probed() -> float:
            self._obstore.put(self._store, "clock", b"", use_multipart=False)
            return float(self._obstore.head(self._store, "clock")["last_modified"].timestamp())

        return self._asked(probed)

    def _asked(self, request: Callable[[], T]) -> T:
        errors = self._errors
        try:
            return request()
        except (errors.AlreadyExistsError, errors.PreconditionError):
            raise ConflictError from None
        except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
            raise ConfigError(
                f"state store `{self.name}` refuses access: {self._said(error)}",
                hint="look at the credentials, and at what they may do: read, write, list and delete below the prefix",
            ) from None
        except (errors.NotFoundError, FileNotFoundError):
            raise FileNotFoundError from None
        except errors.NotSupportedError as error:
            raise ConfigError(f"state store `{self.name}` cannot hold states: {self._said(error)}") from None
        except errors.BaseError as error:
            raise self._failed(error) from None
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: Exception) -> DativoError:
        text = self._said(error)
        if "NoSuchBucket" in text or "NoSuchBucket" in str(error):
            return ConfigError(f"state store `{self.name}`: there is no such bucket", hint="make it, or mend the URL")
        return StateError(f"cannot use state store `{self.name}`: {text}", retryable=True)

    def _said(self, error: Exception) -> str:
        """The library's message without its debugging part, which repeats everything, and without secrets."""
        text = " ".join(str(error).partition("\nDebug source")[0].partition("<?xml")[0].split())
        code = str(error).partition("<Code>")[2].partition("</Code>")[0]
        return self._location.masked(f"{text} {code}".strip())[:400]


def _version(meta: Any) -> str:
    """Amazon and Azure compare entity tags, Google generations."""
    return f"{meta['e_tag'] or ''}\n{meta['version'] or ''}"


def _mode(version: str) -> dict[str, str]:
    e_tag, _, generation = version.partition("\n")
    return {**({"e_tag": e_tag} if e_tag else {}), **({"version": generation} if generation else {})}
