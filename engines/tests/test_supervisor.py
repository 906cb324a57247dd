"""Processes start clean, end completely, and say how they ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dativo_engines._private import PrivateDirectory
from dativo_engines._redaction import Redactor
from dativo_engines._running import level_of
from dativo_engines.supervisor import Process
from dativo_protocols import ConfigError, ConnectorError

SH = "/bin/sh"

# Its child has left the session and the parent, as a daemon does, and holds stdout.
DAEMON = """
import os, sys, time
def note(name):
    with open(sys.argv[1] + "/" + name, "w") as file:
        file.write(str(os.getpid()))
note("tap")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note("daemon")
        time.sleep(600)
    os._exit(0)
os.wait()
while not os.path.exists(sys.argv[1] + "/daemon"):
    time.sleep(0.01)
print("ready", flush=True)
"""

HOST = """
import os, sys, time
from pathlib import Path
from dativo_engines._private import PrivateDirectory
from dativo_engines.supervisor import Process
directory = PrivateDirectory(Path(sys.argv[1]) / "private")
directory.write("config.json", b"{}")
process = Process([sys.argv[2], sys.argv[1]], directory=directory)
os.read(process.stdout, 10)
print(process._guardian.pid, flush=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    """A zombie is not alive: nobody may be there to collect it."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def pid_in(path: Path) -> int:
    return int(path.read_text())


def read_all(process: Process) -> bytes:
    parts = []
    while part := os.read(process.stdout, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def shell(command: str, directory: PrivateDirectory, **options: Any) -> Process:
    return Process([SH, "-c", command], directory=directory, **options)


def test_exit_code_and_usage_are_kept(directory: PrivateDirectory) -> None:
    with shell("exit 3", directory) as process:
        ended = process.wait(10)
    assert ended is not None
    assert (ended.code, ended.signal) == (3, None)
    assert ended.max_rss_bytes > 100_000


def test_a_signal_is_kept(directory: PrivateDirectory) -> None:
    with shell("kill -SEGV $$", directory) as process:
        ended = process.wait(10)
    assert ended is not None
    assert (ended.code, ended.signal) == (None, signal.SIGSEGV)


def test_stdout_passes_unchanged(directory: PrivateDirectory) -> None:
    with shell("head -c 20000000 /dev/zero | tr '\\0' x", directory) as process:
        assert read_all(process) == b"x" * 20_000_000


def test_pipe_is_as_large_as_the_system_allows(directory: PrivateDirectory) -> None:
    import fcntl

    with shell("sleep 60", directory) as process:
        allowed = int(Path("/proc/sys/fs/pipe-max-size").read_text())
        assert fcntl.fcntl(process.stdout, fcntl.F_GETPIPE_SZ) == min(1 << 20, allowed)


def test_environment_is_clean(directory: PrivateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("PYTHONPATH", "/hidden")
    monkeypatch.setenv("LC_TIME", "C")
    with shell("env", directory, environment={"MINE": "1"}) as process:
        names = {line.partition(b"=")[0] for line in read_all(process).splitlines()}
    assert {b"PATH", b"LC_TIME", b"MINE"} <= names
    assert not names & {b"AWS_SECRET_ACCESS_KEY", b"PYTHONPATH"}


def test_nothing_else_is_open_and_stdin_is_empty(directory: PrivateDirectory) -> None:
    with open(directory.path / "file", "wb") as held:
        os.set_inheritable(held.fileno(), True)
        with shell("ls /proc/self/fd; cat", directory) as process:
            # The fourth is the folder that `ls` reads.
            assert read_all(process).split() == [b"0", b"1", b"2", b"3"]


def test_a_program_that_takes_input_gets_it_up_to_its_end(directory: PrivateDirectory) -> None:
    with Process(["cat"], directory=directory, takes_input=True) as process:
        os.write(process.stdin, b"given")
        process.close_input()
        assert read_all(process) == b"given"
        assert process.wait(5.0).code == 0


def test_who_writes_to_a_program_that_has_ended_learns_it(directory: PrivateDirectory) -> None:
    with Process(["true"], directory=directory, takes_input=True) as process:
        process.wait(5.0)
        with pytest.raises(BrokenPipeError):
            os.write(process.stdin, b"given")


def test_signals_have_their_default_meaning(directory: PrivateDirectory) -> None:
    with shell("grep -E 'Sig(Ign|Blk)' /proc/self/status", directory) as process:
        masks = [int(line.split()[1], 16) for line in read_all(process).splitlines()]
    # The C library keeps 32 and 33 to itself: nobody can set them.
    assert [mask & ~(0b11 << 31) for mask in masks] == [0, 0]


def test_closing_ends_a_program_that_ignores_sigterm(directory: PrivateDirectory) -> None:
    with shell("trap '' TERM; echo $$; while :; do sleep 1; done", directory, stop_timeout_seconds=0.3) as process:
        pid = int(os.read(process.stdout, 100))
        started = time.monotonic()
    assert not alive(pid)
    assert 0.25 < time.monotonic() - started < 5
    assert process.exit is not None
    assert process.exit.signal == signal.SIGKILL


def test_closing_lets_a_program_end_by_itself(directory: PrivateDirectory, tmp_path: Path) -> None:
    with shell(f"trap 'echo bye > {tmp_path}/bye; exit 0' TERM; echo ready; sleep 60 & wait", directory) as process:
        os.read(process.stdout, 100)
    assert (tmp_path / "bye").exists()


def test_leftovers_end_when_the_program_has_ended(directory: PrivateDirectory, script: Any, tmp_path: Path) -> None:
    with Process([script(DAEMON), str(tmp_path)], directory=directory) as process:
        started = time.monotonic()
        assert read_all(process) == b"ready\n"
        ended = process.wait(10)
        assert ended is not None
        assert ended.code == 0
        assert time.monotonic() - started < 5
    assert not alive(pid_in(tmp_path / "daemon"))


@pytest.mark.parametrize("victim", ["host", "guardian", "both"])
def test_nothing_survives_sigkill(victim: str, script: Any, tmp_path: Path) -> None:
    tap = script(DAEMON + "time.sleep(600)\n")
    host = subprocess.Popen([sys.executable, "-c", HOST, str(tmp_path), tap], stdout=subprocess.PIPE)
    with host:
        assert host.stdout is not None
        guardian = int(host.stdout.readline())
        if victim != "host":
            os.kill(guardian, signal.SIGKILL)
        if victim != "guardian":
            host.kill()
        if victim == "both":
            # While it is still dying it holds its lock, as a run that lives does.
            host.wait()
            assert eventually(lambda: not alive(pid_in(tmp_path / "tap")))
            # The daemon had nobody left to end it: the next run does.
            PrivateDirectory(tmp_path / "private").close()
        for name in ("tap", "daemon"):
            assert eventually(lambda name=name: not alive(pid_in(tmp_path / name))), name  # type: ignore[misc]
        host.kill()
    if victim != "guardian":
        assert eventually(lambda: not list((tmp_path / "private").glob("run-*")))


def test_a_killed_guardian_is_reported(directory: PrivateDirectory) -> None:
    with shell("sleep 600", directory) as process:
        os.kill(process._guardian.pid, signal.SIGKILL)
        with pytest.raises(ConnectorError, match="guardian of `sh` was killed"):
            process.wait(10)
    assert eventually(lambda: not alive(process.pid))


def test_stderr_is_logged_line_by_line(directory: PrivateDirectory) -> None:
    lines: list[tuple[str, str]] = []
    with shell("echo 'ERROR one' >&2; printf 'two' >&2", directory, log=lambda *line: lines.append(line)) as process:
        process.wait(10)
    assert lines == [("error", "ERROR one"), ("info", "two")]
    assert process.stderr_tail == ["ERROR one", "two"]


def test_endless_stderr_line_is_cut_and_does_not_block(directory: PrivateDirectory) -> None:
    with shell("head -c 30000000 /dev/zero | tr '\\0' e >&2; echo >&2; echo last >&2", directory) as process:
        ended = process.wait(30)
    assert ended is not None
    assert process.stderr_tail[-1] == "last"
    assert len(process.stderr_tail[0]) < 100_000


def test_stderr_is_masked_across_reads(directory: PrivateDirectory) -> None:
    redactor = Redactor(["hunter2-and-more"])
    with shell("printf 'a hunter2-an' >&2; sleep 0.2; echo 'd-more b' >&2", directory, redactor=redactor) as process:
        process.wait(10)
    assert process.stderr_tail == ["a *** b"]


def test_secret_across_the_cut_is_masked(directory: PrivateDirectory) -> None:
    lines: list[str] = []
    command = "head -c 65530 /dev/zero | tr '\\0' e >&2; echo hunter2-and-more >&2"
    with shell(command, directory, redactor=Redactor(["hunter2-and-more"]), log=lambda _, line: lines.append(line)) as process:
        process.wait(10)
    assert "hunter" not in "".join(lines)


def test_missing_program_says_how_to_get_it(directory: PrivateDirectory) -> None:
    with pytest.raises(ConfigError, match="no program `tap-nowhere` on PATH") as caught:
        Process(["tap-nowhere"], directory=directory)
    assert "`tap-nowhere==VERSION`" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ("#!/no/such/python\n", 0o755, "interpreter `/no/such/python` does not exist"),
        ("echo hi\n", 0o755, "it is not a program"),
        ("#!/bin/sh\n", 0o644, "permission denied"),
        (None, 0, "no such program"),
    ],
)
def test_start_failures_say_why(
    content: str | None, mode: int, message: str, directory: PrivateDirectory, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    if content is not None:
        program.write_text(content)
        program.chmod(mode)
    with pytest.raises(ConfigError, match=message) as caught:
        Process([str(program)], directory=directory)
    assert caught.value.hint


def test_standard_descriptors_may_be_closed(tmp_path: Path) -> None:
    code = """
    import os, sys
    for fd in (0, 1, 2):
        os.close(fd)
    from pathlib import Path
    from dativo_engines._private import PrivateDirectory
    from dativo_engines.supervisor import Process
    with PrivateDirectory(Path(sys.argv[1]) / "private") as directory, Process(["echo", "hello"], directory=directory) as process:
        Path(sys.argv[1], "said").write_bytes(os.read(process.stdout, 100))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=True, timeout=30)
    assert (tmp_path / "said").read_text() == "hello\n"


def test_private_files_are_private_and_removed(tmp_path: Path) -> None:
    with PrivateDirectory(tmp_path) as directory:
        file = directory.write("config.json", b"{}")
        assert directory.path.stat().st_mode & 0o777 == 0o700
        assert file.stat().st_mode & 0o777 == 0o600
    assert not directory.path.exists()


def test_directories_of_dead_runs_are_swept_and_of_living_ones_kept(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from dativo_engines._private import PrivateDirectory\n"
        "d = PrivateDirectory(Path(sys.argv[1])); d.write('config.json', b'{}'); os._exit(9)"
    )
    with PrivateDirectory(tmp_path) as living:
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
        assert len(list(tmp_path.glob("run-*"))) == 2
        with PrivateDirectory(tmp_path) as mine:
            assert set(tmp_path.glob("run-*")) == {living.path, mine.path}


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("INFO started", "info"),
        ("2026-01-02 03:04:05,678 | WARNING  | tap | slow", "warning"),
        ("CRITICAL failed", "error"),
        ("level=error msg=x", "error"),
        ("[DEBUG] x", "debug"),
        ("Error: no such table", "error"),
        ("Syncing stream with errors", "info"),
    ],
)
def test_levels_of_log_lines(line: str, level: str) -> None:
    assert level_of(line) == level
