"""Whose a container is, and whether that one still lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from dativo_engines.containers import _ownership
from dativo_engines.containers._ownership import claim, labels, owner_is_dead

MARK = "0" * 32
linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")


@pytest.fixture(autouse=True)
def claimed() -> Iterator[None]:
    with claim(MARK):
        yield


def test_what_this_process_owns_has_a_living_owner() -> None:
    assert owner_is_dead(labels(MARK)) is False


def test_what_this_process_could_not_remove_has_none() -> None:
    assert owner_is_dead(labels("1" * 32)) is True


def test_the_owner_is_dead_when_its_process_is() -> None:
    code = "import json; from dativo_engines.containers._ownership import labels; print(json.dumps(labels('0' * 32)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert owner_is_dead(json.loads(said)) is True


@linux
def test_a_process_that_has_died_but_was_not_collected_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert owner_is_dead(labels(MARK) | {_ownership.PID: str(process.pid)}) is True


@linux
def test_another_process_with_the_same_number_is_another_owner() -> None:
    assert owner_is_dead(labels(MARK) | {_ownership.STARTED: "1"}) is True


def test_an_owner_from_before_the_machines_last_start_is_dead() -> None:
    assert owner_is_dead(labels(MARK) | {_ownership.BOOT: "an earlier one"}) is True


@pytest.mark.parametrize("label", [_ownership.HOST, _ownership.PROCESSES])
def test_of_an_owner_elsewhere_nothing_is_known(label: str) -> None:
    assert owner_is_dead(labels(MARK) | {label: "elsewhere"}) is None


def test_labels_that_say_nothing_say_nothing() -> None:
    assert owner_is_dead({_ownership.RUN: MARK}) is None
