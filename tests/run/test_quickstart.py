from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

import dativo

ROOT = Path(__file__).parents[2]


@pytest.mark.network
@pytest.mark.timeout(900)
def test_the_quickstart_can_be_run_as_often_as_one_likes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    (project / "jobs").mkdir(parents=True)
    (project / "jobs" / "quickstart").symlink_to(ROOT / "jobs" / "quickstart")
    monkeypatch.chdir(project)
    first, second = (dativo.run(ROOT / "jobs" / "quickstart.yaml") for _ in range(2))
    assert (first.rows_in, first.written, first.quarantined) == (3340, 3340, 0)
    assert second.state_before == first.state_after
    with duckdb.connect("out/quickstart.duckdb", read_only=True) as db:
        counts = [db.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("customers", "products", "orders")]
        kinds = db.execute("SELECT typeof(id), typeof(amount), typeof(placed_at) FROM orders LIMIT 1").fetchone()
    assert counts == [(300,), (40,), (3000,)]
    assert kinds == ("BIGINT", "DECIMAL(38,2)", "TIMESTAMP WITH TIME ZONE")
