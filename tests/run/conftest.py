"""A project folder, and a tap that says what the test wants."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest


class Scripted:
    """A connector that plays a script, and keeps what it was handed."""

    engine = "singer"
    program = "tap.py"

    def __init__(self, folder: Path) -> None:
        self._script = folder / "script.txt"
        self._program = folder / f"scripted-{self.program.removesuffix('.py')}"
        program = Path(__file__).with_name(self.program)
        self._program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
        self._program.chmod(self._program.stat().st_mode | stat.S_IXUSR)

    @property
    def config(self) -> dict[str, Any]:
        raise NotImplementedError

    @property
    def reference(self) -> str:
        return f"{self.engine}:{self._program}"

    @property
    def handed_state(self) -> bytes | None:
        return self.handed("state")

    def handed(self, name: str) -> bytes | None:
        """What it was given as `--state`, `--config` or `--catalog`."""
        kept = self._script.with_suffix(f".{name}")
        return kept.read_bytes() if kept.exists() else None

    def job(self, target: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
        """A job that reads it; `source` among the parts is merged."""
        source = {"connector": self.reference, "config": self.config, **parts.pop("source", {})}
        return {"name": "shop", "source": source, "target": target or duckdb_target(), **parts}

    def says(self, *lines: dict[str, Any] | str) -> None:
        self._script.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))


class Tap(Scripted):
    """A Singer tap."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._catalog: dict[str, Any] | None = None

    def offers(self, *schemas: dict[str, Any]) -> None:
        self._catalog = {
            "streams": [
                {
                    "stream": message["stream"],
                    "tap_stream_id": message["stream"],
                    "schema": message["schema"],
                    "key_properties": message["key_properties"],
                    "metadata": [],
                }
                for message in schemas
            ]
        }

    @property
    def config(self) -> dict[str, Any]:
        return {"script": str(self._script), "catalog": self._catalog}


class AirbyteSource(Scripted):
    """An Airbyte source."""

    engine = "airbyte"
    program = "source.py"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._streams: list[dict[str, Any]] = []
        self.more: dict[str, Any] = {}

    def offers(self, *names: str, incremental: bool = True, **more: Any) -> None:
        """Streams with a key `id` and a cursor `at`."""
        schema = {"type": "object", "properties": {"id": {"type": "integer"}, "at": {"type": "integer"}}}
        modes = ["full_refresh", "incremental"] if incremental else ["full_refresh"]
        common = {"json_schema": schema, "supported_sync_modes": modes, "source_defined_primary_key": [["id"]], **more}
        cursor = {"source_defined_cursor": True, "default_cursor_field": ["at"]} if incremental else {}
        self._streams = [{"name": name, **common, **cursor} for name in names]

    @property
    def config(self) -> dict[str, Any]:
        return {"script": str(self._script), "streams": self._streams, **self.more}


def duckdb_target(**more: Any) -> dict[str, Any]:
    return {"connector": "duckdb", "config": {"path": "shop.duckdb"}, **more}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, which is the current folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def tap(tmp_path: Path) -> Tap:
    return Tap(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> AirbyteSource:
    return AirbyteSource(tmp_path)


def schema(stream: str, key: list[str] | None = None, **types: str | dict[str, Any]) -> dict[str, Any]:
    properties = {
        name: kind if isinstance(kind, dict) else {"type": kind if key and name in key else ["null", kind]}
        for name, kind in types.items()
    }
    return {
        "type": "SCHEMA",
        "stream": stream,
        "schema": {"type": "object", "properties": properties},
        "key_properties": key or [],
    }


def record(stream: str, **values: Any) -> dict[str, Any]:
    return {"type": "RECORD", "stream": stream, "record": values}


def state(value: Any) -> dict[str, Any]:
    return {"type": "STATE", "value": value}


@pytest.fixture
def say() -> Any:
    """The messages: `say.schema`, `say.record`, `say.state`, and `say.duckdb` for a target."""

    class Say:
        pass

    for function in (schema, record, state):
        setattr(Say, function.__name__, staticmethod(function))
    Say.duckdb = staticmethod(duckdb_target)  # type: ignore[attr-defined]
    return Say
