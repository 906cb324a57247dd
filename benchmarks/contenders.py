"""Who is measured, and how each is told to do the same work."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.airbyte_source import faker_alone, faker_config, replay_source
from benchmarks.generate import Protocol, Shape

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "peers"
ENVIRONMENTS = ROOT / ".tools" / "peers"

Packing = Literal["package", "docker", "sandbox"]
Command = Callable[[Path, Path], list[str]]
"""Given the file of messages and a folder for the output, the command to time; for the faker, a file named by its count."""


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Attributes:
        name: In the tables.
        target: `parquet`, `duckdb`, or `none` for one that keeps nothing.
        command: What is run.
        requirements: Installed into an isolated environment; none means Dativo's own.
        protocol: Of the messages it reads.
        slow: Takes minutes for a million rows: measured once, whatever the rounds.
    """

    name: str
    target: str
    command: Command
    requirements: tuple[str, ...] = ()
    protocol: Protocol = "singer"
    slow: bool = False

    @property
    def key(self) -> str:
        return f"{self.name} → {self.target}"


def own(program: str) -> str:
    return str(Path(sys.executable).with_name(program))


def environment(requirements: Sequence[str]) -> Path:
    """The folder of programs of an environment that has these packages, made with uv when it is missing."""
    folder = ENVIRONMENTS / "+".join(re.sub(r"\[.*\]", "", requirement).replace("==", "-") for requirement in requirements)
    if not (folder / ".ready").exists():
        subprocess.run(["uv", "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)], check=True)
        python = folder / "bin" / "python"
        subprocess.run(["uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *requirements], check=True)
        (folder / ".ready").touch()
    return folder / "bin"


def replay_tap(folder: Path, messages: Path, times: int) -> Path:
    """A tap that is `cat`, of the same file as often as asked."""
    tap = folder / "tap-replay"
    tap.write_text(f"#!/bin/sh\nexec cat{f' {messages}' * times}\n")
    tap.chmod(0o755)
    return tap


def dativo(target: str, times: int = 1) -> Command:
    def command(messages: Path, folder: Path) -> list[str]:
        return job(target, folder, {"connector": f"singer:{replay_tap(folder, messages, times)}", "discover": False})

    return command


def dativo_airbyte(target: str, shape: Shape) -> Command:
    return lambda messages, folder: job(target, folder, {"connector": f"airbyte:{replay_source(folder, messages, shape)}"})


def dativo_faker(target: str) -> Command:
    def command(count: Path, folder: Path) -> list[str]:
        source = {"connector": f"airbyte:{environment(FAKER) / 'source-faker'}", "config": faker_config(int(count.name))}
        return job(target, folder, source)

    return command


def dativo_packed(packing: Packing) -> Command:
    """The faker as a package, or as an image that is there already. Its catalog is pinned: nobody is asked for it first."""

    def command(count: Path, folder: Path) -> list[str]:
        shared = {"config": faker_config(int(count.name)), "catalog": str(ROOT / "catalogs" / "faker-7.2.1.json")}
        if packing == "package":
            return job("duckdb", folder, {"connector": f"airbyte:{environment(FAKER) / 'source-faker'}", **shared})
        # The images of the tests need debootstrap, and Docker an engine: only this case does.
        from tests.images import build

        image = build.loaded("faker") if packing == "docker" else build.built("faker")
        reference = f"airbyte:{image.tag if packing == 'docker' else image.archive}"
        cached = ["env", f"DATIVO_CACHE={ENVIRONMENTS / f'images-{image.id[7:19]}'}"]
        # Pinned or unpacked now, not in the measured run.
        subprocess.run([*cached, own("dativo"), "spec", reference, "--runtime", packing], check=True, stdout=subprocess.DEVNULL)
        source = {"connector": reference, "runtime": packing, "container": {"network": "none"}, **shared}
        return [*cached, *job("duckdb", folder, source)]

    return command


def job(target: str, folder: Path, source: dict[str, Any]) -> list[str]:
    """Writes a job; the command that runs it."""
    path = str(folder / ("out.duckdb" if target == "duckdb" else "out"))
    whole = {"name": "benchmark", "source": source, "target": {"connector": target, "config": {"path": path}, "write": "append"}}
    (folder / "job.yaml").write_text(json.dumps(whole))
    return [own("dativo"), "run", "job.yaml"]


def duckdb_json(suffix: str) -> Command:
    return lambda messages, folder: [sys.executable, str(PEERS / "duckdb_json.py"), str(messages), str(folder / f"out.{suffix}")]


def simdjson(messages: Path, folder: Path) -> list[str]:
    return [str(environment(SIMDJSON) / "python"), str(PEERS / "simdjson_parse.py"), str(messages)]


def target_duckdb(messages: Path, folder: Path) -> list[str]:
    config = folder / "config.json"
    config.write_text(json.dumps({"path": str(folder / "out.duckdb"), "default_target_schema": "main"}))
    return ["sh", "-c", f"cat {messages} | {environment(TARGET_DUCKDB) / 'target-duckdb'} --config {config}"]


def sdk_parquet(messages: Path, folder: Path) -> list[str]:
    config = folder / "config.json"
    config.write_text(json.dumps({"path": str(folder / "out.parquet")}))
    python = environment(SDK) / "python"
    return ["sh", "-c", f"cat {messages} | {python} {PEERS / 'sdk_parquet.py'} --config {config}"]


def dlt(target: str) -> Command:
    return lambda messages, folder: [
        str(environment(DLT) / "python"),
        str(PEERS / "dlt_load.py"),
        str(messages),
        str(folder),
        target,
    ]


def pyairbyte(messages: Path, folder: Path) -> list[str]:
    program = replay_source(folder, messages, "users")
    return [str(environment(AIRBYTE) / "python"), str(PEERS / "airbyte_load.py"), str(program), str(folder)]


def faker(count: Path, folder: Path) -> list[str]:
    return faker_alone(environment(FAKER) / "source-faker", folder, int(count.name))


SIMDJSON = ("pysimdjson==7.0.2",)
TARGET_DUCKDB = ("target-duckdb==0.8.0",)
SDK = ("singer-sdk==0.54.9", "pyarrow==26.0.1")
DLT = ("dlt[duckdb,parquet,postgres,filesystem,deltalake,pyiceberg]==1.31.0",)
AIRBYTE = ("airbyte==0.71.3",)
FAKER = ("airbyte-source-faker==7.2.1",)

CONTENDERS = [
    Contender("dativo", "parquet", dativo("parquet")),
    Contender("DuckDB read_json, 2 threads", "parquet", duckdb_json("parquet")),
    Contender("dativo", "duckdb", dativo("duckdb")),
    Contender("DuckDB read_json, 2 threads", "duckdb", duckdb_json("duckdb")),
    Contender("simdjson, parse only", "none", simdjson, SIMDJSON),
    Contender("dlt", "parquet", dlt("parquet"), DLT, slow=True),
    Contender("singer-sdk target", "parquet", sdk_parquet, SDK, slow=True),
    Contender("target-duckdb", "duckdb", target_duckdb, TARGET_DUCKDB, slow=True),
    Contender("dlt", "duckdb", dlt("duckdb"), DLT, slow=True),
]
"""In the order of a round; the next round goes backwards."""

AIRBYTE_MESSAGES = [
    Contender("dativo", "duckdb", dativo_airbyte("duckdb", "users"), protocol="airbyte"),
    Contender("dativo", "parquet", dativo_airbyte("parquet", "users"), protocol="airbyte"),
    Contender("PyAirbyte", "duckdb", pyairbyte, AIRBYTE, protocol="airbyte", slow=True),
]
"""All of them read the same program."""

FAKED = [
    Contender("airbyte-source-faker alone", "none", faker, FAKER, protocol="airbyte"),
    Contender("dativo", "duckdb", dativo_faker("duckdb"), FAKER, protocol="airbyte"),
]
"""The whole run, beside what the source needs when nobody does anything with its rows."""

PACKED = [
    Contender("dativo", "duckdb", dativo_packed("package"), FAKER, protocol="airbyte"),
    Contender("dativo, image in the sandbox", "duckdb", dativo_packed("sandbox"), FAKER, protocol="airbyte"),
    Contender("dativo, image in Docker", "duckdb", dativo_packed("docker"), FAKER, protocol="airbyte"),
]
"""The same source, as a package and as an image: what a container costs."""

TEN_TIMES = [
    Contender("dativo", "parquet", dativo("parquet", 10)),
    Contender("dativo", "duckdb", dativo("duckdb", 10)),
]
"""The same messages ten times over: memory must not grow."""
