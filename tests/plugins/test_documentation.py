"""`docs/plugin-sandbox.md` says what is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dativo_engines import LEVELS, SandboxFile, SandboxOptions
from dativo_protocols import ConfigError

from dativo._document import Document
from dativo._model import validate
from dativo._sandbox_config import SandboxConfig, sandbox_options
from tests.plugins.hostile import ATTACKS

PAGE = (Path(__file__).parents[2] / "docs" / "plugin-sandbox.md").read_text(encoding="utf-8")


def config(said: dict[str, object]) -> SandboxConfig:
    return validate(SandboxConfig, said, Document("job.yaml", said, {}))


def test_every_attack_is_in_the_list() -> None:
    rows = [f"| {(function.__doc__ or '').rstrip('.')} | {stopped_by} |" for function, stopped_by in ATTACKS.values()]
    table = re.search(r"<!-- attacks -->\n(.+?)\n<!-- end -->", PAGE, re.DOTALL)
    assert table is not None
    assert table[1].splitlines()[2:] == rows


def test_every_key_is_in_the_table_and_every_default_what_it_says() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE.partition("## Levels")[0], re.MULTILINE))
    assert set(rows) == set(SandboxConfig.model_fields)
    options = SandboxOptions()
    sizes = {"memory": options.memory_bytes, "tmp": options.tmp_bytes, "file_size": options.file_bytes}
    for name, value in sizes.items():
        number, unit = rows[name].split()
        assert int(number) << {"MiB": 20, "GiB": 30}[unit] == value
    counts = {"processes": options.processes, "open_files": options.open_files}
    assert {name: int(rows[name].replace(",", "")) for name in counts} == counts
    unlimited = {name for name, default in rows.items() if default == "no limit"}
    assert unlimited == {"cpu_seconds", "output", "time"}


def test_every_level_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.partition("## Levels")[2].partition("\n## ")[0], re.MULTILINE)
    assert rows == list(reversed(LEVELS))


def test_the_jobs_sandbox_is_understood() -> None:
    (job,) = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.+?)```", PAGE, re.DOTALL))
    assert sandbox_options(config(job["source"]["sandbox"]), Path("/project")) == SandboxOptions(
        level="strict",
        memory_bytes=1 << 30,
        cpu_seconds=600.0,
        processes=64,
        files=(SandboxFile(Path("/project/data/in.csv")), SandboxFile(Path("/project/out"), writable=True)),
        network=("db.example:5432", "api.example"),
        environment=("API_KEY",),
    )


def test_zero_is_no_limit() -> None:
    named = ("memory", "processes", "file_size", "output", "time")
    options = sandbox_options(config(dict.fromkeys(named, 0)), Path("/project"))
    limits = (options.memory_bytes, options.processes, options.file_bytes, options.output_bytes, options.seconds)
    assert limits == (None,) * 5


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"levle": "strict"}, "did you mean `level`"),
        ({"level": "high"}, "not one of `process`, `landlock`, `namespaces`, `strict`"),
        ({"files": [{"path": "x", "writable": True}]}, "unknown key"),
        ({"open_files": 0}, "greater than 0"),
    ],
)
def test_what_is_wrong_is_said(said: dict[str, object], error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(said)
    assert error in str(caught.value)


def test_the_command_runs(tmp_path: Path) -> None:
    (command,) = re.findall(r"^\$ dativo (.+)$", PAGE, re.MULTILINE)
    ended = subprocess.run([str(Path(sys.executable).with_name("dativo")), *command.split()], cwd=tmp_path, capture_output=True)
    assert (ended.returncode, b"bubblewrap" in ended.stdout) == (0, True)
