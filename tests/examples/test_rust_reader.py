"""The example in Rust: from one implementation a program and a shared library, which give the same rows."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.project import DATIVO

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "rust-reader"
POINTS = list(range(1000))


@pytest.fixture(scope="module")
def built() -> Path:
    """The program and the library."""
    environment = {**os.environ, "CARGO_PROFILE_DEV_DEBUG": "line-tables-only"}
    command = ["cargo", "build", "--quiet", "--package", "source-waves"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return ROOT / "target" / "debug"


@pytest.fixture(params=["program", "library"])
def reference(request: pytest.FixtureRequest, built: Path) -> str:
    return f"program:{built}/source-waves" if request.param == "program" else f"native:{built}/libsource_waves.so"


def dativo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([DATIVO, *arguments], cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_every_form_gives_the_same_rows(reference: str, tmp_path: Path) -> None:
    ended = dativo(tmp_path, "read", reference, "--set", "points=1000")

    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [row["point"] for row in rows] == POINTS, ended.stderr
    assert rows[400] == {"point": 400, "height": -0.7568024953079282, "sign": "-"}


def test_a_job_goes_on_behind_its_state(reference: str, tmp_path: Path) -> None:
    source: dict[str, Any] = {"connector": reference, "streams": {"wave": {"mode": "incremental", "write": "append"}}}
    target = {"connector": "jsonl", "config": {"path": "out"}}
    rows = []
    for points in (600, 1000):
        job = {"name": "waves", "source": {**source, "config": {"points": points}}, "target": target}
        (tmp_path / "job.yaml").write_text(json.dumps(job))
        ended = dativo(tmp_path, "run", "job.yaml", "--json")
        assert ended.returncode == 0, ended.stderr
        rows.append(json.loads(ended.stdout)["written"])
    assert rows == [600, 400]


def test_a_panic_is_an_error_that_says_where(reference: str, tmp_path: Path) -> None:
    ended = dativo(tmp_path, "read", reference, "--set", "points=9", "--set", "broken_at=3")

    assert ended.returncode == 10
    assert "src/lib.rs:" in ended.stderr
    assert "a bug at a point" in ended.stderr
