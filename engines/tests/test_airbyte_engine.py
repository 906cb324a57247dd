"""Spec, check and discover: the answer stands anywhere among the lines, and a failure says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dativo_protocols import ConfigError, ConnectorError, StreamId

from .airbyte_sources import SCHEMA, control, engine, error, log
from .readings import says

SPEC = {"type": "SPEC", "spec": {"connectionSpecification": {"properties": {"key": {}}}, "documentationUrl": "x"}}
OK = {"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED"}}
BAD = {"type": "CONNECTION_STATUS", "connectionStatus": {"status": "FAILED", "message": "wrong key s3cr3t-value"}}
USERS = {
    "name": "users",
    "namespace": None,
    "json_schema": SCHEMA,
    "supported_sync_modes": ["full_refresh", "incremental"],
    "source_defined_primary_key": [["id"]],
    "default_cursor_field": ["updated_at"],
    "x-own": [1.10],
}
CATALOG = {"type": "CATALOG", "catalog": {"streams": [USERS, {**USERS, "namespace": "b"}]}}
NOISE = [log("INFO", "MemoryMonitor instantiated"), "noise", ""]


def test_the_spec_comes_after_logs_and_noise(script: Any, tmp_path: Path) -> None:
    spec = engine(script(says(*NOISE, SPEC, log("INFO", "bye"))), tmp_path).spec()
    assert spec.config_schema == {"properties": {"key": {}}}
    assert spec.raw["documentationUrl"] == "x"


def test_the_catalog_comes_after_logs_and_noise(script: Any, tmp_path: Path) -> None:
    catalog = engine(script(says(*NOISE, CATALOG)), tmp_path).discover({})
    first, second = catalog.streams
    assert (first.id, second.id) == (StreamId("users"), StreamId("users", "b"))
    assert (first.primary_key, first.cursor, first.replication_methods) == (
        ("id",),
        ("updated_at",),
        ("FULL_TABLE", "INCREMENTAL"),
    )
    assert first.raw["x-own"] == [1.1]


@pytest.mark.parametrize(("said", "succeeded"), [(OK, True), (BAD, False)])
def test_check_gives_the_status_though_it_exits_0(said: dict[str, Any], succeeded: bool, script: Any, tmp_path: Path) -> None:
    status = engine(script(says(*NOISE, said)), tmp_path).check({"password": "s3cr3t-value"})
    assert (status.succeeded, status.message) == (succeeded, "" if succeeded else "wrong key ***")


def test_check_prefers_the_status_to_the_error_before_it(script: Any, tmp_path: Path) -> None:
    status = engine(script(says(error("internal", "config_error"), BAD)), tmp_path).check({})
    assert (status.succeeded, status.message) == (False, "wrong key s3cr3t-value")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (says(error("no such host", "transient_error"), then="sys.exit(1)"), "failed: no such host"),
        (says(OK, then="sys.exit(3)"), "exit code 3"),
        (says(log("FATAL", "Config validation error"), then="sys.exit(1)"), "Config validation error"),
        ("raise RuntimeError('no disk')", "RuntimeError: no disk"),
    ],
)
def test_a_source_that_fails_over_a_check_has_refused(body: str, message: str, script: Any, tmp_path: Path) -> None:
    status = engine(script(body), tmp_path).check({})
    assert not status.succeeded
    assert message in status.message


def test_a_complaint_of_the_command_line_comes_from_stderr(script: Any, tmp_path: Path) -> None:
    program = script("import argparse\nargparse.ArgumentParser('source-x').parse_args()\n")
    with pytest.raises(ConnectorError, match=r"failed: unrecognized arguments: spec \(exit code 2\)") as caught:
        engine(program, tmp_path).spec()
    assert (caught.value.facts["exit_code"], caught.value.again) == (2, False)


def test_the_traced_error_is_the_cause_not_the_traceback(script: Any, tmp_path: Path) -> None:
    traced = error("Bad key", "config_error", internal_message="401", stack_trace="Traceback …")
    program = script(says(log("ERROR", "other"), traced, then="raise RuntimeError('other')"))
    with pytest.raises(ConnectorError, match=r"failed: Bad key\n") as caught:
        engine(program, tmp_path).discover({})
    assert caught.value.facts["internal_message"] == "401"
    assert "RuntimeError: other" in str(caught.value.facts["stderr"])


@pytest.mark.parametrize(("kind", "again"), [("transient_error", True), ("system_error", False)])
def test_a_failed_discovery_is_tried_again_only_if_that_may_pass(kind: str, again: bool, script: Any, tmp_path: Path) -> None:
    with pytest.raises(ConnectorError) as caught:
        engine(script(says(error("x", kind), then="sys.exit(1)")), tmp_path).discover({})
    assert caught.value.again is again


@pytest.mark.parametrize("command", ["spec", "check", "discover"])
def test_silence_is_no_answer(command: str, script: Any, tmp_path: Path) -> None:
    source = engine(script("pass"), tmp_path)
    with pytest.raises(ConnectorError, match=f"gave no answer to `{command}`"):
        source.spec() if command == "spec" else getattr(source, command)({})


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such program: `/none/source-x`"):
        engine("/none/source-x", tmp_path).check({})


def test_configuration_arguments_and_environment(script: Any, tmp_path: Path) -> None:
    body = """
        import json, os, stat, sys
        command, flag, path = sys.argv[1:]
        assert (command, flag, json.load(open(path))) == ("check", "--config", {"a": [1, "2024-01-01"]}), sys.argv
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert (os.environ["WORKER_JOB_ID"], os.environ["WORKER_JOB_ATTEMPT"]) == ("12", "1")
        print(json.dumps({"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED"}}))
        """
    import datetime

    status = engine(script(body), tmp_path, sync_id=12, attempt=2).check({"a": [1, datetime.date(2024, 1, 1)]})
    assert status.succeeded, status.message


def test_a_new_configuration_is_handed_over_also_by_a_check(script: Any, tmp_path: Path) -> None:
    given: list[Any] = []
    lines: list[str] = []
    program = script(says(control(t="n3w-t0ken"), log("INFO", "uses n3w-t0ken"), OK))
    options = {"on_config": given.append, "secrets": ("0ld-t0ken",), "log": lambda level, line: lines.append(line)}
    assert engine(program, tmp_path, **options).check({"t": "0ld-t0ken"}).succeeded
    assert given == [{"t": "n3w-t0ken"}]
    assert lines == ["uses ***"]


def test_a_manifest_comes_with_the_configuration_and_leaves_it_again(script: Any, tmp_path: Path) -> None:
    from dataclasses import replace

    from dativo_engines import Connector, EngineOptions
    from dativo_engines.airbyte import AirbyteEngine

    (tmp_path / "m.yaml").write_text("type: DeclarativeSource\nstreams: [{name: x}]\n")
    body = """
        import json, sys
        config = json.load(open(sys.argv[3]))
        assert config["__injected_declarative_manifest"]["streams"] == [{"name": "x"}]
        said = {"type": "CONNECTOR_CONFIG", "emitted_at": 1.0, "connectorConfig": {"config": {**config, "new": 1}}}
        print(json.dumps({"type": "CONTROL", "control": said}))
        print(json.dumps({"type": "CONNECTION_STATUS", "connectionStatus": {"status": "SUCCEEDED"}}))
        """
    given: list[Any] = []
    connector = Connector("airbyte:m.yaml", manifest=tmp_path / "m.yaml")
    connector = replace(connector, executable=script(body))
    options = EngineOptions(tmp_path / "cache", tmp_dir=tmp_path / "private", on_config=given.append)
    status = AirbyteEngine(connector, options).check({"key": 1})
    assert (status.succeeded, given) == (True, [{"key": 1, "new": 1}]), status.message
