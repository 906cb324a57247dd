"""A project in a folder of its own, worked on through the command line as a person would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
from dativo_protocols import CatalogStream

import dativo

DATIVO = Path(sys.executable).with_name("dativo")


class Project:
    """Runs commands in the folder, and reads the targets afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.duckdb_path = folder / "out" / "data.duckdb"
        self.files_path = folder / "out" / "files"

    def dativo(self, *arguments: str, code: int = 0) -> str:
        """A command's standard output; fails when it ends with another exit code."""
        ended = subprocess.run(
            [str(DATIVO), *arguments], cwd=self.folder, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert ended.returncode == code, f"{arguments} exited {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    def discover(self, reference: str, config: dict[str, Any]) -> tuple[CatalogStream, ...]:
        """What the connector offers, by the Python API."""
        return dativo.source(reference, config, project=self.folder).discover().streams

    def check(self, reference: str, config: dict[str, Any], code: int = 0) -> Any:
        """What `dativo check --json` says."""
        (self.folder / "config.json").write_text(json.dumps(config))
        return json.loads(self.dativo("check", reference, "--config", "config.json", "--json", code=code))

    def run(self, source: dict[str, Any], target: str = "duckdb", code: int = 0, **job: Any) -> dict[str, Any]:
        """Runs a job into DuckDB or files; its report."""
        path = self.duckdb_path if target == "duckdb" else self.files_path
        whole = {"name": target, "source": source, "target": {"connector": target, "config": {"path": str(path)}}, **job}
        (self.folder / "job.yaml").write_text(json.dumps(whole))
        report: dict[str, Any] = json.loads(self.dativo("run", "job.yaml", "--json", code=code))
        return report

    def replay(self, messages: Path, target: str = "duckdb", code: int = 0, **job: Any) -> dict[str, Any]:
        """Runs a job whose tap is `cat` of a file of messages."""
        tap = self.folder / "replay"
        tap.write_text(f"#!/bin/sh\nexec cat {messages}\n")
        tap.chmod(0o755)
        return self.run({"connector": f"singer:{tap}", "discover": False}, target, code, **job)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the DuckDB target."""
        with duckdb.connect(str(self.duckdb_path), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            return connection.execute(query).fetchall()

    def tables(self) -> list[str]:
        """Data tables of the DuckDB target, in order."""
        names = self.rows("select table_name from duckdb_tables() order by 1")
        return [name for (name,) in names if not name.startswith("_dativo") and not name.endswith("__quarantine")]

    def files(self, stream: str) -> list[dict[str, Any]]:
        """Committed rows of a file target."""
        rows: list[dict[str, Any]] = dativo.dataset(self.files_path).to_arrow(stream).to_pylist()
        return rows

    def rejected(self, stream: str) -> list[dict[str, Any]]:
        """Quarantined rows of a file target."""
        rows: list[dict[str, Any]] = dativo.dataset(self.files_path).quarantine(stream).to_arrow().to_pylist()
        return rows
