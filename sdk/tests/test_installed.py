"""What is installed is looked up once, and again where something was installed meanwhile."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
from dativo_sdk.host import entry_points

GROUP = "dativo.readers"


def install(site: Path, name: str) -> None:
    info = site / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {name}:Reader\n")


def test_it_says_what_the_standard_library_says() -> None:
    for group in (GROUP, "dativo.targets", "nobody.has.this"):
        assert list(entry_points(group)) == list(metadata.entry_points(group=group))
    (found,) = entry_points("dativo.engines", "native")
    assert found.dist is not None
    assert found.dist.name == "dativo-engines"


def test_files_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    entry_points(GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda: pytest.fail("it was asked again"))
    assert not list(entry_points(GROUP, "nobody-has-this"))


def test_what_is_installed_meanwhile_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not list(entry_points(GROUP, "late"))
    install(tmp_path, "late")
    (found,) = entry_points(GROUP, "late")
    assert found.value == "late:Reader"
    monkeypatch.undo()
    assert not list(entry_points(GROUP, "late"))
