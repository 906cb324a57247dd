"""Low-code manifests: read, refused, handed to their runner."""

from __future__ import annotations

import json
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from dativo_engines import Connector, EngineOptions
from dativo_engines.airbyte import AirbyteEngine
from dativo_engines.airbyte._manifest import Manifest, load_manifest, without_manifest
from dativo_protocols import ConfigError

MANIFEST = """\
    type: DeclarativeSource
    version: 6.5.2
    check: {type: CheckStream, stream_names: [things]}
    streams:
      - type: DeclarativeStream
        name: things
        since: 2024-01-01
    spec:
      type: Spec
      connection_specification: {type: object, properties: {key: {type: string, airbyte_secret: true}}}
"""
CUSTOM = MANIFEST + "    definitions:\n      auth: {type: CustomAuthenticator, class_name: source_x.components.Auth}\n"


def connector(tmp_path: Path, text: str = MANIFEST, *, allowed: bool = False) -> Connector:
    path = tmp_path / "manifest.yaml"
    path.write_text(textwrap.dedent(text))
    return Connector(f"airbyte:{path}", manifest=path, allow_custom_components=allowed)


def loaded(connector: Connector) -> Manifest:
    manifest = load_manifest(connector)
    assert manifest is not None
    return manifest


def test_it_travels_in_the_configuration_with_dates_as_text(tmp_path: Path) -> None:
    injected = loaded(connector(tmp_path)).inject({"key": "k"})
    assert set(injected) == {"key", "__injected_declarative_manifest"}
    assert json.loads(json.dumps(injected))["__injected_declarative_manifest"]["streams"][0]["since"] == "2024-01-01"
    assert without_manifest(injected) == {"key": "k"}


def test_it_is_run_by_the_package_that_reads_manifests(tmp_path: Path) -> None:
    known = connector(tmp_path)
    runner = loaded(known).runner(known)
    assert (runner.package, runner.executable) == ("airbyte-source-declarative-manifest==6.5.2", "source-declarative-manifest")
    image = replace(known, image="airbyte/source-declarative-manifest:6.5.2")
    assert loaded(known).runner(image) == image


@pytest.mark.parametrize(("version", "later"), [("6.5.2", False), ("0.29.0", False), ("6.36.3", True), ("7.0.0", True)])
def test_a_later_manifest_is_run_by_a_later_package(version: str, later: bool, tmp_path: Path) -> None:
    known = connector(tmp_path, MANIFEST.replace("6.5.2", version))
    runner = loaded(known).runner(known)
    assert (runner.package, runner.executable) == (
        "airbyte-cdk==7.39.1" if later else "airbyte-source-declarative-manifest==6.5.2",
        "source-declarative-manifest",
    )


def test_its_spec_is_its_own(tmp_path: Path) -> None:
    spec = AirbyteEngine(connector(tmp_path), EngineOptions(tmp_path / "cache")).spec()
    assert list(spec.config_schema["properties"]) == ["key"]


@pytest.mark.parametrize(
    "text", [CUSTOM, CUSTOM.replace("type: CustomAuthenticator, ", ""), CUSTOM.replace("class_name", "name")]
)
def test_python_classes_are_refused_unless_allowed(text: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"Python classes of its own: `(source_x.components.Auth|CustomAuthenticator)`"
    ) as caught:
        AirbyteEngine(connector(tmp_path, text), EngineOptions(tmp_path / "cache"))
    assert "allow_custom_components" in (caught.value.hint or "")
    assert loaded(connector(tmp_path, text, allowed=True)).components is None


def test_allowed_components_travel_with_it(tmp_path: Path) -> None:
    (tmp_path / "components.py").write_text("class Auth: ...\n")
    known = connector(tmp_path, CUSTOM, allowed=True)
    manifest = loaded(known)
    injected = manifest.inject({})
    assert injected["__injected_components_py"] == "class Auth: ...\n"
    assert len(injected["__injected_components_py_checksums"]["md5"]) == 32
    runner = manifest.runner(known)
    assert (runner.package, runner.environment) == ("airbyte-cdk==7.39.1", {"AIRBYTE_ENABLE_UNSAFE_CODE": "true"})
    assert without_manifest(injected) == {}


def test_components_beside_a_manifest_that_names_none_stay_out(tmp_path: Path) -> None:
    (tmp_path / "components.py").write_text("class Auth: ...\n")
    assert loaded(connector(tmp_path, allowed=True)).components is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{type: [", "is not YAML"),
        ("- 1", "no manifest of a low-code source"),
        ("type: Job", "no manifest of a low-code source"),
        ("type: DeclarativeSource", "has no streams"),
        ("type: !!python/object/apply:os.system [true]", "is not YAML"),
    ],
)
def test_other_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_manifest(connector(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read manifest `.*none.yaml`: No such file"):
        load_manifest(Connector("airbyte:none.yaml", manifest=tmp_path / "none.yaml"))
