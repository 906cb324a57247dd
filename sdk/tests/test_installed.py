"""What is installed is looked up once, and again where something was installed meanwhile."""

from __future__ import annotations

import shutil
from importlib import metadata
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from dativo_sdk.host import entry_points, package_of

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


def test_the_first_of_two_versions_counts_even_if_it_has_no_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    install(second, "twice")
    (first / "Twice-2.dist-info").mkdir()
    (first / "Twice-2.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: Twice\nVersion: 2\n")
    monkeypatch.syspath_prepend(str(second))
    assert len(list(entry_points(GROUP, "twice"))) == 1
    monkeypatch.syspath_prepend(str(first))
    assert not list(entry_points(GROUP, "twice"))
    assert not list(metadata.entry_points(group=GROUP, name="twice"))


def test_plugins_in_an_archive_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    install(packed, "zipped_reader")
    monkeypatch.syspath_prepend(shutil.make_archive(str(tmp_path / "plugins"), "zip", packed))
    (found,) = entry_points(GROUP, "zipped_reader")
    assert (found.value, package_of(found)) == ("zipped_reader:Reader", "zipped-reader")


def test_the_package_of_a_plugin_has_its_normal_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "My_Own.reader")
    (found,) = entry_points(GROUP, "My_Own.reader")
    assert package_of(found) == "my-own-reader"
    assert package_of(EntryPoint("a", "b:c", GROUP)) is None
