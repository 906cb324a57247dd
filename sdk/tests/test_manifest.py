"""What plugins say of themselves."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from dativo_protocols import ConfigError
from dativo_sdk.manifest import Manifest, Permissions

WHOLE = """\
name: weather
version: 2.1.0
api_version: "1.0"
kind: reader
entry: weather.py:Weather
language: python
description: Weather of yesterday
license: Apache-2.0
permissions:
  network: [api.weather.example, "db.example:5432"]
  read: ["${config.folder}", "/etc/weather/${config.names}.ini"]
  environment: [LANG]
  secrets: [token]
  memory: 512 MiB
  processes: 4
"""


def test_a_file_says_all_there_is_to_say(tmp_path: Path) -> None:
    (tmp_path / "dativo-plugin.yaml").write_text(WHOLE)
    found = Manifest.load(tmp_path / "dativo-plugin.yaml")
    assert (found.name, found.version, found.kind, found.entry) == ("weather", "2.1.0", "reader", "weather.py:Weather")
    assert found.permissions.network == ("api.weather.example", "db.example:5432")
    assert found.permissions.memory == 512 * 1024**2
    assert found.root == tmp_path
    assert found.compatible() is None


def test_what_is_not_declared_is_not_permitted() -> None:
    assert Permissions() == Permissions(network=(), read=(), write=(), environment=(), secrets=())
    assert Permissions(memory="2GB").memory == 2_000_000_000  # type: ignore[arg-type]


def test_settings_are_put_where_permissions_name_them() -> None:
    said = Permissions(read=("${config.folder}", "/etc/${config.names}.ini", "/always"), network=("${config.db.host}:5432",))
    config = {"names": ["a", "b"], "db": {"host": "db.example"}}
    found = said.resolved(config)
    assert found.read == ("/etc/a.ini", "/etc/b.ini", "/always")
    assert found.network == ("db.example:5432",)
    with pytest.raises(ConfigError, match=r"the setting `names` is no text"):
        said.resolved({"names": {"a": 1}})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name: x\nentry: y\npermissions: {netwrok: [a]}\n", "`permissions.netwrok`"),
        ("name: x\n", "`entry`: Field required"),
        ("name: x\nentry: y\npermissions: {memory: lots}\n", "a size is a number of bytes, or such as `512 MiB`"),
        ("name: x\nentry: y\nchecksums: {a: md5}\n", "a checksum is `sha256:` and 64 digits"),
        ("name: [\n", "is no YAML: line 2"),
        ("- name\n", "is no mapping"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "dativo-plugin.yaml").write_text(text)
    with pytest.raises(ConfigError, match="manifest") as caught:
        Manifest.load(tmp_path / "dativo-plugin.yaml")
    assert fault in caught.value.message


def test_a_project_inherits_what_it_says_already(tmp_path: Path) -> None:
    project = '[project]\nname = "weather"\nversion = "3"\nlicense = "MIT"\n[tool.dativo]\nentry = "weather:Weather"\n'
    (tmp_path / "pyproject.toml").write_text(project)
    (tmp_path / "src" / "weather").mkdir(parents=True)
    found = Manifest.beside(tmp_path / "src" / "weather" / "reader.py")
    assert found is not None
    assert (found.name, found.version, found.license, found.root) == ("weather", "3", "MIT", tmp_path)


def test_a_manifest_of_another_project_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "dativo-plugin.yaml").write_text(WHOLE)
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert Manifest.beside(inner / "reader.py") is None
    assert Manifest.beside(tmp_path / "reader.py") is not None


def test_what_lies_around_installed_packages_is_not_theirs(tmp_path: Path) -> None:
    (tmp_path / "dativo-plugin.yaml").write_text(WHOLE)
    package = tmp_path / "lib" / "site-packages" / "weather"
    package.mkdir(parents=True)
    assert Manifest.beside(package / "__init__.py") is None
    (package / "dativo-plugin.yaml").write_text(WHOLE)
    assert Manifest.beside(package / "__init__.py") is not None


def test_a_target_is_looked_up_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "weather_of_tests"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "reader.py").write_text("raise RuntimeError('imported')\n")
    (package / "dativo-plugin.yaml").write_text(WHOLE)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    for target in ("weather_of_tests.reader:Weather", f"{package}/reader.py:Weather", f"{package}/libweather.so"):
        found = Manifest.of_target(target)
        assert found is not None
        assert found.root == package
    assert Manifest.of_target("json:JSONDecoder") is None
    with pytest.raises(ConfigError, match="no module `weather_of_nobody`"):
        Manifest.of_target("weather_of_nobody:Weather")


def test_files_are_compared_with_their_checksums(tmp_path: Path) -> None:
    (tmp_path / "weather.py").write_text("class Weather: ...\n")
    digest = hashlib.sha256((tmp_path / "weather.py").read_bytes()).hexdigest()
    (tmp_path / "dativo-plugin.yaml").write_text(f"{WHOLE}checksums: {{weather.py: 'sha256:{digest}'}}\n")
    found = Manifest.load(tmp_path / "dativo-plugin.yaml")
    found.verify()
    (tmp_path / "weather.py").write_text("class Weather: pass\n")
    with pytest.raises(ConfigError, match=r"`weather\.py` is not the one that was published"):
        found.verify()


def test_a_checksum_reaches_no_file_outside(tmp_path: Path) -> None:
    outside = Manifest(name="x", entry="y", checksums={"../x": f"sha256:{'0' * 64}"}, root=tmp_path)
    with pytest.raises(ConfigError, match="outside of its folder"):
        outside.verify()


def installed(folder: Path, *, manifest: str | None = None) -> None:
    """A distribution as pip leaves it."""
    info = folder / "weather-2.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: weather\nVersion: 2.1.0\nSummary: Of yesterday\nLicense: MIT\n")
    (info / "entry_points.txt").write_text("[dativo.readers]\nweather-tests = weather:Weather\n")
    record = ["weather.py,,"]
    if manifest is not None:
        (folder / "dativo-plugin.yaml").write_text(manifest)
        record.append("dativo-plugin.yaml,,")
    (info / "RECORD").write_text("\n".join(record))


def test_an_installed_package_says_it_by_its_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    found = Manifest.installed("weather-tests")
    assert (found.name, found.version, found.entry, found.description, found.license) == (
        "weather-tests",
        "2.1.0",
        "weather:Weather",
        "Of yesterday",
        "MIT",
    )


def test_the_manifest_in_a_package_beats_its_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, manifest=WHOLE)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert Manifest.installed("weather-tests").permissions.secrets == ("token",)


def test_a_plugin_that_is_not_installed_is_named() -> None:
    with pytest.raises(ConfigError, match="there is no reader `no-such-reader`"):
        Manifest.installed("no-such-reader")
