"""What a plugin can do, told from its class."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Literal, TypeAlias

from dativo_protocols import frozen

from dativo_sdk._api_version import is_known_to
from dativo_sdk._reader import Checkable, Estimating, Partitionable
from dativo_sdk._writer import Counting, Inspecting, Naming, Quarantining, Replaying, Versioning

Mode: TypeAlias = Literal["full_refresh", "incremental"]

_READER_POWERS: dict[str, type] = {"check": Checkable, "partitions": Partitionable, "estimates": Estimating}
_WRITER_POWERS: dict[str, type] = {
    "quarantine": Quarantining,
    "versions": Versioning,
    "count": Counting,
    "names": Naming,
    "inspect": Inspecting,
    "replay": Replaying,
}


@frozen
class Capabilities:
    """What a plugin can do.

    Attributes:
        read: Whether it is a reader.
        write: Whether it is a writer.
        modes: How a reader can be read: `incremental` where it may say states.
        write_modes: Of a writer.
        powers: Of the optional protocols, those that it has: `check`, `partitions`, `estimates`; of writers `quarantine`,
            `versions`, `count`, `names`, `inspect`, `replay`.
        formats: What it speaks as a program.
        releases_gil: Whether threads of one process can share its work.
        refuses: What a writer's columns cannot hold: see `Refusal`.
    """

    read: bool
    write: bool
    modes: tuple[Mode, ...] = ()
    write_modes: tuple[str, ...] = ()
    powers: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    releases_gil: bool = False
    refuses: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As SPEC messages and registries have it."""
        # Through JSON, so that tuples are lists: what is said here equals what is read there.
        said: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return said


def capabilities(plugin: type[Any]) -> Capabilities:
    """What the class can do: a reader has `read_batch`, a writer `write_batch`, a power's methods are that power.

    A class attribute `modes` says that a reader is never incremental: `("full_refresh",)`.
    """
    read, write = _has(plugin, "read_batch"), _has(plugin, "write_batch")
    known = {**(_READER_POWERS if read else {}), **(_WRITER_POWERS if write else {})}
    powers = tuple(name for name, power in known.items() if issubclass(plugin, power) and is_known_to(power, plugin))
    both: tuple[Mode, ...] = ("full_refresh", "incremental")
    return Capabilities(
        read,
        write,
        modes=tuple(getattr(plugin, "modes", both)) if read else (),
        write_modes=tuple(sorted(getattr(plugin, "write_modes", ("append", "overwrite")))) if write else (),
        powers=powers,
        formats=("arrow", "json", "singer") if read else ("arrow",) if write else (),
        releases_gil=bool(getattr(plugin, "releases_gil", False)),
        refuses=tuple(sorted(getattr(plugin, "refuses", ()))) if write else (),
    )


def _has(plugin: type[Any], method: str) -> bool:
    return callable(getattr(plugin, method, None))
