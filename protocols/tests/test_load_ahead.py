"""Libraries that are loaded before they are imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow

LOADED = """
import sys, time
from dativo_protocols import load_ahead

load_ahead(["/nowhere/lib.so", __file__, sys.argv[1]])
until = time.monotonic() + 30
while sys.argv[1] not in open("/proc/self/maps").read():
    assert time.monotonic() < until, "it was not loaded"
    time.sleep(0.01)
assert "pyarrow" not in sys.modules
import pyarrow

print(pyarrow.array([1, 2]).sum())
"""


def test_what_is_there_is_loaded_without_python_and_then_imported(tmp_path: Path) -> None:
    (library,) = Path(pyarrow.__file__).parent.glob("lib.cpython*.so")
    script = tmp_path / "loaded.py"
    script.write_text(LOADED)
    ran = subprocess.run([sys.executable, str(script), str(library)], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (0, "3\n"), ran.stderr
