"""The pytest plugin of the conformance kit: gives the test of a `ReaderSuite` or a `WriterSuite` each check in turn.

Loaded by every pytest where the SDK is installed, so it loads nothing else before there is such a suite.
"""

from __future__ import annotations

import sys
from typing import Any

FIXTURE = "dativo_check"


def pytest_generate_tests(metafunc: Any) -> None:
    """One test a check, under the check's name."""
    kit = sys.modules.get("dativo_sdk.conformance")
    if kit is None or FIXTURE not in metafunc.fixturenames or metafunc.cls is None:
        return
    if issubclass(metafunc.cls, kit.ReaderSuite):
        metafunc.parametrize(FIXTURE, kit.READER_CHECKS, ids=str)
    elif issubclass(metafunc.cls, kit.WriterSuite):
        metafunc.parametrize(FIXTURE, kit.CHECKS, ids=str)
