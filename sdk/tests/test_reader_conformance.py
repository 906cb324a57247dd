"""The kit passes a reader that is right, and finds what is wrong with those that are not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dativo_sdk import Partitionable
from dativo_sdk.conformance import READER_CHECKS, CheckSkipped, ReaderCase, ReaderCheck, reader_check, run_reader_check

from . import ledger_reader as ledger

NAMED = {str(check): check for check in READER_CHECKS}
IN_PROGRAMS = {"the_program_gives_the_same_rows_and_states", "the_program_describes_the_same_streams"}


class LedgerCase(ReaderCase):
    reader: type = ledger.LedgerReader
    config = {"rows": 10}  # noqa: RUF012
    bad_configs = ({"rows": -5}, {"place": "nowhere"})

    def __init__(self, reader: type = ledger.LedgerReader) -> None:
        self.reader = reader


@pytest.mark.parametrize("check", READER_CHECKS, ids=str)
def test_conformance(check: ReaderCheck, tmp_path: Path) -> None:
    run_reader_check(check, LedgerCase(), tmp_path)


BROKEN: list[tuple[type, set[str]]] = [
    (ledger.LosesARowAtItsStates, {"a_run_loses_nothing_from_any_state", "states_of_partitions_leave_the_parts_behind_them"}),
    (ledger.IgnoresItsState, {"a_run_from_the_last_state_begins_no_stream_anew"}),
    (ledger.DoublesRowsWithoutAKey, {"a_run_doubles_no_row_without_a_key", "states_of_partitions_leave_the_parts_behind_them"}),
    (ledger.SaysMoreThanItGave, {"a_run_loses_nothing_from_any_state"}),
    (ledger.ReadsWhatIsNotSelected, {"only_selected_streams_are_read"}),
    (ledger.ReadsFieldsThatAreNotSelected, {"only_selected_fields_are_read"}),
    (ledger.GivesMoreThanIsAskedFor, {"no_batch_has_more_rows_than_asked_for"}),
    (ledger.SaysAnotherSchema, {"batches_have_the_schema_that_was_said"}),
    (ledger.NamesAKeyThatIsNotThere, {"keys_and_cursors_are_columns"}),
    (ledger.KeepsItsPlaceForEverybody, {"readers_share_nothing"}),
    (ledger.ClosesOnce, {"close_may_be_called_twice_and_without_initialize"}),
    (ledger.SaysStatesThatAreNoObjects, {"states_are_json_objects"}),
    (ledger.SaysStatesOfAnotherStream, {"a_state_is_of_the_stream_of_its_batch"}),
    (ledger.FailsInItsOwnWords, {"garbage_is_refused_in_words"}),
    (ledger.AcceptsWhatIsWrong, {"a_wrong_configuration_is_a_config_error", "a_check_is_honest"}),
    (ledger.ChecksNothing, {"a_check_is_honest"}),
    (ledger.MiscountsItsRows, {"a_batch_says_its_size"}),
    (ledger.ForgetsAPart, {"partitions_are_together_the_whole_in_order"}),
    (ledger.GivesPartsTheStateBehind, {"states_of_partitions_leave_the_parts_behind_them"}),
    (ledger.ChangesItsTypes, {"rows_and_types_are_the_same_each_time"}),
    (ledger.NeverRejects, {"rejected_rows_have_their_columns"}),
]
"""What is wrong with a reader, and the checks that must find it: these, and no others."""


@pytest.mark.parametrize(("reader", "expected"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_reader_fails_the_check_of_what_it_broke_and_no_other(reader: type, expected: set[str], tmp_path: Path) -> None:
    failed = {}
    for check in READER_CHECKS:
        if check.name not in IN_PROGRAMS:
            try:
                run_reader_check(check, LedgerCase(reader), tmp_path)
            except CheckSkipped:
                pass
            except AssertionError as error:
                failed[check.name] = str(error)
    assert failed.keys() == expected
    assert all("expected" in message for message in failed.values())


def test_a_program_that_says_something_else_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the program: expected 10 rows of `entries`, found 0"):
        run_reader_check(NAMED["the_program_gives_the_same_rows_and_states"], LedgerCase(ledger.PrintsToTheWire), tmp_path)


def test_a_power_that_the_reader_claims_and_lacks_fails(tmp_path: Path) -> None:
    case = LedgerCase(type("Plain", (), {"read_batch": None}))
    case.powers = frozenset({Partitionable})
    with pytest.raises(AssertionError, match="is not `Partitionable`"):
        run_reader_check(READER_CHECKS[0], case, tmp_path)


def test_a_check_that_does_not_exist_cannot_be_skipped(tmp_path: Path) -> None:
    case = LedgerCase()
    case.skips = {"no_such_check": "typed wrong"}
    with pytest.raises(ValueError, match="no check `no_such_check`"):
        run_reader_check(READER_CHECKS[0], case, tmp_path)


def test_two_checks_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two checks"):
        reader_check()(READER_CHECKS[0].function)


SUITE = """
from dativo_sdk.conformance import ReaderSuite, WriterSuite
from ledger_reader import {reader} as Mine
from memory_writer import MemoryCase

class TestMine(ReaderSuite):
    reader = Mine
    config = {{"rows": 10}}
    skips = {{"a_check_is_honest": "not today"}}

class TestMyWriter(MemoryCase, WriterSuite):
    stores = {{}}
    writer = MemoryCase().writer
    __init__ = object.__init__

def test_of_something_else(): pass
"""


@pytest.mark.parametrize(("reader", "code"), [("LedgerReader", 0), ("MiscountsItsRows", 1)])
def test_a_class_is_all_that_an_author_writes(tmp_path: Path, reader: str, code: int) -> None:
    (tmp_path / "test_mine.py").write_text(SUITE.format(reader=reader))
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {Path(__file__).parent}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=240, check=False)
    assert ended.returncode == code, ended.stdout
    for name in NAMED:
        assert f"test_conformance[{name}]" in ended.stdout or "SKIPPED" in ended.stdout
    assert ("FAILED test_mine.py::TestMine::test_conformance[a_batch_says_its_size]" in ended.stdout) == (code == 1)
    assert "test_mine.py::TestMyWriter::test_conformance[append_adds_to_what_is_there]" in ended.stdout
    assert "not today" in ended.stdout
