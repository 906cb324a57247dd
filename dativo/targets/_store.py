"""Where a file target keeps its files: what staging, commit log, recovery and readers ask of a disk or of an object store.

Paths are relative to the dataset, with `/`. Methods raise `TargetError`, or `OSError` where the disk itself refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import pyarrow as pa
from dativo_sdk import JobKey


class Sink(Protocol):
    """A new data file while its bytes are written, in order; readers do not see them.

    What changes the bytes on their way, such as encryption of whole files, is another `Sink` around this one.

    Attributes:
        path: Its name in the store.
        stream: What encoders write to; its `tell` says how many bytes they wrote.
    """

    path: str
    stream: pa.NativeFile

    def close(self) -> int:
        """All bytes were written; returns how many the file has."""
        ...

    def settle(self) -> None:
        """Returns when the file is complete and durable; called once, after `close`, perhaps from another thread."""
        ...

    def discard(self) -> None:
        """Removes the file, whatever there is of it; an upload is aborted. May be called at any moment, and raises nothing."""
        ...


class Store(Protocol):
    """A dataset's place.

    Attributes:
        location: As users write it: an absolute path, or a URL.
        fenced: The store has no locks: a job's runs are told apart by a number that the log gives them (`docs/files.md`).
        open_files: How many data files may be written at the same time.
    """

    location: str
    fenced: bool
    open_files: int

    def locate(self, path: str) -> str:
        """The absolute path, or the URL, of a file."""
        ...

    def exists(self) -> bool:
        """Whether there is a dataset."""
        ...

    def prepare(self) -> None:
        """Makes what a writer needs to begin."""
        ...

    def hold(self, job: JobKey, name: str) -> AbstractContextManager[None]:
        """Keeps other runs of the job out, as long as the context is open; does nothing where the store is fenced.

        Raises:
            TargetError: Another run is at work.
        """
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """Keeps other writers out of the commit log where there are locks; where there are none, `create` alone decides."""
        ...

    def names(self, directory: str, after: str = "") -> list[str]:
        """Files directly in a directory whose names are greater than `after`, sorted; none where there is no directory."""
        ...

    def data_files(self) -> Iterator[str]:
        """Everything outside `_dativo/`, in tables' directories."""
        ...

    def existing(self, paths: Iterable[str]) -> set[str]:
        """Those of the files that are there."""
        ...

    def read(self, paths: Sequence[str]) -> list[bytes]:
        """Whole small files.

        Raises:
            FileNotFoundError: One is not there.
        """
        ...

    def create(self, path: str, payload: bytes) -> bool:
        """Puts a file where none is: whole and durable on return, never in part.

        Returns:
            False when the name is taken, and not by this very call.
        """
        ...

    def delete(self, paths: Iterable[str]) -> None:
        """Removes files; those that are gone already are no error."""
        ...

    def open_new(self, directory: str, name: Callable[[], str]) -> Sink:
        """Begins a data file under the first name that is free."""
        ...

    def settle(self, directories: Iterable[str]) -> None:
        """Returns when the directories' new entries are durable."""
        ...

    def source(self, path: str, nbytes: int) -> pa.NativeFile:
        """A data file for reading anywhere in it.

        Raises:
            FileNotFoundError: It is not there; on a store without files to open, only the first `read` says so.
        """
        ...

    def local_path(self, path: str) -> str | None:
        """Where the operating system has the file; None where it is not on a disk of this machine."""
        ...

    def scratch(self) -> Path:
        """A directory of this machine for rows that wait; what dead runs left there goes away."""
        ...

    def close(self) -> None:
        """Frees everything. May be called twice."""
        ...
