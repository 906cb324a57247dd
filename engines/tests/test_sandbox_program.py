"""What an image says about how to run it, and what the kernel says when it cannot be run."""

from __future__ import annotations

import errno
import struct
from pathlib import Path
from typing import Any

import pytest
from dativo_engines.sandbox._bubblewrap import find_bubblewrap, setup_failure
from dativo_engines.sandbox._platform import this_platform, wanted_platform
from dativo_engines.sandbox._program import ImageProgram, program_of, writable_directories
from dativo_engines.sandbox._root import Root
from dativo_engines.sandbox._seccomp import CLONE, CLONE3, IOCTL, NEWEST, REFUSED, REFUSED_TO_PLUGINS, SOCKET, seccomp_filter
from dativo_protocols import ConfigError, SandboxError

PASSWD = "root:x:0:0:root:/root:/bin/sh\nairbyte:x:1000:1001::/home/airbyte:/bin/sh\nbroken\n"


@pytest.fixture
def root(tmp_path: Path) -> Root:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(PASSWD)
    (tmp_path / "etc/group").write_text("root:x:0:\nstaff:x:50:airbyte\n")
    return Root(tmp_path)


def program(root: Root, executable: str | None = None, **config: Any) -> ImageProgram:
    return program_of(root, {"Entrypoint": ["/e"], **config}, name="image", executable=executable)


@pytest.mark.parametrize(
    ("config", "command"),
    [
        ({"Entrypoint": ["a", "b"], "Cmd": ["c"]}, ("a", "b")),
        ({"Entrypoint": None, "Cmd": ["c", "d"]}, ("c", "d")),
        ({"Env": ["AIRBYTE_ENTRYPOINT=python '/x y/main.py'"]}, ("python", "/x y/main.py")),
        ({"Env": ["AIRBYTE_ENTRYPOINT=$HOME/run"]}, ("/bin/sh", "-c", 'exec $HOME/run "$@"', "sh")),
    ],
)
def test_the_program(root: Root, config: dict[str, Any], command: tuple[str, ...]) -> None:
    assert program(root, **config).command == command
    assert program(root, "mine", **config).command == ("mine",)


def test_an_image_without_a_program_says_so(root: Root) -> None:
    with pytest.raises(ConfigError, match="image `image` names no program"):
        program(root, Entrypoint=[])


@pytest.mark.parametrize(
    ("user", "numbers", "home"),
    [
        ("", (0, 0), "/root"),
        ("airbyte", (1000, 1001), "/home/airbyte"),
        ("1000", (1000, 1001), "/home/airbyte"),
        ("airbyte:staff", (1000, 50), "/home/airbyte"),
        ("4000:7", (4000, 7), "/tmp"),
        ("0", (0, 0), "/root"),
    ],
)
def test_the_user(root: Root, user: str, numbers: tuple[int, int], home: str) -> None:
    found = program(root, User=user)
    assert ((found.user, found.group), found.environment["HOME"]) == (numbers, home)


@pytest.mark.parametrize("user", ["nobody", "airbyte:nobody"])
def test_an_unknown_user_says_so(root: Root, user: str) -> None:
    with pytest.raises(ConfigError, match="`nobody`, whom it does not know"):
        program(root, User=user)


def test_accounts_are_read_inside_the_image_only(root: Root) -> None:
    (root.path / "etc/passwd").unlink()
    (root.path / "etc/passwd").symlink_to("/etc/passwd")
    with pytest.raises(SandboxError, match="in circles"):
        program(root, User="airbyte")


def test_a_bare_home_and_bare_volumes_can_be_written(root: Root) -> None:
    for name in ("home/airbyte/.bashrc", "data/keep", "cache/.cache/x"):
        path = root.path / name
        path.parent.mkdir(parents=True)
        path.touch()
    volumes = {"/data": {}, "/cache": {}, "/new/one": {}, "/proc/x": {}, "/tmp/y": {}, "/": {}}
    found = list(writable_directories(root, {"User": "airbyte", "Volumes": volumes}))
    assert (found, (root.path / "new/one").is_dir()) == (["/home/airbyte", "/cache", "/new/one"], True)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("bwrap: No permissions to create new namespace, likely because …", "the kernel does not allow user namespaces"),
        ("bwrap: setting up uid map: Permission denied", "the kernel does not allow user namespaces"),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "a new `/proc` cannot be mounted"),
        ("bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", "a network namespace cannot be made"),
        ("bwrap: prctl(PR_SET_SECCOMP): Invalid argument", "system calls cannot be filtered"),
        ("bwrap: Unknown option --size", "`bwrap` is too old"),
        ("bwrap: execvp /bin/x: No such file or directory", "cannot start the image's program `/bin/x`: no such file"),
        ("bwrap: execvp /bin/x: Exec format error", "built for another processor"),
        ("bwrap: Can't chdir to /x: No such file or directory", "the image's working directory cannot be entered"),
        ("sandbox: Permission denied `/sys/fs/cgroup/x`", "the sandbox could not be set up: Permission denied"),
    ],
)
def test_what_is_missing_is_named(said: str, message: str) -> None:
    failure = setup_failure(["earlier", said, ""])
    assert failure is not None
    assert message in failure.message


def test_a_connectors_own_words_are_no_failure_of_the_sandbox() -> None:
    assert setup_failure(["bwrap: x", "Traceback: bwrap: y"]) is None
    assert setup_failure([]) is None


def test_a_missing_bwrap_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *arguments, **more: None)
    with pytest.raises(SandboxError, match="not installed") as caught:
        find_bubblewrap()
    assert "apt install bubblewrap" in str(caught.value.hint)


def test_another_platform_than_this_machines_is_refused() -> None:
    assert (wanted_platform(None), wanted_platform(f"{this_platform()}/v3")) == (this_platform(), f"{this_platform()}/v3")
    with pytest.raises(ConfigError, match="cannot run `linux/s390x` in a sandbox"):
        wanted_platform("linux/s390x")


def numbers_of(path: str) -> dict[str, int]:
    """System calls as the kernel's headers number them."""
    found = {}
    for line in Path(path).read_text().splitlines():
        words = line.split()
        if len(words) == 3 and words[1].startswith("__NR") and words[2].isdigit():
            found[words[1].replace("__NR3264_", "").replace("__NR_", "")] = int(words[2])
    return found


@pytest.mark.parametrize(
    ("column", "header"), [(0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), (1, "/usr/include/asm-generic/unistd.h")]
)
def test_system_calls_have_the_kernels_numbers(column: int, header: str) -> None:
    if not Path(header).exists():
        pytest.skip("the kernel's headers are not installed")
    known = numbers_of(header)
    table = {**REFUSED, **REFUSED_TO_PLUGINS, "clone": CLONE, "clone3": CLONE3, "socket": SOCKET, "ioctl": IOCTL}
    # Debian's headers may be older than a call.
    wrong = {name: both[column] for name, both in table.items() if known.get(name) not in (None, both[column])}
    assert (wrong, len(table.keys() & known.keys()) > 55) == ({}, True)


def test_a_filter_is_a_whole_number_of_instructions_and_unknown_processors_have_none() -> None:
    filters = [seccomp_filter(machine, plugin=plugin) for plugin in (False, True) for machine in ("x86_64", "aarch64")]
    assert [len(made) % 8 if made else None for made in filters] == [0] * 4
    filters = [seccomp_filter(machine) for machine in ("x86_64", "aarch64", "riscv64")]
    assert [made and (len(made) % 8, len(made) // 8 < 4096) for made in filters] == [(0, True), (0, True), None]


def decision(program: bytes, number: int, *arguments: int, architecture: int = 0xC000003E) -> int:
    """What the kernel would decide about a call: 0 to allow it, else the error."""
    data = struct.pack("=iIQ6Q", number, architecture, 0, *(*arguments, *[0] * 6)[:6])
    place, loaded = 0, 0
    while True:
        code, true, false, value = struct.unpack_from("=HBBI", program, 8 * place)
        place += 1
        if code == 0x20:
            (loaded,) = struct.unpack_from("=I", data, value)
        elif code == 0x06:
            return 0 if value == 0x7FFF0000 else value & 0xFFFF
        else:
            holds = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[code]
            place += true if holds else false


def test_a_plugins_filter_refuses_what_it_lists_and_what_is_newer() -> None:
    made = seccomp_filter("x86_64", plugin=True, families=())
    assert made is not None
    refused = [both[0] for both in {**REFUSED, **REFUSED_TO_PLUGINS}.values() if both[0] is not None]
    assert {decision(made, number) for number in refused} == {errno.EPERM}
    assert {decision(made, number) for number in (NEWEST + 1, 1000, 0x40000000 + 39)} == {errno.ENOSYS}
    # A read, a write, a fork, a socket pair; a socket of none of the families, a terminal's input, a 32-bit call.
    assert [decision(made, number) for number in (0, 1, 57, 53)] == [0, 0, 0, 0]
    assert [decision(made, SOCKET[0], family) for family in (1, 2, 10, 16)] == [errno.EAFNOSUPPORT] * 4
    assert decision(made, IOCTL[0], 0, 0x5412) == errno.EPERM
    assert decision(made, 0, architecture=0x40000003) == errno.ENOSYS


def test_an_images_filter_lets_pass_what_only_plugins_do_without() -> None:
    made = seccomp_filter("x86_64")
    assert made is not None
    assert [decision(made, both[0]) for both in REFUSED_TO_PLUGINS.values() if both[0] is not None] == [0] * len(
        REFUSED_TO_PLUGINS
    )
    assert [decision(made, SOCKET[0], family) for family in (1, 2, 10, 16, 40)] == [0, 0, 0, 0, errno.EAFNOSUPPORT]
