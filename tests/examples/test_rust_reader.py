"""The example in Rust: from one implementation a program, a shared library and a wheel, which give the same rows."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_sdk.conformance import READER_CHECKS, ReaderCase, ReaderCheck, run_reader_check
from dativo_sdk.library import load_library
from dativo_sdk.testing import discover, run_program

from tests.project import DATIVO

# In one worker: each that has a test of them would build them all, and wait for the others.
pytestmark = [pytest.mark.xdist_group("cargo"), pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "rust-reader"
README = (EXAMPLE / "README.md").read_text()
POINTS = list(range(1000))
CONSOLE_SCRIPT = [sys.executable, "-c", "import sys; from source_waves import Waves; sys.exit(Waves.main())"]


@dataclass(frozen=True)
class Form:
    """The reader in one form, as a job and `dativo` name it."""

    reference: str
    isolation: str | None = None

    @property
    def options(self) -> list[str]:
        return [] if self.isolation is None else ["--isolation", self.isolation]

    @property
    def source(self) -> dict[str, Any]:
        return {"connector": self.reference, **({} if self.isolation is None else {"isolation": self.isolation})}


def make(tool: str, *options: str) -> None:
    """Runs the page's command of this tool."""
    (command,) = re.findall(rf"^{tool} build.*?(?=  |$)", README, re.MULTILINE)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "CARGO_PROFILE_DEV_DEBUG": "line-tables-only"}
    subprocess.run([*shlex.split(command), "--quiet", *options], cwd=EXAMPLE, env=environment, check=True)


@pytest.fixture(scope="module")
def built() -> Path:
    """The folder of the program and the library."""
    make("cargo")
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the wheel installs."""
    folder = tmp_path_factory.mktemp("wheel")
    make("maturin", "--out", str(folder))
    (wheel,) = folder.glob("*.whl")
    assert "-cp311-abi3-" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


@pytest.fixture
def installed(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The wheel, installed for this process and those that it starts."""
    monkeypatch.syspath_prepend(unpacked)
    monkeypatch.setenv("PYTHONPATH", str(unpacked))
    return unpacked


@pytest.fixture
def waves(installed: Path) -> type[Any]:
    """The class of the wheel."""
    made: type[Any] = import_module("source_waves").Waves
    return made


@pytest.fixture(params=["program", "library", "class", "entry point"])
def form(request: pytest.FixtureRequest) -> Form:
    if request.param in ("program", "library"):
        built = request.getfixturevalue("built")
        return Form(f"program:{built}/source-waves" if request.param == "program" else f"native:{built}/libsource_waves.so")
    request.getfixturevalue("installed")
    return Form("native:source_waves:Waves" if request.param == "class" else "native:waves", "in_process")


def dativo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([DATIVO, *arguments], cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_every_form_gives_the_same_rows(form: Form, tmp_path: Path) -> None:
    ended = dativo(tmp_path, "read", form.reference, *form.options, "--set", "points=1000")

    rows = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [row["point"] for row in rows] == POINTS, ended.stderr
    assert rows[400] == {"point": 400, "height": -0.7568024953079282, "sign": "-"}


def test_a_job_goes_on_behind_its_state(form: Form, tmp_path: Path) -> None:
    source = {**form.source, "streams": {"wave": {"mode": "incremental", "write": "append"}}}
    target = {"connector": "jsonl", "config": {"path": "out"}}
    rows = []
    for points in (600, 1000):
        job = {"name": "waves", "source": {**source, "config": {"points": points}}, "target": target}
        (tmp_path / "job.yaml").write_text(json.dumps(job))
        ended = dativo(tmp_path, "run", "job.yaml", "--json")
        assert ended.returncode == 0, ended.stderr
        rows.append(json.loads(ended.stdout)["written"])
    assert rows == [600, 400]


def test_a_panic_is_an_error_that_says_where(form: Form, tmp_path: Path) -> None:
    ended = dativo(tmp_path, "read", form.reference, *form.options, "--set", "points=9", "--set", "broken_at=3")

    assert ended.returncode == 10
    assert "src/lib.rs:" in ended.stderr
    assert "a bug at a point" in ended.stderr


@pytest.mark.parametrize("check", READER_CHECKS, ids=str)
@pytest.mark.parametrize("kind", ["class", "library"])
def test_conformance(kind: str, check: ReaderCheck, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    library = str(request.getfixturevalue("built") / "libsource_waves.so")
    is_class = kind == "class"

    class WavesCase(ReaderCase):
        reader = request.getfixturevalue("waves") if is_class else load_library(library)
        config = {"points": 100}  # noqa: RUF012
        bad_configs = ({}, {"points": -1}, {"points": "many"}, {"points": 1, "pints": 1})

        def program(self) -> str | Sequence[str]:
            return CONSOLE_SCRIPT if is_class else library

    run_reader_check(check, WavesCase(), tmp_path)


def test_batches_of_the_class_are_handed_over_without_a_copy(waves: type[Any]) -> None:
    reader = waves()
    reader.initialize({"points": 1000})
    data = reader.read_batch(1000).data
    first, second = pa.record_batch(data), pa.record_batch(data)
    reader.close()

    addresses = [[buffer and buffer.address for column in batch for buffer in column.buffers()] for batch in (first, second)]
    assert addresses[0] == addresses[1]
    # Behind a null bitmap that is not there: numbers, numbers, and offsets and bytes of texts.
    assert sum(address is not None for address in addresses[0]) == 4
    del data, second
    first.validate(full=True)
    assert first["point"].to_pylist() == POINTS


def test_the_class_is_read_as_its_page_says(waves: type[Any], capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.count("height: double not null") == 4


def test_the_wheel_says_what_it_has(installed: Path, waves: type[Any], built: Path) -> None:
    (wheel,) = distributions(path=[str(installed)])
    points = {(point.group, point.name): point.load() for point in wheel.entry_points}
    assert points == {("dativo.readers", "waves"): waves, ("console_scripts", "source-waves"): waves.main}
    assert waves.releases_gil
    said = [run_program(command, "spec").of_type("SPEC") for command in (CONSOLE_SCRIPT, [str(built / "source-waves")])]
    assert said[0] == said[1] != []
    assert [stream.id.name for stream in discover(waves, {"points": 1}).streams] == ["wave"]
