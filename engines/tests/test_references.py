"""References name an engine and a program or a package."""

from __future__ import annotations

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
