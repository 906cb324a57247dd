"""Other hosts: the real meltano and the real PyAirbyte, in environments of their own below the shared cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from dativo_engines.environments import EnvironmentStore

from dativo._paths import cache_dir

from .program import PROGRAMS

MELTANO = "meltano==4.4.1"
TARGET_JSONL = "target-jsonl==0.1.4"
PYAIRBYTE = "airbyte==0.71.3"

# PyAirbyte's environment of 700 MB is made once.
INSTALL_SECONDS = 1200


def built(program: str) -> Path:
    """A reader's program; skips the test where it was not built."""
    path = PROGRAMS / program
    if not path.exists():
        pytest.skip(f"`{program}` is missing: run `make setup`")
    return path


def python_reader(folder: Path, target: str) -> Path:
    """A program that is a Python reader: a line of shell, as these hosts take no arguments of the program."""
    program = folder / "source-python"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dativo_sdk.program "{target}" "$@"\n')
    program.chmod(0o755)
    return program


def bin_of(requirement: str) -> Path:
    """The folder of programs of a package, which is installed now unless it was before."""
    with EnvironmentStore(cache_dir()).ensure(requirement) as environment:
        return environment.info.path / "bin"


class Meltano:
    """A meltano project with one tap, named `tap`, and one loader, target-jsonl."""

    def __init__(self, folder: Path, tap: Path, config: Mapping[str, Any], **more: Any) -> None:
        self.folder = folder
        (folder / "loaded").mkdir()
        extractor = {
            "name": "tap",
            "namespace": "tap",
            "executable": str(tap),
            "capabilities": ["about", "catalog", "discover", "properties", "state"],
            "config": dict(config),
            **more,
        }
        loader = {
            "name": "target-jsonl",
            "namespace": "target_jsonl",
            "executable": str(bin_of(TARGET_JSONL) / "target-jsonl"),
            "config": {"destination_path": str(folder / "loaded"), "do_timestamp_file": False},
        }
        project = {
            "default_environment": "dev",
            "environments": [{"name": "dev"}],
            "send_anonymous_usage_stats": False,
            "plugins": {"extractors": [extractor], "loaders": [loader]},
        }
        (folder / "meltano.yml").write_text(yaml.safe_dump(project))

    def __call__(self, *arguments: str, fails: bool = False) -> str:
        """Runs `meltano` with these arguments; gives its stdout, or its log where it is to fail."""
        environment = {**os.environ, "NO_COLOR": "1", "MELTANO_CLI_LOG_FORMAT": "plain"}
        done = subprocess.run(
            [bin_of(MELTANO) / "meltano", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout + done.stderr if fails else done.stdout

    def run(self) -> None:
        """Loads what is new."""
        self("run", "tap", "target-jsonl")

    def invoke(self) -> list[dict[str, Any]]:
        """What the tap says."""
        return [json.loads(line) for line in self("invoke", "tap").splitlines() if line.startswith('{"type"')]

    def select(self) -> dict[str, str]:
        """Whether each field is `selected`, `automatic` or `excluded`."""
        listed = [line for line in self("select", "tap", "--list", "--all").splitlines() if line.lstrip().startswith("[")]
        return {line.split()[-1]: line.split("[")[1].split()[0].rstrip("]") for line in listed}

    def loaded(self, stream: str) -> list[dict[str, Any]]:
        """All that target-jsonl has written of a stream."""
        return [json.loads(line) for line in (self.folder / "loaded" / f"{stream}.jsonl").read_text().splitlines()]


def records(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message["record"] for message in messages if message["type"] == "RECORD"]


class PyAirbyte:
    """PyAirbyte in a process of its own: its import takes seconds."""

    def __init__(self, folder: Path) -> None:
        environment = {
            **os.environ,
            "AIRBYTE_OFFLINE_MODE": "1",
            "DO_NOT_TRACK": "1",
            "AIRBYTE_LOGGING_ROOT": str(folder / "logs"),
        }
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [bin_of(PYAIRBYTE) / "python", Path(__file__).with_name("pyairbyte_loop.py")],
                cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip

    def __call__(self, action: str, program: Path, config: Mapping[str, Any], **more: Any) -> Any:
        """What `pyairbyte_loop.py` answers; raises its error's text as `RuntimeError`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"action": action, "program": str(program), "config": dict(config), **more}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, self._log.read_text(errors="replace")[-3000:]
        said = json.loads(answer)
        if "error" in said:
            raise RuntimeError(said["error"])
        return said["answer"]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)
