"""One check of a reader, the list of all, and how one is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dativo_sdk.conformance._check import CheckSkipped
from dativo_sdk.conformance.readers._bench import ReaderBench
from dativo_sdk.conformance.readers._case import ReaderCase

__all__ = ["READER_CHECKS", "ReaderCheck", "reader_check", "run_reader_check"]


@dataclass(frozen=True)
class ReaderCheck:
    """A promise of the reader contract, as a function that raises `AssertionError` when it is broken.

    Attributes:
        name: What must hold, for example `no_batch_has_more_rows_than_asked_for`.
        subject: The module it is in: `schemas`, `states`…
        power: An optional protocol that the reader must have for it.
    """

    name: str
    subject: str
    function: Callable[[ReaderBench], None]
    power: type | None

    def __str__(self) -> str:
        return self.name


READER_CHECKS: list[ReaderCheck] = []
"""All checks, in the order of their definition."""

_Function = Callable[[ReaderBench], None]


def reader_check(*, power: type | None = None) -> Callable[[_Function], _Function]:
    """Adds the function to `READER_CHECKS`; it is run for readers that have this power."""

    def add(function: _Function) -> _Function:
        name = function.__name__
        if any(other.name == name for other in READER_CHECKS):
            raise ValueError(f"there are two checks `{name}`")
        READER_CHECKS.append(ReaderCheck(name, function.__module__.rpartition(".")[2], function, power))
        return function

    return add


def run_reader_check(check: ReaderCheck, case: ReaderCase, path: Path) -> None:
    """Runs one check in an empty directory.

    Raises:
        AssertionError: The reader breaks the contract. What the reader itself raises comes through as it is.
        CheckSkipped: The check does not apply to this reader.
        ValueError: The case skips a check that does not exist.
    """
    unknown = case.skips.keys() - {each.name for each in READER_CHECKS}
    if unknown:
        raise ValueError(f"there is no check `{min(unknown)}` to skip")
    if check.name in case.skips:
        raise CheckSkipped(case.skips[check.name])
    plugin, config = case.make(path)
    for power in case.powers:
        if not issubclass(plugin, power):
            raise AssertionError(f"the reader is not `{power.__name__}`")
    if check.power is not None and not issubclass(plugin, check.power):
        raise CheckSkipped(f"the reader is not `{check.power.__name__}`")
    check.function(ReaderBench(case, plugin, config))
