"""Which table belongs to which stream: one claim a table, put once, so that two jobs never give a name away twice."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from dativo_protocols import StreamId
from dativo_protocols.errors import TargetError

from dativo._names import quarantine_name, table_names
from dativo.targets.lakehouse._storage import Storage

__all__ = ["Ledger"]

_FOLDER = "_dativo/tables"
_READERS = 8


class Ledger:
    """Names of tables and quarantines, of all jobs that write to one place.

    Attributes:
        tables: By stream.
        quarantines: By stream, where there is one.
    """

    def __init__(self, storage: Storage, there: Iterable[str]) -> None:
        """Reads all claims.

        Args:
            there: Tables that exist, whoever made them.
        """
        self._storage = storage
        self._there = {_fold(name): name for name in there}
        self.tables: dict[StreamId, str] = {}
        self.quarantines: dict[StreamId, str] = {}
        self._read: set[str] = set()
        self.load()

    def load(self) -> None:
        """Reads the claims that have come since."""
        names = [name for name in self._storage.names(_FOLDER) if name not in self._read]
        with ThreadPoolExecutor(_READERS, thread_name_prefix="dativo-claims") as readers:
            payloads = list(readers.map(lambda name: self._storage.get(f"{_FOLDER}/{name}"), names)) if names else []
        for name, payload in zip(names, payloads, strict=True):
            if payload is not None:
                claim = json.loads(payload.decode("utf-8", "surrogatepass"))
                owners = self.quarantines if claim["quarantine"] else self.tables
                owners[StreamId(claim["stream"], claim["namespace"])] = claim["table"]
                self._read.add(name)

    def table(self, stream: StreamId, streams: Iterable[StreamId] = (), *, claim: bool = True) -> str:
        """The stream's table: the one it has; else one that is there under its name; else a new one.

        Args:
            streams: Others that are named at the same time, so that the order in which they come does not matter.
            claim: Whether to take the name; without, nothing is written.
        """
        for _ in range(20):
            if stream in self.tables:
                return self.tables[stream]
            named = table_names([*streams, stream], self.tables, list(self.quarantines.values()))
            table = self._there.get(_fold(named[stream]), named[stream])
            if not claim:
                return table
            if self._claim(stream, table, quarantine=False):
                self.tables[stream] = table
                return table
            self.load()
        raise _contended(stream)

    def quarantine(self, stream: StreamId) -> str:
        """The stream's quarantine table: the one it has, or a new one."""
        for _ in range(20):
            if stream in self.quarantines:
                return self.quarantines[stream]
            others = [*self.tables.values(), *self.quarantines.values(), *self._there.values()]
            name = quarantine_name(self.table(stream), others)
            if self._claim(stream, name, quarantine=True):
                self.quarantines[stream] = name
                return name
            self.load()
        raise _contended(stream)

    def _claim(self, stream: StreamId, table: str, *, quarantine: bool) -> bool:
        claim = {"stream": stream.name, "namespace": stream.namespace, "table": table, "quarantine": quarantine}
        name = f"{hashlib.sha256(_fold(table).encode()).hexdigest()[:24]}.json"
        return self._storage.put_new(f"{_FOLDER}/{name}", json.dumps(claim, sort_keys=True).encode())


def _contended(stream: StreamId) -> TargetError:
    return TargetError(
        f"other jobs have taken every name for stream `{stream}`", hint="run again", retryable=True, facts={"stream": str(stream)}
    )


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
