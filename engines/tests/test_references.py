"""References name an engine, and a program, package, image or manifest."""

from __future__ import annotations

from pathlib import Path

import pytest
from dativo_engines import is_reference, load_engine, parse_reference
from dativo_engines.singer import SingerEngine
from dativo_protocols import ConfigError


@pytest.mark.parametrize(
    ("reference", "executable", "package"),
    [
        ("singer:tap-jsonl", "tap-jsonl", None),
        ("singer:/opt/my tap", "/opt/my tap", None),
        ("singer:./tap.sh", "./tap.sh", None),
        ("singer:tap-jsonl==0.3.1", None, "tap-jsonl==0.3.1"),
        ("singer:tap-x[s3]>=1,<2", None, "tap-x[s3]>=1,<2"),
        ("singer:tap_x @ git+https://host/x", None, "tap_x @ git+https://host/x"),
        ("singer:tap.x~=1.0", None, "tap.x~=1.0"),
    ],
)
def test_valid_forms(reference: str, executable: str | None, package: str | None) -> None:
    engine, connector = parse_reference(reference)
    assert engine == "singer"
    assert (connector.executable, connector.package) == (executable, package)
    assert connector.reference == reference


@pytest.mark.parametrize("reference", ["tap-jsonl", "singer:", "Singer:x", "singer:tap jsonl", ":x", "singer:tap;rm"])
def test_other_forms_are_refused_with_the_valid_ones(reference: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_reference(reference)
    assert "singer:tap-name==1.2.3" in (caught.value.hint or "")


def test_references_differ_from_recipes() -> None:
    assert is_reference("singer:x")
    assert not any(map(is_reference, ["faker", "connectors/faker.yaml", "./x.yaml", "https://host/x.yaml"]))


def test_engines_load_by_name() -> None:
    assert load_engine("singer") is SingerEngine


def test_unknown_engine_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match="no engine `warp`") as caught:
        load_engine("warp")
    assert "`singer`" in (caught.value.hint or "")


DIGEST = "sha256:" + "0f" * 32


@pytest.mark.parametrize(
    ("rest", "form"),
    [
        ("airbyte-source-faker==7.2.1", "package"),
        ("airbyte-source-x[s3]~=1.0", "package"),
        ("airbyte-source-x @ git+https://host/x", "package"),
        ("airbyte/source-faker", "image"),
        ("airbyte/source-faker:7.2.1", "image"),
        ("source-faker:7.2.1", "image"),
        ("localhost:5000/source-faker:dev", "image"),
        (f"source-faker@{DIGEST}", "image"),
        (f"ghcr.io/me/source_faker:1@{DIGEST}", "image"),
        ("source-faker", "executable"),
        ("./source-faker", "executable"),
        ("../bin/source", "executable"),
        ("/opt/my source", "executable"),
    ],
)
def test_forms_of_airbyte_sources(rest: str, form: str) -> None:
    engine, connector = parse_reference(f"airbyte:{rest}")
    assert engine == "airbyte"
    assert {name: getattr(connector, name) for name in ("package", "image", "executable", "manifest")} == {
        **dict.fromkeys(("package", "image", "executable", "manifest")),
        form: rest,
    }
    assert connector.runtime == "docker"


def test_a_manifest_is_known_by_its_name() -> None:
    _, connector = parse_reference("airbyte:./sources/pokeapi.yaml")
    assert connector.manifest == Path("sources/pokeapi.yaml").absolute()


@pytest.mark.parametrize("name", ["image.tar", "layout"])
def test_an_image_in_files_runs_in_the_sandbox(name: str, tmp_path: Path) -> None:
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout" / "oci-layout").write_text("{}")
    _, connector = parse_reference(f"airbyte:{tmp_path / name}")
    assert (connector.image, connector.runtime) == (str(tmp_path / name), "sandbox")


@pytest.mark.parametrize("rest", ["Airbyte/Source", "source faker", "x/y z", "source;rm"])
def test_what_is_no_airbyte_source_is_refused_with_the_valid_forms(rest: str) -> None:
    with pytest.raises(ConfigError, match="no package, image, manifest or program") as caught:
        parse_reference(f"airbyte:{rest}")
    assert "`airbyte:airbyte-source-name==1.2.3` (a package" in (caught.value.hint or "")
