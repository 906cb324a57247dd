"""`dativo plugin new`: a project whose tests pass at once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def dativo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dativo", "plugin", "new", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_python_project_s_tests_pass_at_once(tmp_path):
    made = dativo(tmp_path, "source-orders")
    assert made.returncode == 0, made.stderr
    assert "source-orders/src/source_orders/__init__.py" in made.stdout
    project = tmp_path / "source-orders"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    tested = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert "2 passed" in tested.stdout, tested.stdout + tested.stderr
    target = f"{project / 'src' / 'source_orders' / '__init__.py'}:SourceOrders"
    said = subprocess.run([sys.executable, "-m", "dativo_sdk.program", target, "spec"], capture_output=True, check=True)
    assert b'"name":"source-orders"' in said.stdout


def test_a_writer_s_tests_pass_at_once(tmp_path):
    made = dativo(tmp_path, "target-orders", "--kind", "writer")
    assert made.returncode == 0, made.stderr
    project = tmp_path / "target-orders"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    tested = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    passed = re.search(r"^(\d+) passed", tested.stdout, re.MULTILINE)
    assert passed is not None, tested.stdout + tested.stderr
    assert int(passed[1]) > 20
    target = f"{project / 'src' / 'target_orders' / '__init__.py'}:TargetOrders"
    said = subprocess.run([sys.executable, "-m", "dativo_sdk.program", target, "spec"], capture_output=True, check=True)
    assert b'"write":true' in said.stdout


@pytest.mark.skipif(shutil.which("cargo") is None, reason="there is no cargo")
@pytest.mark.xdist_group("cargo")
@pytest.mark.timeout(900)
def test_a_rust_project_s_tests_pass_at_once_and_its_wheel_reads(tmp_path):
    assert dativo(tmp_path, "source-orders", "--language", "rust").returncode == 0
    project = tmp_path / "source-orders"
    # What the workspace has built already, with its settings, need not be built again.
    shutil.copy(ROOT / "Cargo.lock", project)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CARGO_TARGET_DIR": os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target")),
        "CARGO_PROFILE_DEV_DEBUG": "line-tables-only",
        "CARGO_PROFILE_RELEASE_DEBUG": "line-tables-only",
        "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "4",
    }
    tested = subprocess.run(["cargo", "test"], cwd=project, capture_output=True, text=True, env=environment, check=False)
    assert "test result: ok. 2 passed" in tested.stdout, tested.stdout + tested.stderr

    (command,) = re.findall(r"^maturin build.*?(?=  |$)", (project / "README.md").read_text(), re.MULTILINE)
    packed = subprocess.run([*command.split(), "--out", "."], cwd=project, capture_output=True, text=True, env=environment)
    assert packed.returncode == 0, packed.stderr
    (wheel,) = project.glob("source_orders-0.1.0-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    for reference in ("source-orders", "source_orders:SourceOrders"):
        read = subprocess.run(
            [sys.executable, "-m", "dativo", "read", f"native:{reference}", "--isolation", "in_process", "--set", "rows=2"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        )
        assert read.stdout.splitlines() == ['{"n":0}', '{"n":1}'], read.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Source_Orders",), "`Source_Orders` is no name for a project"),
        (("taken",), "`taken` is there already"),
        (("a", "--language", "rust", "--rust-sdk", "."), "the crate `dativo-sdk` is not known"),
        (("a", "--language", "rust", "--kind", "writer"), "has no trait of writers"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, arguments, message):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    made = dativo(tmp_path, *arguments)
    assert made.returncode == 2
    assert message in made.stderr
