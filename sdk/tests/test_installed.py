"""What is installed is looked up once, and again where something was installed meanwhile."""

from __future__ import annotations

import json
import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest
from dativo_sdk.host import EntryPoint, entry_points

GROUP = "dativo.readers"


def install(site: Path, name: str) -> None:
    info = site / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {name}:Reader\n")


def said(point: EntryPoint | metadata.EntryPoint) -> tuple[str, str, str, str]:
    assert point.dist is not None
    return point.name, point.value, point.module, point.dist.version


def test_it_says_what_the_standard_library_says() -> None:
    for group in (GROUP, "dativo.targets", "dativo.nobody.has.this"):
        theirs = metadata.entry_points(group=group)
        assert sorted(map(said, entry_points(group))) == sorted(map(said, theirs))
        assert {point.name: point.load() for point in entry_points(group)} == {point.name: point.load() for point in theirs}
    (found,) = entry_points("dativo.engines", "native")
    assert (found.package, found.dist.name) == ("dativo-engines", "dativo-engines")


def test_files_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    entry_points(GROUP)
    monkeypatch.setattr("dativo_sdk._installed._packages", lambda places: pytest.fail("it was asked again"))
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
    assert (found.value, found.package, found.dist.version) == ("zipped_reader:Reader", "zipped-reader", "1")


def test_the_package_of_a_plugin_has_its_normal_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "My_Own.reader")
    (found,) = entry_points(GROUP, "My_Own.reader")
    assert found.package == "my-own-reader"


def test_all_that_a_file_may_say_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "said-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: said\nVersion: 1\n")
    lines = [
        "[console_scripts]",
        "program = json:loads",
        f"[{GROUP}]",
        "# a remark",
        "",
        " spaced = json : JSONDecoder.decode [fast] ",
    ]
    (info / "entry_points.txt").write_text("\r\n".join([*lines, "[dativo.targets]", "other=json:dumps"]))
    monkeypatch.syspath_prepend(str(tmp_path))
    (found,) = entry_points(GROUP, "spaced")
    (theirs,) = metadata.entry_points(group=GROUP, name="spaced")
    assert said(found) == said(theirs)
    assert found.load() is theirs.load() is json.JSONDecoder.decode
    (other,) = entry_points("dativo.targets", "other")
    assert other.load() is json.dumps


def test_other_finders_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "found_elsewhere")
    elsewhere = list(metadata.distributions(path=[str(tmp_path)]))

    class Finder:
        @staticmethod
        def find_spec(*_: object) -> None:
            return None

        @staticmethod
        def find_distributions(_: object) -> list[metadata.Distribution]:
            return elsewhere

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    # What finders there are is looked at together with the path.
    monkeypatch.syspath_prepend(str(tmp_path / "nothing"))
    (found,) = entry_points(GROUP, "found_elsewhere")
    assert found.package == "found-elsewhere"
