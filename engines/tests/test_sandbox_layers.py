"""What a layer may do to the layers below it, and never to anything else."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from dativo_engines.sandbox._layers import Skipped, apply_layer
from dativo_engines.sandbox._root import Root
from dativo_protocols import SandboxError

from .sandbox_archives import Entry, directory, file, hard_link, layer, link


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("the host's")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def lay(top: Path, *layers: list[Entry]) -> Skipped:
    root = Root(top)
    return [apply_layer(root, io.BytesIO(layer(*entries))) for entries in layers][-1]


def files(top: Path) -> list[str]:
    return sorted(str(path.relative_to(top)) for path in top.rglob("*") if not path.is_dir() or path.is_symlink())


def test_a_later_layer_replaces_files_and_keeps_the_rest(top: Path) -> None:
    lay(top, [file("./etc/a", "1"), file("etc/b", "1")], [file("etc/b", "2")])
    assert ((top / "etc/a").read_text(), (top / "etc/b").read_text()) == ("1", "2")


def test_a_whiteout_hides_a_file_or_a_whole_directory(top: Path) -> None:
    lay(top, [file("a/b/c"), file("a/d"), file("e")], [file("a/.wh.b"), file(".wh.e"), file(".wh.missing"), file("x/.wh.y")])
    assert files(top) == ["a/d"]


def test_a_whiteout_spares_what_its_own_layer_brings(top: Path) -> None:
    lay(top, [file("a/old")], [file("a/new"), file("a/.wh.new"), file("a/.wh.old")])
    assert files(top) == ["a/new"]


@pytest.mark.parametrize("last", [False, True])
def test_an_opaque_directory_hides_what_is_below_whatever_the_order(top: Path, last: bool) -> None:
    entries = [directory("a"), file("a/b/new"), file("a/.wh..wh..opq")]
    lay(top, [file("a/old"), file("a/b/old"), file("kept")], entries if last else [entries[2], *entries[:2]])
    assert files(top) == ["a/b/new", "kept"]


def test_notes_of_another_storage_driver_are_left_out(top: Path) -> None:
    lay(top, [directory(".wh..wh.plnk"), file(".wh..wh.aufs"), file("a")])
    assert os.listdir(top) == ["a"]


def test_a_file_takes_the_place_of_a_directory_and_the_other_way_round(top: Path) -> None:
    lay(top, [file("a/b"), file("c")], [file("a", "file"), directory("c"), file("c/d")])
    assert files(top) == ["a", "c/d"]


def test_files_below_a_linked_directory_land_where_the_link_leads_inside(top: Path) -> None:
    lay(top, [directory("usr/lib"), link("lib", "usr/lib"), link("abs", "/usr/lib")], [file("lib/a"), file("abs/b")])
    assert (files(top), (top / "lib").is_symlink()) == (["abs", "lib", "usr/lib/a", "usr/lib/b"], True)


@pytest.mark.parametrize("target", ["/", "../../../..", "/../..", "{host}", "/proc/self/root"])
def test_a_link_that_points_outside_leads_nowhere_else_than_inside(top: Path, target: str) -> None:
    target = target.format(host=top.parent)
    lay(top, [link("out", target)], [file("out/secret", "planted"), file("out/deep/er", "planted")])
    assert (top.parent / "secret").read_text() == "the host's"
    assert sorted(os.listdir(top.parent)) == ["root", "secret"]
    assert not Path("/secret").exists()


def test_links_through_links_do_not_lead_out(top: Path) -> None:
    lay(
        top, [directory("d"), link("d/up", ".."), link("d/out", "up/../../.."), link("e", "d/out")], [file("e/secret", "planted")]
    )
    assert ((top / "secret").read_text(), (top.parent / "secret").read_text()) == ("planted", "the host's")


@pytest.mark.parametrize("name", ["../secret", "a/../../secret", "..", "/../secret", "./../secret", "../.wh.secret"])
def test_a_name_outside_is_refused(top: Path, name: str) -> None:
    with pytest.raises(SandboxError, match="outside its root"):
        lay(top, [file(name, "planted")])
    assert (top.parent / "secret").read_text() == "the host's"


@pytest.mark.parametrize("name", [".wh...", ".wh..", "a/.wh..."])
def test_a_whiteout_of_the_directory_above_is_refused(top: Path, name: str) -> None:
    with pytest.raises(SandboxError, match="outside its root"):
        lay(top, [file("a/b")], [file(name)])
    assert top.parent.joinpath("secret").exists()


def test_a_whiteout_through_a_link_removes_inside_only(top: Path) -> None:
    lay(top, [link("out", ".."), file("secret", "the image's")], [file("out/.wh.secret")])
    assert (files(top), (top.parent / "secret").exists()) == (["out"], True)


def test_an_opaque_directory_behind_a_link_empties_nothing_outside(top: Path) -> None:
    lay(top, [link("out", str(top.parent))], [file("out/.wh..wh..opq")])
    assert (top.parent / "secret").exists()


@pytest.mark.parametrize("target", ["../secret", "/../secret", "a/../../secret"])
def test_a_hard_link_to_a_name_outside_is_refused(top: Path, target: str) -> None:
    with pytest.raises(SandboxError, match="outside its root"):
        lay(top, [hard_link("got", target)])
    assert not (top / "got").exists()


def test_a_hard_link_through_a_link_stays_inside(top: Path) -> None:
    with pytest.raises(SandboxError, match="does not have"):
        lay(top, [link("out", ".."), hard_link("got", "out/secret")])
    lay(top, [link("host", str(top.parent / "secret")), hard_link("copy", "host")])
    assert (top / "copy").is_symlink()


def test_hard_links_inside_share_their_file(top: Path) -> None:
    lay(top, [file("a", "x"), hard_link("b/c", "a"), hard_link("d", "/a")])
    assert ((top / "b/c").read_text(), (top / "a").stat().st_nlink) == ("x", 3)


def test_a_write_over_a_link_replaces_the_link(top: Path) -> None:
    lay(top, [link("a", str(top.parent / "secret"))], [file("a", "planted")])
    assert ((top / "a").read_text(), (top.parent / "secret").read_text()) == ("planted", "the host's")


def test_links_in_a_circle_are_refused(top: Path) -> None:
    with pytest.raises(SandboxError, match="in circles"):
        lay(top, [link("a", "b"), link("b", "a"), file("a/c")])


def test_files_below_a_file_are_refused(top: Path) -> None:
    with pytest.raises(SandboxError, match="not a directory"):
        lay(top, [file("a"), file("a/b")])


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_left_out(top: Path, kind: bytes) -> None:
    skipped = lay(top, [("dev/sda", {"type": kind}), file("a")])
    assert (files(top), skipped.devices) == (["a"], 1)


def test_nobody_runs_as_somebody_else(top: Path) -> None:
    skipped = lay(top, [file("bin/su", "x", mode=0o6755), file("dir/x", mode=0o1777)])
    assert (stat.S_IMODE((top / "bin/su").stat().st_mode), skipped.privileges) == (0o755, 1)


@pytest.mark.parametrize(("mode", "kept"), [(0o600, 0o644), (0o700, 0o755), (0o000, 0o644), (0o777, 0o755)])
def test_the_sandboxes_user_can_read_what_anybody_could(top: Path, mode: int, kept: int) -> None:
    lay(top, [file("a", mode=mode)])
    assert stat.S_IMODE((top / "a").stat().st_mode) == kept


def test_times_stay_so_that_compiled_python_is_valid(top: Path) -> None:
    lay(top, [directory("d"), file("d/a.py", mtime=1_234_567_890), file("old", mtime=-5)])
    assert ((top / "d/a.py").stat().st_mtime, (top / "d").stat().st_mtime) == (1_234_567_890, 1_000_000_000)


def test_an_empty_layer_changes_nothing(top: Path) -> None:
    lay(top, [file("a")], [])
    apply_layer(Root(top), io.BytesIO(b""))
    assert files(top) == ["a"]


def test_what_is_no_archive_is_refused(top: Path) -> None:
    with pytest.raises(SandboxError, match="no tar archive"):
        apply_layer(Root(top), io.BytesIO(b"x" * 2048))


def test_a_header_of_absurd_length_is_refused_before_it_is_read(top: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, (1 << 33) - 1
    with pytest.raises(SandboxError, match="absurd length"):
        apply_layer(Root(top), io.BytesIO(info.tobuf(tarfile.USTAR_FORMAT)))


def test_names_of_any_bytes_and_lengths(top: Path) -> None:
    odd = ["ü/ñ", "with\nnewline", "a" * 200 + "/" + "b" * 200, "-rf", "\udcff"]
    lay(top, [file(name, "x") for name in odd])
    assert files(top) == sorted(odd)
    assert all(os.path.lexists(top / name) for name in odd)
