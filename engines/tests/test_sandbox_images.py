"""Images from archives of every kind: unpacked once, verified, by two at a time, and never half."""

from __future__ import annotations

import gzip
import hashlib
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dativo_engines.sandbox import ImageStore
from dativo_engines.sandbox._blobs import zstd_module
from dativo_engines.sandbox._platform import this_platform
from dativo_protocols import ConfigError, DativoError, SandboxError

from .sandbox_archives import ImageFiles, digest, file, gzipped, layer, link, write_directory, write_tar

HELLO = [layer(file("etc/passwd", "root:x:0:0::/root:/bin/sh\n"), file("a", "1")), layer(file("a", "2"), file("b", "3"))]


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "cache")


def unpack(store: ImageStore, path: Path, platform: str | None = None) -> dict[str, str]:
    """The files of the image's root."""
    with store.unpack(path, platform or this_platform()) as image:
        root = image.info.root
        return {str(path.relative_to(root)): path.read_text() for path in root.rglob("[ab]") if path.is_file()}


def zstandard(data: bytes) -> bytes:
    # Two frames, as parallel compressors write.
    compress = zstd_module().compress
    return bytes(compress(data[:700]) + compress(data[700:]))


@pytest.mark.parametrize("compress", [lambda data: data, gzipped, zstandard], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("write", [write_tar, write_directory])
def test_an_oci_layout(store: ImageStore, tmp_path: Path, write: Callable[..., Path], compress: Callable[[bytes], bytes]) -> None:
    path = write(tmp_path / "image", ImageFiles(HELLO, compress=compress).oci())
    assert unpack(store, path) == {"a": "2", "b": "3"}


@pytest.mark.parametrize("compress", [lambda data: data, gzip.compress, zstandard], ids=["plain", "gzip", "zstd"])
def test_what_docker_save_wrote_also_compressed_whole(
    store: ImageStore, tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    path = write_tar(tmp_path / "image.tar", ImageFiles(HELLO, names=["a/b:1"]).saved())
    path.write_bytes(compress(path.read_bytes()))
    assert unpack(store, path) == {"a": "2", "b": "3"}


def test_a_layer_that_docker_save_wrote_as_a_link_to_another(store: ImageStore, tmp_path: Path) -> None:
    files = ImageFiles([HELLO[0], HELLO[0]]).saved()
    name = next(name for name in files if name.endswith("layer.tar"))
    entries = [file(known, data) for known, data in files.items() if known != name]
    (tmp_path / "i.tar").write_bytes(layer(*entries, link(name, "../other/layer.tar"), file("other/layer.tar", HELLO[0])))
    assert unpack(store, tmp_path / "i.tar") == {"a": "1"}


def test_both_forms_of_an_image_are_one(store: ImageStore, tmp_path: Path) -> None:
    image = ImageFiles(HELLO)
    first = store.unpack(write_tar(tmp_path / "a.tar", image.oci()), this_platform())
    made = first.info.root.stat().st_ino
    again = store.unpack(write_tar(tmp_path / "b.tar", image.saved()), this_platform())
    assert (again.info.digest, again.info.root.stat().st_ino, len(store.list())) == (image.config, made, 1)


def test_it_is_found_again_by_its_names_and_its_digest(store: ImageStore, tmp_path: Path) -> None:
    image = ImageFiles(HELLO, names=["airbyte/source-x:1"])
    assert store.find("airbyte/source-x:1") is None
    store.unpack(write_tar(tmp_path / "a.tar", image.oci()), this_platform(), name="mine").close()
    names = ["airbyte/source-x:1", "docker.io/airbyte/source-x:1", "mine", "docker.io/library/mine:latest", image.config]
    found = [store.find(name) for name in names]
    assert [one.info.digest for one in found if one] == [image.config] * len(names)
    assert (store.find("airbyte/source-x"), store.find("quay.io/airbyte/source-x:1"), store.find("sha256:../x")) == (None,) * 3


def test_an_archive_is_read_once(store: ImageStore, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", ImageFiles(HELLO).oci())
    unpack(store, path)
    found = path.stat()
    path.write_bytes(b"x" * found.st_size)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert unpack(store, path) == {"a": "2", "b": "3"}
    os.utime(path)
    with pytest.raises(ConfigError, match="no archive of an image"):
        unpack(store, path)


def test_the_image_for_this_platform_is_chosen(store: ImageStore, tmp_path: Path) -> None:
    here = ImageFiles(HELLO)
    other = ImageFiles(HELLO[:1], platform="linux/s390x")
    index = here.add_json({"manifests": [other.descriptor(), here.descriptor()]})
    noise = {"digest": digest(b"signature"), "platform": {"os": "unknown", "architecture": "unknown"}}
    files = {**other.oci(), **here.oci([{"digest": index}, noise])}
    assert unpack(store, write_tar(tmp_path / "a.tar", files)) == {"a": "2", "b": "3"}


def test_a_missing_platform_names_those_that_are_there(store: ImageStore, tmp_path: Path) -> None:
    image = ImageFiles(HELLO, platform="linux/s390x")
    path = write_tar(
        tmp_path / "a.tar",
        image.oci([image.descriptor(), {**image.descriptor(), "platform": {"os": "windows", "architecture": "amd64"}}]),
    )
    with pytest.raises(ConfigError, match="has no image for `linux/") as caught:
        unpack(store, path)
    assert caught.value.hint == "it has: `linux/s390x`, `windows/amd64`"


@pytest.mark.parametrize("form", ["oci", "saved"])
def test_an_image_for_another_processor_says_so(store: ImageStore, tmp_path: Path, form: str) -> None:
    image = ImageFiles(HELLO, platform="linux/s390x")
    files = image.saved() if form == "saved" else image.oci([{"digest": image.manifest}])
    with pytest.raises(ConfigError, match="is an image for `linux/s390x`, and this machine is"):
        unpack(store, write_tar(tmp_path / "a.tar", files))


@pytest.mark.parametrize(
    ("form", "which"), [("oci", "layers"), ("oci", "config"), ("oci", "manifest"), ("saved", "layers"), ("saved", "config")]
)
def test_a_changed_byte_is_noticed(store: ImageStore, tmp_path: Path, form: str, which: str) -> None:
    image = ImageFiles(HELLO, {"Note": "changed"}, compress=gzipped if form == "oci" else lambda data: data)
    files = image.oci() if form == "oci" else image.saved()
    good = image.blobs[image.layers[1] if which == "layers" else getattr(image, which)]
    for name in [name for name, data in files.items() if data == good]:
        files[name] = good[:-9] + bytes([good[-9] ^ 1]) + good[-8:]
    with pytest.raises(DativoError) as caught:
        unpack(store, write_tar(tmp_path / "a.tar", files))
    assert isinstance(caught.value, SandboxError) or "damaged" in caught.value.message
    assert (store.list(), list((tmp_path / "cache/images").glob("sha256-*[!k]"))) == ([], [])


def test_a_layer_that_is_not_what_the_configuration_says_is_refused(store: ImageStore, tmp_path: Path) -> None:
    image = ImageFiles(HELLO, compress=gzipped)
    evil = image.add(gzipped(layer(file("a", "evil"))))
    manifest = {"config": {"digest": image.config}, "layers": [{"digest": image.layers[0]}, {"digest": evil}]}
    with pytest.raises(SandboxError, match="does not have the digest"):
        unpack(store, write_tar(tmp_path / "a.tar", image.oci([{"digest": image.add_json(manifest)}])))


def test_a_hostile_layer_leaves_nothing_behind(store: ImageStore, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", ImageFiles([*HELLO, layer(file("../../../../escaped", "x"))]).oci())
    with pytest.raises(SandboxError, match="outside its root"):
        unpack(store, path)
    assert (list(tmp_path.rglob("escaped")), list((tmp_path / "cache/images").glob("sha256-*[!k]"))) == ([], [])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"readme": b"x"}, "no archive of an image"),
        ({"manifest.json": b"[]"}, "no archive of an image"),
        ({"manifest.json": b"{"}, "is no JSON"),
        ({"oci-layout": b"{}", "index.json": b'{"manifests": []}'}, "has no image for"),
        ({"oci-layout": b"{}", "index.json": b'{"manifests": [{"digest": "sha256:../../etc/passwd"}]}'}, "a digest that is none"),
        ({"oci-layout": b"{}", "index.json": b'{"manifests": [{"digest": "sha256:' + b"0" * 64 + b'"}]}'}, "lacks the blob"),
        ({"manifest.json": b'[{"Config": "../' + b"0" * 64 + b'.json"}]'}, "outside itself"),
        ({"manifest.json": b'[{"RepoTags": ["a:1"]}, {"RepoTags": ["b:1"]}]'}, "several images: `a:1`, `b:1`"),
    ],
)
def test_what_is_no_image_says_so(store: ImageStore, tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(DativoError, match=message):
        unpack(store, write_tar(tmp_path / "a.tar", files))


def test_a_missing_file_and_a_missing_layer_say_so(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot open the image"):
        unpack(store, tmp_path / "none.tar")
    image = ImageFiles(HELLO)
    del image.blobs[image.layers[1]]
    with pytest.raises(ConfigError, match="lacks the layer"):
        unpack(store, write_tar(tmp_path / "a.tar", image.oci()))


def test_a_cut_archive_says_so(store: ImageStore, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", ImageFiles([layer(file("a", "x" * 100_000))]).oci())
    path.write_bytes(gzip.compress(path.read_bytes())[:-100])
    with pytest.raises(ConfigError, match="damaged"):
        unpack(store, path)


def test_mount_points_are_there_whatever_the_image_had(store: ImageStore, tmp_path: Path) -> None:
    odd = layer(
        link("tmp", "/etc"), file("dev", "x"), link("etc/resolv.conf", "../../../../../etc/passwd"), link("etc/hosts", ".")
    )
    with store.unpack(write_tar(tmp_path / "a.tar", ImageFiles([odd]).oci()), this_platform()) as image:
        root = image.info.root
        assert all(stat.S_ISDIR((root / name).lstat().st_mode) for name in ("tmp", "dev", "proc", "dativo"))
        assert [(root / "etc" / name).lstat().st_size for name in ("resolv.conf", "hosts")] == [0, 0]


def test_a_full_disk_is_temporary(tmp_path: Path) -> None:
    if os.geteuid() != 0 or subprocess.run(["mount", "--version"], capture_output=True).returncode:
        pytest.skip("needs root to mount a small disk")
    path = write_tar(tmp_path / "a.tar", ImageFiles([layer(file("a", os.urandom(1 << 21)))]).oci())
    (tmp_path / "small").mkdir()
    code = f"""
import ctypes, pathlib
from dativo_engines.sandbox import ImageStore
libc = ctypes.CDLL(None)
assert libc.unshare(0x20000) == 0 and libc.mount(b"none", b"/", None, 0x44000, None) == 0
assert libc.mount(b"x", {str(tmp_path / "small").encode()!r}, b"tmpfs", 0, b"size=1m") == 0
store = ImageStore(pathlib.Path({str(tmp_path / "small")!r}))
try:
    store.unpack(pathlib.Path({str(path)!r}), {this_platform()!r})
except Exception as error:
    print(type(error).__name__, error.retryable, error.message, [p.name for p in store._root.iterdir() if p.suffix != ".lock"])
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.stdout.startswith("ConnectorError True cannot unpack the image"), said
    assert said.stdout.rstrip().endswith("No space left on device []")


def _unpack_in_process(cache: str, path: str, results: Any) -> None:
    lines: list[str] = []
    with ImageStore(Path(cache), lambda level, line: lines.append(line)).unpack(Path(path), this_platform()) as image:
        content = hashlib.sha256((image.info.root / "big").read_bytes()).hexdigest()
    results.put((content, any(line.startswith("unpacked") for line in lines)))


def test_two_at_once_unpack_once(tmp_path: Path) -> None:
    data = os.urandom(8 << 20)
    path = write_tar(tmp_path / "a.tar", ImageFiles([layer(file("big", data))], compress=gzipped).oci())
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    arguments = (str(tmp_path / "cache"), str(path), results)
    processes = [context.Process(target=_unpack_in_process, args=arguments) for _ in range(3)]
    [process.start() for process in processes]
    found = [results.get(timeout=60) for _ in processes]
    [process.join() for process in processes]
    assert sorted(found) == [(hashlib.sha256(data).hexdigest(), False)] * 2 + [(hashlib.sha256(data).hexdigest(), True)]


def test_a_killed_unpack_is_not_taken_for_whole(store: ImageStore, tmp_path: Path) -> None:
    entries = [file(f"f{number}", os.urandom(1000)) for number in range(8_000)]
    path = write_tar(tmp_path / "a.tar", ImageFiles([layer(*entries)]).oci())
    code = (
        "import sys, pathlib\nfrom dativo_engines.sandbox import ImageStore\n"
        f"ImageStore(pathlib.Path({str(tmp_path / 'cache')!r})).unpack(pathlib.Path({str(path)!r}), {this_platform()!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    while not list((tmp_path / "cache").glob("images/*.new/root/f2000")):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (store.list(), len(list((tmp_path / "cache").glob("images/*.new")))) == ([], 1)
    with store.unpack(path, this_platform()) as image:
        assert len(list(image.info.root.glob("f*"))) == 8_000
    assert list((tmp_path / "cache").glob("images/*.new")) == []


def test_an_image_in_use_is_not_removed(store: ImageStore, tmp_path: Path) -> None:
    image = ImageFiles(HELLO, names=["a/b:1"])
    used = store.unpack(write_tar(tmp_path / "a.tar", image.oci()), this_platform())
    with pytest.raises(ConfigError, match="is in use"):
        store.remove("a/b:1")
    used.close()
    assert [info.digest for info in store.remove("a/b:1")] == [image.config]
    assert (store.list(), store.find("a/b:1")) == ([], None)
    with pytest.raises(ConfigError, match="no unpacked image `a/b:1`"):
        store.remove("a/b:1")


def test_a_cache_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot make the cache"):
        unpack(ImageStore(tmp_path / "file"), write_tar(tmp_path / "a.tar", ImageFiles(HELLO).oci()))
