"""The real `dativo` program, run in a folder of its own, and small real taps for it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("dativo")

VOLATILE = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "YYYY-MM-DD HH:MM:SS"),
    (r"\b\d{2}:\d{2}:\d{2}\b", "<clock>"),
    (r"\b\d{8}T\d{6}Z?-[0-9a-z]+\b", "<run>"),
    (r"\b\d+(\.\d+)? s\b", "<seconds>"),
    (r"\b\d+(\.\d+)? [kM]?B\b", "<size>"),
)


@dataclass(frozen=True)
class Result:
    """What a program said, with what differs from run to run taken out."""

    code: int
    raw_out: bytes
    raw_err: bytes
    folder: Path

    @property
    def out(self) -> str:
        return self._filtered(self.raw_out)

    @property
    def err(self) -> str:
        return self._filtered(self.raw_err)

    def _filtered(self, data: bytes) -> str:
        text = data.decode().replace(str(self.folder), "<folder>").replace(sys.executable, "<python>")
        for pattern, name in VOLATILE:
            text = re.sub(pattern, name, text)
        return re.sub(r"[ ]+$", "", text, flags=re.MULTILINE)


class Project:
    """A folder in which `dativo` is run as a user would run it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")},
            "DATIVO_CACHE": str(folder / "cache"),
            "TZ": "UTC",
            "PYTHONWARNINGS": "error",
        }

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def start(self, *arguments: str, **options: object) -> subprocess.Popen[bytes]:
        settings: dict[str, object] = {
            "cwd": self.folder,
            "env": self.environment,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        return subprocess.Popen([PROGRAM, *arguments], **{**settings, **options})  # type: ignore[call-overload]

    def dativo(self, *arguments: str, given: bytes | None = None, **environment: str) -> Result:
        ran = subprocess.run(
            [PROGRAM, *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            input=given if given is not None else b"",
            capture_output=True,
            timeout=120,
            check=False,
        )
        return Result(ran.returncode, ran.stdout, ran.stderr, self.folder)

    def on_terminal(self, *arguments: str, width: int = 100, height: int = 30, **environment: str) -> Result:
        """Runs it with a terminal of its own as stdin, stdout and stderr; all it wrote is in `raw_out`."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        variables = {**self.environment, "TERM": "xterm-256color", **environment}
        running = self.start(*arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=variables, start_new_session=True)
        os.close(theirs)
        written = b""
        # Linux says EIO when the last process has left the terminal.
        with contextlib.suppress(OSError):
            while data := os.read(ours, 1 << 16):
                written += data
        os.close(ours)
        return Result(running.wait(60), written.replace(b"\r\n", b"\n"), b"", self.folder)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def tap(project: Project) -> Path:
    """`tap.py` in the project's folder, as a program."""
    source = Path(__file__).with_name("tap.py").read_text("utf-8")
    path = project.write("tap.py", f"#!{sys.executable}\n{source}")
    path.chmod(0o755)
    return path


@pytest.fixture
def wheel(project: Project) -> str:
    """A package whose program is `tap.py`, as a requirement that needs no index."""
    path = project.folder / "tap_tiny-1.2-py3-none-any.whl"
    meta = "tap_tiny-1.2.dist-info"
    files = {
        "tap_tiny.py": Path(__file__).with_name("tap.py").read_text("utf-8"),
        f"{meta}/METADATA": "Metadata-Version: 2.1\nName: tap-tiny\nVersion: 1.2\n",
        f"{meta}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{meta}/entry_points.txt": "[console_scripts]\ntap-tiny = tap_tiny:main\n",
        f"{meta}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return f"tap-tiny @ {path.as_uri()}"
