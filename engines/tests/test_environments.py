"""Environments are built once, whole or not at all, and shared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from dativo_engines import Connector, EngineOptions
from dativo_engines._installer import find_uv
from dativo_engines.environments import METADATA, EnvironmentStore
from dativo_engines.singer import SingerEngine
from dativo_protocols import ConfigError, ConnectorError

Wheel = Callable[..., None]

ENSURE = """
import sys
from pathlib import Path
from dativo_engines.environments import EnvironmentStore
with EnvironmentStore(Path(sys.argv[1]), lambda level, line: print(line, flush=True)).ensure(sys.argv[2]) as environment:
    print("program", environment.program(), flush=True)
"""


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheel:
    """Makes packages that the installer finds without a network."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, value in {"FIND_LINKS": str(folder), "NO_INDEX": "1"}.items():
        monkeypatch.setenv(f"UV_{name}", value)
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))

    def make(name: str, version: str, *, scripts: tuple[str, ...] = (), requires: str = "", code: str = "") -> None:
        module, info = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
        files = {
            f"{module}.py": code or f"def main():\n    print('{name} {version}')\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            + (f"Requires-Dist: {requires}\n" if requires else ""),
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/entry_points.txt": "[console_scripts]\n" + "".join(f"{script} = {module}:main\n" for script in scripts),
        }
        files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in files) + f"{info}/RECORD,,\n"
        with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as archive:
            for path, text in files.items():
                archive.writestr(path, text)

    return make


@pytest.fixture(params=["uv", "pip"])
def installer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pip":
        monkeypatch.setenv("DATIVO_UV", "")
    elif find_uv() is None:
        pytest.skip("no uv on this machine")
    return str(request.param)


def start(cache: Path, requirement: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", ENSURE, str(cache), requirement], stdout=subprocess.PIPE, text=True)


def test_a_package_is_installed_and_runs(wheel: Wheel, installer: str, tmp_path: Path) -> None:
    wheel("tap-tiny", "1.0", scripts=("tap-tiny", "other"), requires="dep-tiny")
    wheel("dep-tiny", "2.5")
    store = EnvironmentStore(tmp_path / "cache")
    with store.ensure("tap-tiny==1.0") as environment:
        assert subprocess.check_output([environment.program()], text=True) == "tap-tiny 1.0\n"
        assert environment.info.version == "1.0"
        assert {"tap-tiny==1.0", "dep-tiny==2.5"} <= set(environment.info.packages)
        assert environment.info.executables == ("other", "tap-tiny")
    assert store.list() == [environment.info]


def test_the_second_use_installs_nothing(wheel: Wheel, tmp_path: Path) -> None:
    wheel("tap-tiny", "1.0", scripts=("tap-tiny",))
    lines: list[str] = []
    store = EnvironmentStore(tmp_path / "cache", lambda _, line: lines.append(line))
    store.ensure("tap-tiny==1.0").close()
    assert lines
    lines.clear()
    store.ensure("tap-tiny==1.0").close()
    assert lines == []


def test_two_builds_at_once_make_one_environment(wheel: Wheel, tmp_path: Path) -> None:
    wheel("tap-tiny", "1.0", scripts=("tap-tiny",))
    both = [start(tmp_path / "cache", "tap-tiny==1.0") for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("installing" in output for output in outputs) == 1
    assert len({output.splitlines()[-1] for output in outputs}) == 1


def test_a_killed_build_leaves_nothing_half_made(wheel: Wheel, installer: str, tmp_path: Path) -> None:
    wheel("tap-tiny", "1.0", scripts=("tap-tiny",))
    for delay in (0.0, 0.1, 0.3, 1.0):
        with start(tmp_path / "cache", "tap-tiny==1.0") as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
    store = EnvironmentStore(tmp_path / "cache")
    with store.ensure("tap-tiny==1.0") as environment:
        assert subprocess.check_output([environment.program()], text=True) == "tap-tiny 1.0\n"


def test_an_interrupted_build_is_made_anew(wheel: Wheel, tmp_path: Path) -> None:
    wheel("tap-tiny", "1.0", scripts=("tap-tiny",))
    store = EnvironmentStore(tmp_path / "cache")
    with store.ensure("tap-tiny==1.0") as environment:
        path = environment.info.path
    (path / METADATA).unlink()
    (path / "bin" / "tap-tiny").unlink()
    assert store.list() == []
    with store.ensure("tap-tiny==1.0") as environment:
        assert os.access(environment.program(), os.X_OK)


def test_pins_make_another_environment(wheel: Wheel, tmp_path: Path) -> None:
    wheel("tap-tiny", "1.0", scripts=("tap-tiny",), requires="dep-tiny")
    wheel("dep-tiny", "1.0")
    wheel("dep-tiny", "2.0")
    store = EnvironmentStore(tmp_path / "cache")
    with store.ensure("tap-tiny==1.0") as newest, store.ensure("tap-tiny==1.0", ["dep-tiny<2"]) as pinned:
        assert "dep-tiny==2.0" in newest.info.packages
        assert "dep-tiny==1.0" in pinned.info.packages
        assert newest.info.path != pinned.info.path


def test_a_fallback_to_an_older_version_is_told(wheel: Wheel, tmp_path: Path) -> None:
    if find_uv() is None:
        pytest.skip("only uv can tell")
    wheel("tap-tiny", "1.0", scripts=("tap-tiny",))
    wheel("tap-tiny", "2.0", scripts=("tap-tiny",), requires="no-such-thing>=9")
    lines: list[tuple[str, str]] = []
    with EnvironmentStore(tmp_path / "cache", lambda *line: lines.append(line)).ensure("tap-tiny>=1") as environment:
        assert environment.info.version == "1.0"
    assert [line for level, line in lines if level == "warning"] == [
        "tap-tiny>=1 gave tap-tiny 1.0: 2.0 does not fit here; pin a version"
    ]


def test_environments_in_use_stay(wheel: Wheel, tmp_path: Path) -> None:
    wheel("tap-tiny", "1.0", scripts=("tap-tiny",))
    store = EnvironmentStore(tmp_path / "cache")
    with store.ensure("tap-tiny==1.0"), pytest.raises(ConfigError, match="is in use"):
        store.remove("tap-tiny")
    [removed] = store.remove("Tap_Tiny")
    assert not removed.path.exists()
    assert store.list() == []


def test_removing_what_is_not_there_lists_what_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no environment `x`") as caught:
        EnvironmentStore(tmp_path).remove("x")
    assert "there are: none" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        ("tap-nowhere==1", "there is no such package"),
        ("tap-tiny==9", "tap-tiny==9"),
        ("./folder", "not a requirement"),
        ("tap-tiny@1.0", "names no address after `@`"),
    ],
)
def test_what_cannot_be_installed_says_why(requirement: str, message: str, wheel: Wheel, installer: str, tmp_path: Path) -> None:
    wheel("tap-tiny", "1.0")
    with pytest.raises(ConfigError, match=message):
        EnvironmentStore(tmp_path / "cache").ensure(requirement)
    assert list((tmp_path / "cache").glob("envs/*/")) == []


def test_an_index_that_cannot_be_reached_can_be_tried_again(
    installer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for prefix in ("UV", "PIP"):
        monkeypatch.setenv(f"{prefix}_INDEX_URL", "http://user:hunter22@127.0.0.1:9/simple")
        monkeypatch.setenv(f"{prefix}_NO_CACHE", "1")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(ConnectorError, match="the package index cannot be reached") as caught:
        EnvironmentStore(tmp_path / "cache").ensure("tap-tiny==1")
    assert caught.value.retryable
    assert "hunter22" not in str(caught.value.facts)


def test_the_only_program_is_the_connector(wheel: Wheel, tmp_path: Path) -> None:
    wheel("acme-tap-tiny", "1.0", scripts=("tap-tiny",))
    wheel("tap-many", "1.0", scripts=("one", "two"))
    store = EnvironmentStore(tmp_path / "cache")
    with store.ensure("acme-tap-tiny==1.0") as environment:
        assert Path(environment.program()).name == "tap-tiny"
    with store.ensure("tap-many==1.0") as environment:
        assert Path(environment.program("two")).name == "two"
        with pytest.raises(ConfigError, match="cannot tell which program") as caught:
            environment.program()
    assert "`one`, `two`" in (caught.value.hint or "")


def test_credentials_in_a_requirement_are_kept_nowhere(wheel: Wheel, tmp_path: Path) -> None:
    lines: list[str] = []
    store = EnvironmentStore(tmp_path / "cache", lambda _, line: lines.append(line))
    with pytest.raises((ConfigError, ConnectorError)) as caught:
        store.ensure("tap-tiny @ https://joe:hunter22@127.0.0.1:9/tap_tiny-1.0-py3-none-any.whl")
    assert "hunter22" not in f"{caught.value} {caught.value.facts} {lines}"


@pytest.mark.network
def test_an_old_tap_gets_the_setuptools_it_needs(tmp_path: Path) -> None:
    connector = Connector("singer:x", package="pipelinewise-tap-postgres==1.8.4")
    engine = SingerEngine(connector, EngineOptions(tmp_path / "cache", tmp_dir=tmp_path / "private"))
    status = engine.check({"host": "127.0.0.1", "port": 1, "user": "u", "password": "hunter22", "dbname": "x"})
    assert "psycopg2.OperationalError" in status.message
