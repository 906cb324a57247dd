"""Readers as programs: Airbyte's messages, Singer's, and how such a program ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from dativo_sdk._program.command import UsageError, parse

HERE = Path(__file__).parent
COUNTING = f"{HERE / 'counting_reader.py'}:CountingReader"
LEDGER = f"{HERE / 'ledger_reader.py'}:LedgerReader"


def run(*arguments: str, target: str = COUNTING, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    """The program at its end."""
    environment = {**os.environ, **settings.pop("environment", {})}
    return subprocess.run(
        [sys.executable, "-m", "dativo_sdk.program", target, *arguments],
        input=settings.pop("stdin", b""),
        capture_output=True,
        env=environment,
        timeout=60,
        check=False,
    )


def written(path: Path, value: Any) -> str:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return str(path)


def said(ended: subprocess.CompletedProcess[bytes], kind: str | None = None) -> list[dict[str, Any]]:
    """Its messages, of one type or all; each line of stdout must be one."""
    messages = [json.loads(line) for line in ended.stdout.splitlines()]
    return [message for message in messages if kind in (None, message["type"])]


def configured(*streams: dict[str, Any]) -> dict[str, Any]:
    return {"streams": [{"stream": each, "sync_mode": "incremental", "cursor_field": ["n"]} for each in streams]}


def described(name: str, namespace: str | None = None, *fields: str) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "json_schema": {"properties": {field: {} for field in fields}}}


def test_the_specification_says_what_dativo_wants_to_know() -> None:
    (message,) = said(run("spec"))
    assert message["spec"]["dativo"] == {
        "api_version": "1.0",
        "name": "counting",
        "version": "1.2.3",
        "capabilities": {
            "read": True,
            "write": False,
            "modes": ["full_refresh", "incremental"],
            "write_modes": [],
            "powers": [],
            "formats": ["arrow", "json", "singer"],
            "releases_gil": False,
            "refuses": [],
        },
    }


def test_a_check_that_fails_is_an_answer(tmp_path: Path) -> None:
    good = run("check", "--config", written(tmp_path / "good.json", {}))
    bad = run("check", "--config", written(tmp_path / "bad.json", {"rows": "many"}))
    assert said(good, "CONNECTION_STATUS")[0]["connectionStatus"]["status"] == "SUCCEEDED"
    assert said(bad, "CONNECTION_STATUS")[0]["connectionStatus"] == {
        "status": "FAILED",
        "message": "`rows` is no number\nhint: write a number",
    }
    assert (good.returncode, bad.returncode) == (0, 0)


def test_streams_are_discovered(tmp_path: Path) -> None:
    (catalog,) = said(run("discover", "--config", written(tmp_path / "config.json", {})), "CATALOG")
    numbers, squares = catalog["catalog"]["streams"]
    assert (numbers["name"], "namespace" in numbers, squares["namespace"]) == ("numbers", False, "math")
    assert numbers["supported_sync_modes"] == ["full_refresh", "incremental"]
    assert (numbers["source_defined_primary_key"], numbers["default_cursor_field"]) == ([["n"]], ["n"])


def test_rows_and_states_of_the_configured_streams(tmp_path: Path) -> None:
    config = written(tmp_path / "config.json", {"rows": 3})
    catalog = written(tmp_path / "catalog.json", configured(described("squares", "math", "n")))
    ended = run("read", "--config", config, "--catalog", catalog, "--max-rows", "2")
    assert ended.returncode == 0
    messages = said(ended)
    assert [message["record"]["data"] for message in said(ended, "RECORD")] == [{"n": 0}, {"n": 1}, {"n": 4}]
    assert {(message["record"]["stream"], message["record"]["namespace"]) for message in said(ended, "RECORD")} == {
        ("squares", "math")
    }
    assert [message["state"] for message in said(ended, "STATE")] == [
        {
            "type": "STREAM",
            "stream": {"stream_descriptor": {"name": "squares", "namespace": "math"}, "stream_state": {"n": n}},
            "sourceStats": {"recordCount": count},
        }
        for n, count in ((2, 2), (3, 1))
    ]
    statuses = [message["trace"]["stream_status"]["status"] for message in messages if message["type"] == "TRACE"]
    assert statuses == ["STARTED", "RUNNING", "COMPLETE"]


def test_a_state_is_gone_on_from(tmp_path: Path) -> None:
    config = written(tmp_path / "config.json", {"rows": 3})
    catalog = written(tmp_path / "catalog.json", configured(described("numbers")))
    states = [
        message["state"] for message in said(run("read", "--config", config, "--catalog", catalog, "--max-rows", "2"), "STATE")
    ]
    state = written(tmp_path / "state.json", states[:1])
    again = run("read", "--config", config, "--catalog", catalog, "--state", state)
    assert [message["record"]["data"]["n"] for message in said(again, "RECORD")] == [2]


def test_what_the_plugin_prints_goes_to_stderr_and_what_it_logs_is_a_message(tmp_path: Path) -> None:
    ended = run("read", "--config", written(tmp_path / "config.json", {}))
    assert b"a line that is no message" in ended.stderr
    assert b"neither is this" in ended.stderr
    assert said(ended, "LOG")[0]["log"] == {"level": "WARN", "message": "counts to 3"}


@pytest.mark.parametrize(
    ("config", "failure_type", "message"),
    [
        ({"rows": "many"}, "config_error", "`rows` is no number\nhint: write a number"),
        ({"fail": "initialize"}, "transient_error", "the source is away"),
        ({"fail": "read"}, "system_error", "ZeroDivisionError: nothing to divide by"),
    ],
)
def test_an_error_says_who_can_mend_it(tmp_path: Path, config: dict[str, Any], failure_type: str, message: str) -> None:
    ended = run("read", "--config", written(tmp_path / "config.json", config))
    trace = said(ended, "TRACE")[-1]["trace"]
    assert ended.returncode == 1
    assert (trace["type"], trace["error"]["failure_type"], trace["error"]["message"]) == ("ERROR", failure_type, message)


def test_streams_of_a_failed_read_are_incomplete_and_the_reader_is_closed(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    ended = run("read", "--config", written(tmp_path / "config.json", {"fail": "read", "marks": str(marks)}))
    statuses = [m["trace"]["stream_status"] for m in said(ended, "TRACE") if m["trace"]["type"] == "STREAM_STATUS"]
    assert [status["status"] for status in statuses] == ["STARTED", "STARTED", "INCOMPLETE", "INCOMPLETE"]
    assert marks.read_text() == "closed\n"


def test_bad_rows_end_a_read_unless_they_are_to_be_logged(tmp_path: Path) -> None:
    refused = run("read", "--config", written(tmp_path / "config.json", {"bad": 2}))
    logged = run("read", "--config", written(tmp_path / "config.json", {"bad": 2, "dativo_on_bad_rows": "log"}))
    assert "2 rows of `numbers` could not be read" in said(refused, "TRACE")[-1]["trace"]["error"]["message"]
    assert (refused.returncode, logged.returncode) == (1, 0)
    assert "2 rows of `numbers` could not be read, and are left out" in [m["log"]["message"] for m in said(logged, "LOG")]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_module:Reader", "there is no module `no_such_module`"),
        ("no_file.py:Reader", "there is no file `no_file.py`"),
        (
            f"{HERE / 'counting_reader.py'}:Missing",
            "hint: it has `Alternating`, `CountingReader`, `Empty`",
        ),
        ("no sense", "`no sense` names no plugin"),
        ("no-such-plugin", "there is no plugin `no-such-plugin`"),
    ],
)
def test_a_plugin_that_cannot_be_found_is_named(target: str, message: str) -> None:
    ended = run("spec", target=target)
    assert ended.returncode == 1
    assert message in said(ended, "TRACE")[0]["trace"]["error"]["message"]


def test_the_cause_of_a_failed_import_is_told(tmp_path: Path) -> None:
    plugin = written(tmp_path / "plugin.py", "import no_such_library\n")
    error = said(run("spec", target=f"{plugin}:Reader"), "TRACE")[0]["trace"]["error"]
    assert "cannot be imported: ModuleNotFoundError: No module named 'no_such_library'" in error["message"]
    assert "plugin.py" in error["stack_trace"]


def test_a_termination_closes_the_reader_and_leaves_whole_messages(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    config = written(tmp_path / "config.json", {"fail": "sleep", "marks": str(marks)})
    command = [sys.executable, "-m", "dativo_sdk.program", COUNTING, "read", "--config", config]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        while b"STARTED" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert process.returncode == 143
    assert marks.read_text() == "closed\n"
    assert not rest or rest.endswith(b"\n")


def test_a_reader_whose_output_is_closed_ends_quietly(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    config = written(tmp_path / "config.json", {"rows": 100_000_000, "marks": str(marks)})
    command = [sys.executable, "-m", "dativo_sdk.program", COUNTING, "read", "--config", config, "--max-rows", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 141
    assert b"Traceback" not in errors
    assert marks.read_text() == "closed\n"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "no command"),
        (["reed"], "no command `reed`"),
        (["read", "--config"], "`--config` needs a value"),
        (["read", "--colour", "red"], "no option `--colour`"),
        (["read", "--format", "xml"], "`json` or `arrow`, not `xml`"),
        (["read", "--max-rows", "0"], "a number from 1 on"),
    ],
)
def test_a_wrong_command_line_is_refused(arguments: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse(arguments, {})


def test_a_wrong_command_line_shows_the_right_one() -> None:
    ended = run("reed")
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert b"spec | check | discover | read" in ended.stderr


def test_hosts_ask_for_arrow_by_the_environment_and_only_of_sources() -> None:
    assert parse(["read"], {"DATIVO_FORMAT": "arrow"}).arrow
    assert not parse(["read", "--format", "json"], {"DATIVO_FORMAT": "arrow"}).arrow
    assert not parse(["--config", "x"], {"DATIVO_FORMAT": "arrow"}).arrow


def test_a_program_of_a_small_reader_starts_quickly_and_loads_nothing_heavy(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import sys\n"
        "from dativo_protocols import Catalog\n"
        "class Nothing:\n"
        "    def initialize(self, config, catalog, state): pass\n"
        "    def get_schema(self): return Catalog(())\n"
        "    def read_batch(self, max_rows): print(*sys.modules, file=sys.stderr)\n"
        "    def get_incremental_state(self): pass\n"
        "    def close(self): pass\n"
    )
    config = written(tmp_path / "config.json", {})
    loaded = run("read", "--config", config, target=f"{plugin}:Nothing").stderr.decode().split()
    assert "dativo_sdk" in loaded
    assert {"pyarrow", "pydantic", "yaml", "asyncio", "argparse", "typing_extensions", "numpy", "ctypes"}.isdisjoint(loaded)
    best = min(_seconds(f"{plugin}:Nothing", config) for _ in range(5))
    assert best < 1.5  # On a machine at rest it is a tenth of that; this is for one that is not.


def _seconds(target: str, config: str) -> float:
    began = time.perf_counter()
    run("read", "--config", config, target=target)
    return time.perf_counter() - began


def rows_of(ended: subprocess.CompletedProcess[bytes]) -> list[Any]:
    return [(message["record"]["stream"], message["record"]["data"]) for message in said(ended, "RECORD")]


def test_parts_that_stdin_names_are_said_one_after_the_other(tmp_path: Path) -> None:
    streams = said(run("discover", target=LEDGER))[-1]["catalog"]["streams"]
    catalog = written(tmp_path / "catalog.json", configured(*streams))
    (parts,) = said(run("partitions", "--catalog", catalog, "--count", "2", target=LEDGER), "PARTITIONS")
    tokens = [part["token"] for part in parts["partitions"]]
    alone = []
    for token in tokens:
        (tmp_path / "part").write_bytes(b64decode(token))
        alone += rows_of(run("read", "--catalog", catalog, "--partition", str(tmp_path / "part"), target=LEDGER))
    together = run("read", "--catalog", catalog, "--partition", "-", target=LEDGER, stdin="\n".join(tokens).encode())
    assert (parts["on_stdin"], together.returncode, rows_of(together)) == (True, 0, alone)
    assert len(tokens) > 2
    assert not said(together, "STATE")
    traces = [message["trace"] for message in said(together, "TRACE")]
    statuses = [trace["stream_status"]["status"] for trace in traces if "stream_status" in trace]
    begun_and_done = ["STARTED"] * len(streams) + ["COMPLETE"] * len(streams)
    assert [status for status in statuses if status != "RUNNING"] == begun_and_done * len(tokens)


@pytest.mark.parametrize(
    ("stdin", "message"), [(b"???\n", "no token of a part in base64"), (b"bnVsbA==\n", "only with a catalog")]
)
def test_a_part_on_stdin_that_cannot_be_read_is_an_error_of_the_configuration(stdin: bytes, message: str) -> None:
    ended = run("read", "--partition", "-", target=LEDGER, stdin=stdin)
    (error,) = said(ended, "TRACE")
    assert (ended.returncode, error["trace"]["error"]["failure_type"]) == (1, "config_error")
    assert message in error["trace"]["error"]["message"]
