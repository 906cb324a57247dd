"""What programs and extensions have in common is compiled once: Cargo compiles a crate anew for other features of it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
from dativo_sdk.templates import new_project

ROOT = Path(__file__).resolve().parent.parent
RELEASE = {
    "protocols": ["--package", "dativo-protocols-python"],
    "readers": ["--package", "dativo-readers-python"],
    "wheel of the example": ["--package", "source-waves", "--no-default-features", "--features", "python"],
}
CRATE = re.compile(r"(?P<name>\S+) v(?P<version>\S+)(?: \(proc-macro\))?(?P<own> \(/\S+\))? \[(?P<features>.*)\]")


def crates(arguments: list[str], folder: Path = ROOT, edges: str = "normal,build") -> dict[str, set[str]]:
    """Others' crates that a build needs, each with the features it has there."""
    command = ["cargo", "tree", "--prefix", "none", "--format", "{p} [{f}]", "--edges", edges, *arguments]
    lines = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.splitlines()
    found: dict[str, set[str]] = {}
    for line in filter(None, lines):
        crate = CRATE.match(line)
        assert crate is not None, line
        if not crate["own"]:
            found.setdefault(f"{crate['name']} {crate['version']}", set()).add(crate["features"])
    return found


def differences(one: dict[str, set[str]], other: dict[str, set[str]]) -> dict[str, tuple[set[str], set[str]]]:
    return {name: (one[name], other[name]) for name in one.keys() & other.keys() if not one[name] & other[name]}


@pytest.fixture(scope="module", autouse=True)
def cargo() -> None:
    if shutil.which("cargo") is None:
        pytest.skip("there is no cargo")


@pytest.mark.parametrize(("one", "other"), [*combinations(RELEASE, 2)])
def test_extensions_share_their_crates(one: str, other: str) -> None:
    assert differences(crates(RELEASE[one]), crates(RELEASE[other])) == {}, "`protocols/codec/Cargo.toml` names what all need"


def test_the_tests_of_programs_share_the_crates_of_cargo_test(tmp_path: Path) -> None:
    (line,) = re.findall(r"^CARGO_TEST := cargo test (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    tests = crates(shlex.split(line), edges="normal,build,dev")
    new_project(tmp_path / "new", "source-orders", "rust", rust_sdk=ROOT / "sdk" / "rust")
    shutil.copy(ROOT / "Cargo.lock", tmp_path / "new")

    assert differences(crates(["--package", "source-waves"]), tests) == {}
    assert differences(crates([], tmp_path / "new", edges="normal,build,dev"), tests) == {}
    wheel = crates(["--features", "python,capi"], tmp_path / "new")
    assert differences(wheel, crates(RELEASE["wheel of the example"])) == {}


def test_other_features_are_seen() -> None:
    found = differences(crates(RELEASE["readers"]), crates(["--package", "dativo-readers"]))
    assert "arrow-array" in {name.split()[0] for name in found}
