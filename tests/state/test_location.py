"""Which store a project has, and that nobody gets to see its credentials."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from dativo_protocols import ConfigError

from dativo.state import Location
from dativo.state._location import find_location
from dativo.state._open import open_backend, open_store

SECRET = "hunter2hunter2"


def test_the_usual_place_is_the_projects_own(tmp_path: Path) -> None:
    assert find_location(tmp_path, {}) is None
    assert open_store(tmp_path).path == tmp_path / ".dativo" / "state.sqlite"


def test_the_project_file_names_a_place_and_the_environment_beats_it(tmp_path: Path) -> None:
    text = "state_backend:\n  uri: s3://bucket/${STAGE}\n  region: eu-north-1\n  allow_http: true\n  lease_seconds: 90\n"
    (tmp_path / "dativo.yaml").write_text(text)
    found = find_location(tmp_path, {"STAGE": "live"})
    assert (found.uri, found.lease_seconds) == ("s3://bucket/live", 90.0)
    assert found.options == {"region": "eu-north-1", "allow_http": "true"}
    other = find_location(tmp_path, {"DATIVO_STATE": "postgresql://db/x?schema=dativo"})
    assert (other.uri, other.options) == ("postgresql://db/x", {"schema": "dativo"})


def test_a_place_may_be_one_line(tmp_path: Path) -> None:
    (tmp_path / "dativo.yaml").write_text("state_backend: file:shared/state\n")
    assert find_location(tmp_path, {}).path == tmp_path / "shared" / "state"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:///srv/a%20b.sqlite", "/srv/a b.sqlite"),
        ("file:///srv/state", "/srv/state"),
        ("sqlite:x.sqlite", "here/x.sqlite"),
    ],
)
def test_paths_are_absolute_or_the_projects(uri: str, path: str) -> None:
    assert Location.parse(uri, project=Path("here")).path == Path(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("state_backend: {url: x}", "dativo.yaml:1: `state_backend`: it has no `uri`"),
        ("state: x", "dativo.yaml:1: `state`: there is no such setting"),
        ("state_backend: {uri: 's3://b', region: [1]}", "`state_backend.region`: it is not a text, a number or a boolean"),
        ("state_backend: nonsense", "the state backend is no URL"),
        ("- 1", "it is not a mapping"),
        ("state_backend: 's3://b?lease_seconds=no'", "`lease_seconds` is no number from 1 to 86400"),
        ("state_backend: 's3://b/${NOT_THERE}'", "environment variable `NOT_THERE` is not set"),
    ],
)
def test_what_is_wrong_in_the_project_file_is_said_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "dativo.yaml").write_text(text + "\n")
    with pytest.raises(ConfigError) as caught:
        find_location(tmp_path, {})
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("sqlit:x", "there is no state backend for `sqlit:`"),
        ("file://host/x", "`file://host/x` is no path"),
        (f"postgresql://u:{SECRET}@h/db?schema=a;b", "is no name of a schema"),
        (f"s3://u:{SECRET}@", "state store"),
        (f"s3://bucket?secret_access_key={SECRET}&no_such_option=1", "no_such_option"),
    ],
)
def test_a_wrong_place_is_an_error_without_a_secret(uri: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_backend(Location.parse(uri))
    assert message in caught.value.message
    assert SECRET not in f"{caught.value}{caught.value.facts}"


def test_what_is_no_url_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        Location.parse(SECRET)
    assert SECRET not in str(caught.value)


def test_a_location_shows_no_secret() -> None:
    location = Location.parse(f"postgresql://user:{SECRET}@host/db?sslmode=require")
    assert location.shown == "postgresql://host/db"
    assert SECRET not in repr(location)
    assert location.masked(f'connection "{SECRET}" failed') == 'connection "***" failed'


@pytest.mark.parametrize(("scheme", "package", "extra"), [("s3", "obstore", "s3"), ("postgresql", "psycopg", "postgres")])
def test_a_package_that_is_missing_is_named(scheme: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=f"needs `{package}`, which is not installed") as caught:
        open_backend(Location.parse(f"{scheme}://somewhere/x"))
    assert caught.value.hint == f"pip install 'dativo[{extra}]'"


def test_the_examples_of_the_documentation_are_places(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "state.md").read_text()
    examples = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        (tmp_path / "dativo.yaml").write_text(example)
        with open_store(tmp_path) as store:
            assert store.name.startswith(("s3://acme-dativo/", "postgresql://db.example.com/"))
    for uri in re.findall(r"`((?:sqlite|file|s3|gs|az|postgresql):[^ `]+)`", text):
        if not uri.startswith(("gs:", "az:")):
            open_backend(Location.parse(uri, project=tmp_path)).close()


def test_a_command_says_nothing_of_the_credentials(tmp_path: Path) -> None:
    from tests.project import DATIVO

    environment = os.environ | {"DATIVO_STATE": f"postgresql://tester:{SECRET}@127.0.0.1:1/db?connect_timeout=2"}
    for arguments in (("runs", "--verbose"), ("runs", "--json")):
        ended = subprocess.run([DATIVO, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert ended.returncode == 75, ended.stderr
        assert "cannot reach state store `postgresql://127.0.0.1:1/db`" in ended.stderr
        assert SECRET not in ended.stdout + ended.stderr
