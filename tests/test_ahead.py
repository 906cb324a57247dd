"""Which libraries a run loads ahead."""

from __future__ import annotations

import os
import sys

import dativo_protocols
import pytest

from dativo._ahead import MODULES, load_libraries


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    lists: list[list[str]] = []
    monkeypatch.setattr(dativo_protocols, "load_ahead", lists.append)
    return lists


def test_they_are_where_this_pyarrow_has_them(asked: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyarrow", raising=False)
    load_libraries()
    ((*files,),) = asked
    assert [os.path.basename(file).partition(".")[0] for file in files] == list(MODULES)
    assert all(os.path.isfile(file) for file in files)


def test_what_is_imported_is_not_loaded_again(asked: list[list[str]]) -> None:
    import pyarrow

    assert pyarrow
    load_libraries()
    assert asked == []


def test_without_pyarrow_there_is_nothing_to_load(asked: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyarrow", raising=False)
    monkeypatch.setattr("dativo._ahead.find_spec", lambda name: None)
    load_libraries()
    assert asked == []
