"""Test classes for pytest, whose plugin (`dativo_sdk.pytest_plugin`) gives them each check in turn."""

from __future__ import annotations

from pathlib import Path

from dativo_sdk.conformance._case import WriterCase
from dativo_sdk.conformance._check import Check, run_check
from dativo_sdk.conformance.readers import ReaderCase, ReaderCheck, run_reader_check

__all__ = ["ReaderSuite", "WriterSuite"]


class ReaderSuite(ReaderCase):
    """A test of each promise of the reader contract.

    ```python
    class TestMine(ReaderSuite):
        reader = Mine
        config = {"path": "orders.csv"}
    ```
    """

    def test_conformance(self, dativo_check: ReaderCheck, tmp_path: Path) -> None:
        run_reader_check(dativo_check, self, tmp_path)


class WriterSuite(WriterCase):
    """A test of each promise of the writer contract; `make` and `read_table` are the author's."""

    def test_conformance(self, dativo_check: Check, tmp_path: Path) -> None:
        run_check(dativo_check, self, tmp_path)
