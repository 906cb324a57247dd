"""Two versions of a stream under each mode of its contract: what the document says is what happens."""

from __future__ import annotations

import pytest

from tests.contracts.changes import BEGIN, CHANGES, DOCUMENT, END, MODES, Change, outcome


def documented() -> dict[str, list[str]]:
    table = DOCUMENT.read_text().split(BEGIN)[1].split(END)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {name: cells for name, *cells in rows}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_each_mode_does_what_the_document_says(change: Change, tmp_path):
    found = []
    for mode in MODES:
        (tmp_path / mode).mkdir()
        found.append(outcome(change, mode, tmp_path / mode))
    assert found == documented()[change.name], "run `python -m tests.contracts.changes`"


def test_the_document_has_no_other_rows():
    assert list(documented()) == [change.name for change in CHANGES]
