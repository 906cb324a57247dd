"""Dependencies point left only: protocols ← sdk ← engines ← dativo; in Rust: codec ← stream ← python ← sdk ← readers."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {
    "dativo_protocols": ROOT / "protocols" / "src" / "dativo_protocols",
    "dativo_sdk": ROOT / "sdk" / "src" / "dativo_sdk",
    "dativo_engines": ROOT / "engines" / "src" / "dativo_engines",
    "dativo": ROOT / "dativo",
}
CRATES = {
    "dativo-codec": ROOT / "protocols" / "codec",
    "dativo-stream": ROOT / "protocols" / "stream",
    "dativo-protocols-python": ROOT / "protocols" / "python",
    "dativo-sdk": ROOT / "sdk" / "rust",
    "dativo-readers": ROOT / "connectors" / "readers",
    "dativo-readers-python": ROOT / "connectors" / "readers" / "python",
}


def imported_packages(source: Path) -> set[str]:
    """Top-level packages that a module imports, anywhere in it, by an import statement or by name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(), str(source))):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                found.add(argument.value.split(".")[0])
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_left_of_it(room: str) -> None:
    order = list(ROOMS)
    right = set(order[order.index(room) + 1 :])
    modules = list(ROOMS[room].rglob("*.py"))
    assert modules
    assert {str(module): names for module in modules if (names := imported_packages(module) & right)} == {}


def test_imports_inside_functions_and_by_name_are_seen(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def f():\n    import dativo.x\n    importlib.import_module('dativo_sdk')\n")
    assert imported_packages(module) == {"dativo", "dativo_sdk"}


def private_imports(source: Path) -> set[str]:
    """Underscore modules and names that a module imports from other rooms."""
    own = next((room for room, folder in ROOMS.items() if source.is_relative_to(folder)), None)
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(), str(source))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    paths = [name.split(".") for name in found]
    return {".".join(path) for path in paths if path[0] in ROOMS and path[0] != own and any(part[:1] == "_" for part in path)}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_nothing_private_of_another(room: str) -> None:
    modules = list(ROOMS[room].rglob("*.py"))
    assert {str(module): names for module in modules if (names := private_imports(module))} == {}


def test_private_modules_and_names_are_seen(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def f():\n    import dativo_sdk._x\n    from dativo_sdk.y import _z\n    from dativo_sdk import since\n")
    assert private_imports(module) == {"dativo_sdk._x", "dativo_sdk.y._z"}


@pytest.mark.parametrize("crate", CRATES)
def test_a_crate_depends_only_on_crates_left_of_it(crate: str) -> None:
    manifest = (CRATES[crate] / "Cargo.toml").read_text()
    order = list(CRATES)
    right = order[order.index(crate) :]
    assert not [name for name in right if re.search(rf"^{name}\b", manifest, re.MULTILINE)]


@pytest.mark.parametrize("crate", ["dativo-codec", "dativo-stream"])
def test_rust_below_the_python_layer_knows_no_python(crate: str) -> None:
    assert "pyo3" not in (CRATES[crate] / "Cargo.toml").read_text()


@pytest.mark.parametrize(
    ("distribution", "forbidden"),
    [("protocols", "dativo-(plugin-sdk|engines)"), ("sdk", "dativo-engines")],
)
def test_a_distribution_requires_only_distributions_left_of_it(distribution: str, forbidden: str) -> None:
    assert not re.search(forbidden, (ROOT / distribution / "pyproject.toml").read_text())


def test_start_up_imports_nothing_heavy() -> None:
    code = "import sys, dativo.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"pyarrow", "duckdb", "polars", "pydantic", "docker", "requests"}.isdisjoint(loaded)


def test_no_committed_file_names_a_package_registry_or_an_index_address() -> None:
    hosts = ["pypi" + ".org", "python" + "hosted.org", "crates" + ".io/", "deb.debian" + ".org", "registry.npmjs" + ".org"]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert tracked
    files = [path for name in tracked if (path := ROOT / name).is_file() and name != "Cargo.lock"]
    assert not [(str(path), host) for path in files for host in hosts if host in path.read_text(errors="replace")]


def test_the_lock_file_has_no_address() -> None:
    assert not re.search(r"://|^-e |^--", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
