"""Every command of `docs/sandbox.md` does what the page says."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dativo_engines import sandbox
from dativo_engines.sandbox import ImageStore
from dativo_engines.sandbox._platform import this_platform

from tests.images.build import loaded
from tests.project import Project

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (.+)$", PAGE, re.MULTILINE)
OURS, THEIRS = "dativo-test/source-faker:7.2.1", "airbyte/source-faker:7.2.1"


def run(command: str, folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ended = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def test_the_commands_run_in_order_on_a_machine_without_docker(
    image: Callable[[str], Path], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATIVO_CACHE", str(project.folder / "cache"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    archive = shutil.copyfile(image("faker"), project.folder / "source-faker.tar")
    with archive.open("r+b") as file:
        # The names come first, before anything that has a digest.
        start = file.read(1 << 14).replace(f'"{OURS}"'.encode(), f'"{THEIRS}"'.ljust(len(OURS) + 2).encode())
        file.seek(0)
        file.write(start)
    (job,) = re.findall(r"```yaml\n(# faker\.yaml\n.+?)```", PAGE, re.DOTALL)
    (project.folder / "faker.yaml").write_text(job)
    said = [run(command, project.folder) for command in COMMANDS if command.startswith("dativo ")]
    assert len(said) == 4
    assert "count" in said[0]
    assert said[3] == said[0]
    project.duckdb_path = project.folder / "out" / "faker.duckdb"
    assert project.rows("select count(*) from users") == [(100,)]


@pytest.mark.engine
def test_what_docker_save_writes_is_the_same_image(image: Callable[[str], Path], tmp_path: Path) -> None:
    docker = pytest.importorskip("docker")
    (command,) = [command for command in COMMANDS if command.startswith("docker ")]
    try:
        engine = docker.from_env()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker Engine: {error}")
    with contextlib.closing(engine):
        # A small one in place of the page's.
        hostile = loaded("hostile")
        engine.images.get(hostile.tag).tag(THEIRS)
        try:
            run(command, tmp_path)
        finally:
            engine.images.remove(THEIRS)
    with ImageStore(tmp_path).unpack(tmp_path / "source-faker.tar", this_platform()) as unpacked:
        assert (unpacked.info.digest, unpacked.info.names) == (hostile.id, (THEIRS,))


def test_every_error_of_the_page_is_one() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in Path(sandbox.__file__).parent.glob("*.py"))
    rows = [row for row in PAGE.split("## When it does not start")[1].splitlines() if row.startswith("| ")][1:]
    said = [re.split(r" … | `linux", row.split("|")[1].strip())[0] for row in rows]
    assert [words for words in said if words not in code] == []
