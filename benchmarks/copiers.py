"""Those who copy a table, a file or the like from one place to another, each a whole process; and how they take turns."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders import PEERS, environment, own
from benchmarks.measure import Measurement, OverdueError, measure
from benchmarks.mergers import sling_home
from benchmarks.report import Results

LIMIT_SECONDS = 900.0


@dataclass(frozen=True)
class Copier:
    """One way to read what is to be read.

    Attributes:
        target: `parquet`, `arrow`, or `nowhere`.
        command: Given what is read (a URL, a path) and a folder, what is timed.
        requirements: Installed into an isolated environment; none means Dativo's own.
        slow: Takes minutes: measured once, whatever the rounds.
    """

    name: str
    target: str
    command: Callable[[str, Path], list[str]]
    requirements: tuple[str, ...] = ()
    slow: bool = False

    @property
    def key(self) -> str:
        return f"{self.name} → {self.target}"


def chosen(copiers: Sequence[Copier], words: Sequence[str]) -> list[Copier]:
    """Those whose name has one of the words; all without words."""
    return [copier for copier in copiers if not words or any(word in copier.key for word in words)]


def job(folder: Path, source: dict[str, Any], **target: Any) -> list[str]:
    """Writes a job that copies into Parquet files, unless `target` says something else; the command that runs it."""
    target = {"connector": "parquet", "config": {"path": str(folder / "out")}, "write": "append", **target}
    (folder / "job.yaml").write_text(json.dumps({"name": "benchmark", "source": source, "target": target}))
    return [own("dativo"), "run", "job.yaml"]


def sling(folder: Path, arguments: Sequence[str], settings: dict[str, str]) -> list[str]:
    """Sling's program with its home; it downloads nothing."""
    home = sling_home()
    program = next(home.parent.glob("lib/*/site-packages/sling_linux_amd64/bin/sling-linux-amd64"))
    program.chmod(0o755)
    own_settings = {"HOME": home, "SLING_HOME_DIR": home, "SLING_DISABLE_TELEMETRY": "true", "DUCKDB_VERSION": "1.5.5"}
    words = [f"{key}={value}" for key, value in {**own_settings, **settings}.items()]
    return ["env", *words, str(program), "run", *arguments, "--tgt-object", f"file://{folder}/out.parquet"]


def run_copiers(
    case: str,
    copiers: Sequence[Copier],
    place: str,
    *,
    rows: int,
    size: int,
    rounds: int,
    scratch: Path,
    results: Results,
    server: int | None = None,
) -> None:
    """Lets all copy, in rounds that alternate their order, and puts down their figures.

    Args:
        place: What each command is given.
        scratch: A folder that is emptied after each.
        server: The process of the database that is read.
    """
    runs: dict[str, list[Measurement]] = {}
    results.begin(case, rows, size)
    for copier in copiers:
        if copier.requirements:
            environment(copier.requirements)
    for number in range(rounds):
        for copier in copiers if number % 2 == 0 else reversed(copiers):
            if copier.slow and number:
                continue
            scratch.mkdir(parents=True, exist_ok=True)
            try:
                measurement = measure(copier.command(place, scratch), scratch, limit_seconds=LIMIT_SECONDS, server=server)
            except OverdueError as error:
                results.put_absent(case, copier.key, str(error))
                continue
            finally:
                shutil.rmtree(scratch)
            runs.setdefault(copier.key, []).append(measurement)
            print(f"{case:10} {copier.key:40} {measurement}", file=sys.stderr, flush=True)
    for key, measured in runs.items():
        results.put(case, rows, size, key, measured)


def alone(program: Sequence[str], config: dict[str, Any], folder: Path) -> list[str]:
    """A reader's program that sends everything there is, as Arrow data, to nobody."""
    (folder / "config.json").write_text(json.dumps(config))
    return ["sh", "-c", f"{shlex.join(program)} read --config config.json --format arrow > /dev/null"]


def python_program(file: str, name: str) -> list[str]:
    """A reader among the peers as a program."""
    return [sys.executable, "-m", "dativo_sdk.program", f"{PEERS / file}:{name}"]
