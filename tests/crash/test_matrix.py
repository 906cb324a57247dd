"""A sample of the crash matrix: some interruptions in each target. The whole matrix: `python -m tests.crash.matrix`."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.crash.matrix.__main__ import BEGIN, DOCUMENT, END, crash
from tests.crash.matrix.places import CONNECTORS, PLACES, fault_points, modes, opened
from tests.crash.matrix.trial import Cell

SAMPLE = {
    "duckdb": "merge",
    "postgres": "merge",
    "parquet": "overwrite",
    "jsonl": "append",
    "s3": "append",
    "delta": "scd2",
    "iceberg": "append_dedup",
    "iceberg_rest": "merge",
}


@pytest.mark.server
@pytest.mark.timeout(600)
@pytest.mark.parametrize("target", SAMPLE)
def test_no_row_is_lost_or_doubled(target: str, tmp_path: Path) -> None:
    with opened(target) as place:
        outcome = crash(Cell(place, SAMPLE[target], rows=3_000, checkpoint_rows=500), 4, random.Random(2026), tmp_path)

    assert (outcome.kills, outcome.lost, outcome.more) == (4, 0, 0)


@pytest.mark.parametrize("target", PLACES)
def test_every_target_can_be_interrupted_at_its_steps(target: str) -> None:
    """Names are found in the source: one that is not found would not be tested."""
    from tests.crash.matrix.places import Place

    place = Place(target, CONNECTORS.get(target, target))
    assert len(fault_points(place)) >= 4


def test_the_document_has_every_target_and_mode() -> None:
    """Made by `python -m tests.crash.matrix --kills 1000 --document`."""
    from tests.crash.matrix.places import Place

    table = DOCUMENT.read_text().split(BEGIN)[1].split(END)[0]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()[2:-1]]
    wanted = [(name, mode) for name in PLACES for mode in modes(Place(name, CONNECTORS.get(name, name)))]
    assert [(target, mode) for target, mode, *_ in rows] == wanted
    assert {row[-1] for row in rows} | {row[-2] for row in rows} == {"0"}
