"""Runs that read from a container are killed: a sample of `tests/crash/crash.py --source docker`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.crash.crash import crash
from tests.crash.sources import Container
from tests.crash.trial import Setting
from tests.images.build import loaded
from tests.images.rootfs import CannotBuildError

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("docker")]
SEED = 20261123


@pytest.mark.timeout(240)
def test_a_run_killed_with_or_without_its_container_is_taken_up_where_it_was(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATIVO_CACHE", str(tmp_path / "cache"))
    try:
        image = loaded("crash").tag
    except CannotBuildError as error:
        pytest.skip(f"the image cannot be built: {error}")
    source = Container(image, rows=100_000, state_every=1_000, pause_ms=5)
    outcome = crash(Setting("duckdb", source, checkpoint_rows=5_000), kills=6, seed=SEED, folder=tmp_path)
    assert outcome.clean, outcome
    assert outcome.codes[-9] > 0, "no kill hit a running process"
    assert {"dativo", "source"} <= outcome.victims.keys()
