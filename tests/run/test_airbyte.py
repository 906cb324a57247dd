"""Whole runs of a scripted Airbyte source."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dativo_protocols import ConfigError, ConnectorError
from dativo_sdk import JobKey

import dativo
from dativo._job import load_job
from dativo._kept_config import KeptConfig
from dativo._paths import configs_dir
from dativo._progress import Progress
from dativo._run import execute

SOON = {"wait": 0.01, "max_wait": 0.02}


def record(stream: str, number: int) -> dict[str, Any]:
    return {"type": "RECORD", "record": {"stream": stream, "data": {"id": number, "at": number}, "emitted_at": 1}}


def state(stream: str, data: str) -> str:
    return (
        f'{{"type":"STATE","state":{{"type":"STREAM","stream":'
        f'{{"stream_descriptor":{{"name":"{stream}"}},"stream_state":{data}}}}}}}'
    )


def status(stream: str, said: str, **more: Any) -> dict[str, Any]:
    described = {"stream_descriptor": {"name": stream}, "status": said, **more}
    return {"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": 1.5, "stream_status": described}}


def failure(message: str, kind: str) -> dict[str, Any]:
    error = {"message": message, "failure_type": kind}
    return {"type": "TRACE", "trace": {"type": "ERROR", "emitted_at": 1.5, "error": error}}


def control(config: dict[str, Any]) -> dict[str, Any]:
    changed = {"type": "CONNECTOR_CONFIG", "emitted_at": 1.5, "connectorConfig": {"config": config}}
    return {"type": "CONTROL", "control": changed}


def rows(table: str = "orders") -> list[int]:
    with duckdb.connect("shop.duckdb", read_only=True) as db:
        return [row[0] for row in db.execute(f"SELECT id FROM {table} ORDER BY 1").fetchall()]


def states(data: bytes | None) -> dict[str, Any]:
    """By stream, what an array of states says."""
    entries = [entry["stream"] for entry in json.loads(data or b"[]")]
    return {entry["stream_descriptor"]["name"]: entry["stream_state"] for entry in entries}


def test_rows_are_merged_by_the_sources_key_and_the_state_goes_round(project: Path, source: Any) -> None:
    source.offers("orders")
    source.says(record("orders", 1), record("orders", 2), state("orders", '{"at": 1.10}'), status("orders", "COMPLETE"))
    report = dativo.run(source.job())
    assert (report.written, report.streams[0].write, report.streams[0].status) == (2, "merge", "COMPLETE")
    assert b'{"at": 1.10}' in (report.state_after or b"")
    source.says(record("orders", 2), record("orders", 3))
    dativo.run(source.job())
    assert source.handed_state == report.state_after
    assert rows() == [1, 2, 3]


def test_what_the_job_selects_is_in_the_configured_catalog(project: Path, source: Any) -> None:
    source.offers("orders", "users")
    source.says(record("orders", 1))
    dativo.run(source.job(source={"streams": {"orders": {"mode": "full_refresh", "fields": ["id"]}}}))
    (stream,) = json.loads(source.handed("catalog"))["streams"]
    assert (stream["stream"]["name"], stream["sync_mode"]) == ("orders", "full_refresh")
    assert list(stream["stream"]["json_schema"]["properties"]) == ["id", "at"]


def test_a_stream_left_incomplete_fails_the_run_and_is_named(project: Path, source: Any) -> None:
    source.offers("orders")
    source.says(record("orders", 1), state("orders", "1"), record("orders", 2), status("orders", "INCOMPLETE"))
    report = execute(load_job(source.job(checkpoint={"rows": 1}, retry={"attempts": 1})))
    assert (report.status, report.exit_code, report.streams[0].status) == ("failed", 10, "INCOMPLETE")
    assert "`orders`" in str(report.error)
    assert rows() == [1]


def test_a_transient_error_leads_to_another_attempt_from_the_last_checkpoint(project: Path, source: Any) -> None:
    source.offers("orders")
    first = [record("orders", 1), state("orders", '{"at": 1}'), record("orders", 2)]
    source.says(*first, failure("too many requests", "transient_error"), "#fail 1", state("orders", '{"at": 2}'))
    job = source.job(checkpoint={"rows": 1}, retry={**SOON, "attempts": 2})
    report = execute(load_job(job))
    assert states(source.handed_state) == {"orders": {"at": 1}}
    assert (report.exit_code, len(report.attempts)) == (75, 2)
    assert "too many requests" in str(report.error)


@pytest.mark.parametrize("kind", ["config_error", "system_error"])
def test_an_error_of_the_configuration_is_not_tried_again(project: Path, source: Any, kind: str) -> None:
    source.offers("orders")
    source.says(failure("the key is wrong", kind), "#exit 1")
    report = execute(load_job(source.job(retry={**SOON, "attempts": 2})))
    assert (report.exit_code, len(report.attempts)) == (10, 1 if kind == "config_error" else 2)


def test_overwritten_streams_and_finished_refreshes_start_over(project: Path, source: Any) -> None:
    source.offers("orders", "users", "pages")
    said = [
        state("orders", '{"at": 1}'),
        state("users", '{"at": 1}'),
        state("pages", '{"__ab_full_refresh_sync_complete": true}'),
    ]
    source.says(record("users", 1), *said)
    job = source.job(source={"streams": {"*": {}, "users": {"write": "overwrite"}}})
    dativo.run(job)
    source.says(record("users", 2), record("users", 3))
    dativo.run(job)
    assert states(source.handed_state) == {"orders": {"at": 1}}
    assert rows("users") == [2, 3]


def test_a_stream_that_is_left_out_keeps_its_state(project: Path, source: Any) -> None:
    source.offers("orders", "users")
    source.says(state("orders", '{"at": 1}'), state("users", '{"at": 1}'))
    dativo.run(source.job())
    source.says(record("orders", 2), state("orders", '{"at": 2}'))
    report = dativo.run(source.job(source={"streams": ["orders"]}))
    assert states(report.state_after) == {"orders": {"at": 2}, "users": {"at": 1}}


def test_shared_state_survives_a_run_that_is_stopped_in_the_middle(project: Path, source: Any) -> None:
    def cdc(shared: str, *streams: str) -> str:
        entries = ",".join(f'{{"stream_descriptor":{{"name":"{name}"}},"stream_state":{{"done":true}}}}' for name in streams)
        told = f'{{"shared_state":{shared},"stream_states":[{entries}]}}'
        return f'{{"type":"STATE","state":{{"type":"GLOBAL","global":{told}}}}}'

    source.offers("orders", "users")
    first = [record("orders", 1), cdc('{"lsn":1.50}', "orders"), record("users", 1)]
    source.says(*first, "#exit 1")
    job = source.job(checkpoint={"rows": 1}, retry={"attempts": 1})
    assert execute(load_job(job)).exit_code == 10
    source.says(record("users", 1), cdc('{"lsn":2.50}', "users"))
    report = dativo.run(job)
    assert b'"shared_state":{"lsn":1.50}' in source.handed_state
    told = json.loads(report.state_after or b"")[0]["global"]
    assert (told["shared_state"], len(told["stream_states"])) == ({"lsn": 2.5}, 2)


@pytest.mark.parametrize("target", ["duckdb", "parquet"])
def test_a_second_full_refresh_does_not_double_the_table(project: Path, source: Any, target: str) -> None:
    source.offers("orders", incremental=False, source_defined_primary_key=[] if target == "duckdb" else [["id"]])
    source.says(record("orders", 1), state("orders", '{"next_page_token": 2}'), record("orders", 2))
    job = source.job({"connector": target, "config": {"path": "shop.duckdb"}})
    for _ in range(2):
        report = dativo.run(job)
        assert (report.written, report.streams[0].write) == (2, "overwrite")
    assert source.handed_state is None
    assert target == "parquet" or rows() == [1, 2]


def test_a_bare_state_is_handed_back_bare(project: Path, source: Any) -> None:
    source.offers("orders")
    source.says(record("orders", 1), '{"type":"STATE","state":{"data":{"orders":{"at":1.10}}}}')
    dativo.run(source.job())
    dativo.run(source.job())
    assert source.handed_state == b'{"orders":{"at":1.10}}'


def test_a_new_configuration_is_used_by_the_next_run(project: Path, source: Any) -> None:
    source.offers("orders")
    source.more = {"refresh_token": "first-token"}
    source.says(control({**source.config, "refresh_token": "second-token"}))
    dativo.run(source.job())
    source.says()
    dativo.run(source.job())
    assert json.loads(source.handed("config"))["refresh_token"] == "second-token"
    source.more = {"refresh_token": "by-hand"}
    dativo.run(source.job())
    assert json.loads(source.handed("config"))["refresh_token"] == "by-hand"


def test_a_new_configuration_is_used_by_the_next_attempt_and_masked(project: Path, source: Any) -> None:
    source.offers("orders")
    source.more = {"refresh_token": "first-token"}
    new = control({**source.config, "refresh_token": "second-token"})
    source.says(new, "#fail 1", failure("second-token is fine, but", "config_error"), "#exit 1")
    lines: list[str] = []
    report = execute(load_job(source.job(retry=SOON)), log=lambda level, line: lines.append(line))
    assert json.loads(source.handed("config"))["refresh_token"] == "second-token"
    assert len(report.attempts) == 2
    assert "second-token" not in json.dumps([lines, report.to_dict()])


RUN = (
    "import sys, json; from dativo._run import execute; from dativo._job import load_job;"
    "sys.exit(execute(load_job(json.loads(sys.argv[1]))).exit_code)"
)


def test_a_run_killed_right_after_the_new_configuration_has_kept_it(project: Path, source: Any) -> None:
    source.offers("orders")
    source.more = {"refresh_token": "first-token"}
    source.says(control({**source.config, "refresh_token": "second-token"}), "#sleep 60")
    process = subprocess.Popen([sys.executable, "-c", RUN, json.dumps(source.job())])
    kept = KeptConfig(configs_dir(), JobKey("default", "shop"))
    deadline = time.monotonic() + 60
    while kept.about() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    source.says()
    dativo.run(source.job())
    assert json.loads(source.handed("config"))["refresh_token"] == "second-token"


def test_checking_a_job_uses_the_new_configuration_and_keeps_a_newer_one(project: Path, source: Any) -> None:
    source.offers("orders")
    source.more = {"refresh_token": "first-token"}
    Path("job.yaml").write_text(json.dumps(source.job()))
    source.says(control({**source.config, "refresh_token": "second-token"}), record("orders", 1))
    dativo.source("job.yaml").read("orders").to_arrow()
    assert dativo.source("job.yaml").config["refresh_token"] == "second-token"


def test_estimates_and_rate_limits_are_shown(project: Path, source: Any) -> None:
    source.offers("orders")
    estimate = {"type": "ESTIMATE", "emitted_at": 1.5, "estimate": {"name": "orders", "type": "STREAM", "row_estimate": 4}}
    reasons = [{"type": "RATE_LIMITED", "rate_limited": {"quota_reset": (time.time() + 60) * 1000}}]
    waiting = status("orders", "RUNNING", reasons=reasons)
    source.says({"type": "TRACE", "trace": estimate}, waiting, record("orders", 1), status("orders", "COMPLETE"))
    progress, lines = Progress(), []
    dativo.run(source.job(), progress=progress, log=lambda *line: lines.append(line))
    assert (progress.snapshot().streams["orders"].estimate, progress.snapshot().streams["orders"].share) == (4, 1.0)
    (said,) = [line for level, line in lines if level == "warning"]
    assert said.startswith("stream `orders` waits: the source's rate limit is reached, for ")


def catalog_of(source: Any, **configured: Any) -> str:
    streams = [{"stream": one, **configured} for one in source.config["streams"]] if configured else source.config["streams"]
    Path("catalog.json").write_text(json.dumps({"streams": streams}))
    source.offers()
    return "catalog.json"


def test_a_catalog_takes_the_place_of_discovery(project: Path, source: Any) -> None:
    source.offers("orders")
    path = catalog_of(source)
    source.says(record("orders", 1))
    assert dativo.run(source.job(source={"catalog": path})).written == 1


def test_a_configured_catalog_says_how_streams_are_read_and_a_job_beats_it(project: Path, source: Any) -> None:
    source.offers("orders")
    path = catalog_of(source, sync_mode="full_refresh", destination_sync_mode="overwrite", primary_key=[["at"]])
    source.says(record("orders", 1))
    report = dativo.run(source.job(source={"catalog": path}))
    (stream,) = json.loads(source.handed("catalog"))["streams"]
    assert (stream["sync_mode"], stream["primary_key"], report.written) == ("full_refresh", [["at"]], 1)
    dativo.run(source.job(source={"catalog": path, "streams": {"orders": {"mode": "incremental"}}}))
    assert json.loads(source.handed("catalog"))["streams"][0]["sync_mode"] == "incremental"


def test_a_catalog_of_the_other_protocol_is_refused(project: Path, source: Any, tap: Any, say: Any) -> None:
    source.offers("orders")
    path = catalog_of(source)
    with pytest.raises(ConfigError, match="is that of an Airbyte source, but the connector is run by engine `singer`"):
        dativo.run(tap.job(source={"catalog": path}))
    tap.offers(say.schema("orders", id="integer"))
    Path(path).write_text(json.dumps(tap.config["catalog"]))
    with pytest.raises(ConfigError, match="is that of a Singer tap"):
        dativo.run(source.job(source={"catalog": path}))


def test_a_source_can_be_asked_and_read_without_a_target(project: Path, source: Any) -> None:
    source.offers("orders", "users")
    source.says(record("orders", 1), record("orders", 2), state("orders", '{"at": 2}'))
    opened = dativo.source(source.reference, source.config)
    assert opened.spec().config_schema["required"] == ["script"]
    assert opened.check().succeeded
    assert opened.streams == ("orders", "users")
    reader = opened.read("orders", fields=["id"])
    assert reader.to_arrow().column("id").to_pylist() == [1, 2]
    assert states(reader.state) == {"orders": {"at": 2}}


def test_a_stream_that_the_source_leaves_incomplete_fails_its_reader(project: Path, source: Any) -> None:
    source.offers("orders")
    source.says(record("orders", 1), status("orders", "INCOMPLETE"))
    with pytest.raises(ConnectorError, match="incomplete"):
        dativo.source(source.reference, source.config).read("orders").to_arrow()
