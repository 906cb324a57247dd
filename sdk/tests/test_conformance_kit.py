"""The kit passes a writer that is right, and finds what is wrong with those that are not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import Batch, Rejects
from dativo_sdk import Receipt, Versioning, WriteCatalog
from dativo_sdk.conformance import CHECKS, Check, CheckSkipped, check, run_check

from .memory_writer import MemoryCase, MemoryWriter

NAMED = {str(check): check for check in CHECKS}


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_conformance(check: Check, tmp_path: Path) -> None:
    run_check(check, MemoryCase(), tmp_path)


class LosesTheLastBatch(MemoryWriter):
    def write_batch(self, batch: Batch) -> None:
        self.last = (batch.stream, batch.rows)
        super().write_batch(batch)

    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        stream, rows = getattr(self, "last", (None, 0))
        if final and rows and len(self.staged.get(stream, ())) > rows:
            del self.staged[stream][-rows:]
        return super().commit(state, final=final)


class DoublesOnRerun(MemoryWriter):
    """Keeps what a run staged and did not commit, and commits it with the next one."""

    def close(self) -> None:
        self.store.left = {**getattr(self.store, "left", {}), **self.staged}  # type: ignore[attr-defined]

    def initialize(self, config: Mapping[str, Any], catalog: WriteCatalog) -> bytes | None:
        state = super().initialize(config, catalog)
        for stream, rows in getattr(self.store, "left", {}).items():
            self.staged[stream] = rows
            self.schemas[stream] = self.get_schema(stream) or pa.Table.from_pylist(rows).schema
        return state


class ForgetsTheState(MemoryWriter):
    def initialize(self, config: Mapping[str, Any], catalog: WriteCatalog) -> bytes | None:
        super().initialize(config, catalog)
        return None


class ForgetsTheStateOfAnEmptyCommit(MemoryWriter):
    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        return super().commit(state if self.staged else None, final=final)


class RewritesTheState(MemoryWriter):
    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        return super().commit(None if state is None else state.replace(b"1.10", b"1.1"), final=final)


class SharesTheState(MemoryWriter):
    def initialize(self, config: Mapping[str, Any], catalog: WriteCatalog) -> bytes | None:
        return super().initialize(config, replace(catalog, job=catalog.job._replace(tenant="all")))


class ShowsUncommittedRows(MemoryWriter):
    def write_batch(self, batch: Batch) -> None:
        super().write_batch(batch)
        super().commit(None)


class ChangesADecimal(MemoryWriter):
    def write_batch(self, batch: Batch) -> None:
        super().write_batch(batch)
        for row in self.staged[batch.stream]:
            small = {name: value for name, value in row.items() if isinstance(value, Decimal) and abs(value) < 1000}
            row.update({name: round(value, 6) for name, value in small.items()})


class DropsAQuarantinedRow(MemoryWriter):
    def write_rejects(self, rejects: Rejects) -> None:
        data = pa.record_batch(rejects.data)
        super().write_rejects(Rejects(rejects.stream, data.slice(0, 1), 1))


class KeepsRejectsBesideTheCommit(MemoryWriter):
    def write_rejects(self, rejects: Rejects) -> None:
        super().write_rejects(rejects)
        now = self.store.contents
        kept = {stream: (*now.rejected.get(stream, ()), *rows) for stream, rows in self.rejects.items()}
        self.store.contents = replace(now, rejected={**now.rejected, **kept})
        self.rejects = {}


class OverwritesAtOnce(MemoryWriter):
    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        return super().commit(state, final=True)


class MergesNothing(MemoryWriter):
    def _table(self, stream: Any, before: Any) -> Any:
        self.catalog.streams[stream] = replace(self._stream(stream), write_mode="append")
        return super()._table(stream, before)


class MiscountsRows(MemoryWriter):
    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        receipt = super().commit(state, final=final)
        return replace(receipt, written={stream: rows and 1 for stream, rows in receipt.written.items()})


BROKEN: list[tuple[type[MemoryWriter], str]] = [
    (LosesTheLastBatch, "append_adds_to_what_is_there"),
    (DoublesOnRerun, "a_rerun_goes_on_from_the_returned_state"),
    (ForgetsTheState, "a_state_comes_back_byte_for_byte"),
    (ForgetsTheStateOfAnEmptyCommit, "a_commit_of_nothing_keeps_the_rows"),
    (RewritesTheState, "a_state_comes_back_byte_for_byte"),
    (SharesTheState, "states_belong_to_one_tenant_and_job"),
    (ShowsUncommittedRows, "nothing_is_seen_before_the_commit"),
    (ChangesADecimal, "every_type_comes_back_unchanged"),
    (DropsAQuarantinedRow, "rejected_rows_are_kept_with_the_commit"),
    (KeepsRejectsBesideTheCommit, "rejected_rows_without_a_commit_are_not_kept"),
    (OverwritesAtOnce, "overwrite_without_the_end_changes_nothing"),
    (MergesNothing, "merge_replaces_rows_by_key_and_the_last_one_wins"),
    (MiscountsRows, "append_adds_to_what_is_there"),
]
"""What is wrong with a writer, and the check that must find it."""


@pytest.mark.parametrize(("writer", "name"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_writer_fails_the_check_of_what_it_broke(writer: type[MemoryWriter], name: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="expected"):
        run_check(NAMED[name], MemoryCase(writer), tmp_path)


def test_a_mode_that_the_writer_lacks_is_skipped(tmp_path: Path) -> None:
    case = MemoryCase()
    case.modes = frozenset({"append"})
    with pytest.raises(CheckSkipped, match="does not have `merge`"):
        run_check(NAMED["merge_by_a_composite_key"], case, tmp_path)


def test_a_power_that_the_writer_claims_and_lacks_fails(tmp_path: Path) -> None:
    case = MemoryCase()
    case.powers = frozenset({Versioning})
    with pytest.raises(AssertionError, match="is not `Versioning`"):
        run_check(CHECKS[0], case, tmp_path)


def test_a_check_that_does_not_exist_cannot_be_skipped(tmp_path: Path) -> None:
    case = MemoryCase()
    case.skips = {"no_such_check": "typed wrong"}  # type: ignore[misc]
    with pytest.raises(ValueError, match="no check `no_such_check`"):
        run_check(CHECKS[0], case, tmp_path)


def test_two_checks_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two checks"):
        check()(CHECKS[0].function)


def test_the_kit_needs_no_test_framework() -> None:
    code = "import sys, dativo_sdk.conformance; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"pytest", "dativo", "dativo_engines"}.isdisjoint(loaded)
