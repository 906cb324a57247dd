"""Small connectors, written as real programs."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dativo_engines._private import PrivateDirectory

Script = Callable[..., str]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Writes an executable program and gives its path."""

    def write(body: str, *, name: str = "tap-test", interpreter: str = sys.executable) -> str:
        path = tmp_path / name
        path.write_text(f"#!{interpreter}\n{textwrap.dedent(body)}")
        path.chmod(0o755)
        return str(path)

    return write


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[PrivateDirectory]:
    with PrivateDirectory(tmp_path / "private") as made:
        yield made
