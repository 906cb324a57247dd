"""`dativo doctor`."""

from __future__ import annotations

import json
import shutil
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import dativo_engines.plugins
import dativo_engines.sandbox
import pytest
from dativo_engines.plugins import Means, means
from dativo_protocols import SandboxError

from dativo._doctor import Finding, examine

TOPICS = ["dativo", "sandbox", "docker", "engines", "targets", "disk"]


def found(topic: str, name: str) -> Finding:
    return next(each for each in examine() if (each.topic, each.name) == (topic, name))


def test_it_says_what_is_there(project):
    ran = project.dativo("doctor", "--json")

    said = json.loads(ran.out)
    assert (ran.code, said["broken"]) == (0, 0)
    assert [each for each in dict.fromkeys(one["topic"] for one in said["findings"]) if each != "plugins"] == TOPICS
    by_name = {one["name"]: one for one in said["findings"]}
    assert by_name["dativo"]["found"] == metadata.version("dativo")
    assert by_name["Python"]["found"].endswith("<python>")
    assert by_name["level"]["found"].startswith(f"`{means().strongest}`")
    assert {"airbyte", "singer", "duckdb", "parquet", "cache", "state"} <= set(by_name)
    assert not (project.folder / ".dativo").exists()


def test_a_person_gets_a_table_and_what_to_do(project):
    ran = project.dativo("doctor")

    first, *lines = ran.out.splitlines()
    assert first.split() == ["topic", "what", "state", "found"]
    states = {tuple(line.split()[:2]): line for line in lines}
    assert " ok " in states["disk", "cache"]
    hinted = [line for line in lines if "  weak  " in line or "  absent  " in line]
    assert len(ran.err.splitlines()) == len(hinted)


def test_what_must_be_mended_is_exit_code_2(project):
    project.environment["DATIVO_CACHE"] = "/dev/null/cache"
    ran = project.dativo("doctor", "--json")

    assert (ran.code, json.loads(ran.out)["broken"]) == (2, 1)
    (broken,) = [one for one in json.loads(ran.out)["findings"] if one["state"] == "broken"]
    assert (broken["name"], broken["hint"]) == ("cache", "set `DATIVO_CACHE`")


def test_it_says_why_the_sandbox_is_not_stronger(monkeypatch):
    missing = {"bwrap": SandboxError("there is no `bwrap`", hint="install it")}
    monkeypatch.setattr(dativo_engines.plugins, "means", lambda: Means(None, 4, True, missing))

    level = found("sandbox", "level")
    assert (level.state, level.found, level.hint) == ("weak", "`landlock`, not `strict`: there is no `bwrap`", "install it")
    assert found("sandbox", "bubblewrap, user namespaces").state == "weak"
    assert found("sandbox", "Landlock").found == "version 4"


def test_limits_that_cannot_hold_together_are_said(monkeypatch):
    monkeypatch.setattr(dativo_engines.sandbox, "held_controllers", lambda: {"pids"})

    groups = found("sandbox", "control groups")
    assert (groups.state, groups.found) == ("weak", "only pids can be limited together: other limits hold for each process")


def test_no_engine_of_docker_is_no_fault(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")

    docker = found("docker", "Docker Engine")
    assert (docker.state, docker.found) == ("absent", "there is no Docker Engine: `unix:///nowhere.sock` does not exist")


def test_a_full_disk_is_broken(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(1 << 20))

    assert found("disk", "cache").state == "broken"


def test_packages_of_different_versions_are_broken(monkeypatch):
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "9.9" if name == "dativo-engines" else real(name))

    engines = found("dativo", "dativo-engines")
    assert (engines.state, engines.found) == ("broken", "9.9")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two readers of other packages; to import one is an error."""
    for name, version in (("fitting", "1.0"), ("newer", "1.99")):
        package, about = tmp_path / name, tmp_path / f"{name}-3.2.dist-info"
        package.mkdir()
        about.mkdir()
        (package / "__init__.py").write_text("raise SystemExit('imported')\n")
        manifest = f"name: {name}\nversion: '3.2'\napi_version: '{version}'\nentry: {name}:Reader\n"
        (package / "dativo-plugin.yaml").write_text(manifest)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 3.2\n")
        (about / "entry_points.txt").write_text(f"[dativo.readers]\n{name} = {name}:Reader\n")
        (about / "RECORD").write_text(f"{name}/__init__.py,,\n{name}/dativo-plugin.yaml,,\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])


def test_plugins_are_told_with_their_api_version_and_not_imported(installed):
    plugins = {each.name: each for each in examine() if each.topic == "plugins"}

    assert (plugins["fitting"].state, plugins["fitting"].found) == ("ok", "reader, version 3.2, for API version 1.0")
    assert (plugins["newer"].state, plugins["newer"].found) == ("weak", "reader, version 3.2, for API version 1.99: refused")
    assert "update Dativo" in (plugins["newer"].hint or "")
    assert {"fitting", "newer"}.isdisjoint(sys.modules)
