"""One check, the list of all, and how one is run."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dativo_sdk._writer import WriteMode
from dativo_sdk.conformance._bench import Bench
from dativo_sdk.conformance._case import WriterCase

__all__ = ["CHECKS", "Check", "CheckSkipped", "check", "run_check"]


class CheckSkipped(unittest.SkipTest):
    """A check that does not apply to this writer; says why. Test frameworks take it for a skipped test."""


@dataclass(frozen=True)
class Check:
    """A promise of the writer contract, as a function that raises `AssertionError` when it is broken.

    Attributes:
        name: What must hold, for example `append_adds_to_what_is_there`.
        subject: The module it is in: `types`, `modes`…
        modes: Write modes that the writer must have for it.
        power: An optional protocol that the writer must have for it.
    """

    name: str
    subject: str
    function: Callable[[Bench], None]
    modes: frozenset[WriteMode]
    power: type | None

    def __str__(self) -> str:
        return self.name


CHECKS: list[Check] = []
"""All checks, in the order of their definition."""


def check(*modes: WriteMode, power: type | None = None) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Adds the function to `CHECKS`; it is run for writers that have all these modes, and this power."""

    def add(function: Callable[[Bench], None]) -> Callable[[Bench], None]:
        name = function.__name__
        if any(other.name == name for other in CHECKS):
            raise ValueError(f"there are two checks `{name}`")
        CHECKS.append(Check(name, function.__module__.rpartition(".")[2], function, frozenset(modes), power))
        return function

    return add


def run_check(check: Check, case: WriterCase, path: Path) -> None:
    """Runs one check in an empty directory.

    Raises:
        AssertionError: The writer breaks the contract. What the writer itself raises comes through as it is.
        CheckSkipped: The check does not apply to this writer.
        ValueError: The case skips a check that does not exist.
    """
    unknown = case.skips.keys() - {each.name for each in CHECKS}
    if unknown:
        raise ValueError(f"there is no check `{min(unknown)}` to skip")
    if check.name in case.skips:
        raise CheckSkipped(case.skips[check.name])
    writer, _ = case.make(path)
    for power in case.powers:
        if not isinstance(writer, power):
            raise AssertionError(f"the writer is not `{power.__name__}`")
    modes = getattr(writer, "write_modes", frozenset({"append"})) if case.modes is None else case.modes
    missing = check.modes - modes
    if missing:
        raise CheckSkipped(f"the writer does not have {', '.join(f'`{mode}`' for mode in sorted(missing))}")
    if check.power is not None and not isinstance(writer, check.power):
        raise CheckSkipped(f"the writer is not `{check.power.__name__}`")
    bench = Bench(case, path)
    try:
        check.function(bench)
    finally:
        bench.close()
