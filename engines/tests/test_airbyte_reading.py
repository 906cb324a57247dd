"""Reading: messages, logs, and how a source must end."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dativo_engines import ReadCatalog, Selection
from dativo_protocols import Batch, Catalog, ConfigError, ConnectorError, Estimate, Schema, State, StreamId, StreamStatus

from .airbyte_sources import catalog, engine, error, log, read, record, state, status
from .readings import rows, says

GOOD = [status("t", "STARTED"), record("t", 1), record("t", 2), state("t", {"n": 1}, 2.0), status("t", "COMPLETE")]


def test_messages_and_counts_of_a_good_run(script: Any, tmp_path: Path) -> None:
    seen, reading = read(script(says(*GOOD)), tmp_path)
    assert [type(message) for message in seen if not isinstance(message, StreamStatus)] == [Schema, Batch, State]
    assert [row["id"] for row in rows(seen)] == [1, 2]
    assert reading.rows_in == {StreamId("t"): 2}
    assert reading.bytes_in > 100


def test_the_state_is_what_the_source_is_to_be_given_next_time(script: Any, tmp_path: Path) -> None:
    seen, _ = read(script(says(*GOOD)), tmp_path)
    (given,) = [json.loads(message.data) for message in seen if isinstance(message, State)]
    assert [one["stream"]["stream_state"] for one in given] == [{"n": 1}]


def test_files_and_arguments(script: Any, tmp_path: Path) -> None:
    body = """
        import json, sys
        assert sys.argv[1] == "read"
        files = dict(zip(sys.argv[2::2], sys.argv[3::2]))
        assert sorted(files) == ["--catalog", "--config", "--state"], files
        assert open(files["--state"]).read() == '{"n": 1.10}'
        assert json.load(open(files["--catalog"]))["streams"][0]["sync_mode"] == "full_refresh"
        """
    seen, _ = read(script(body), tmp_path, state=b'{"n": 1.10}')
    assert rows(seen) == []


def test_without_a_state_the_option_is_left_out(script: Any, tmp_path: Path) -> None:
    read(script("import sys\nassert '--state' not in sys.argv\n"), tmp_path)


def test_logs_go_to_the_log_with_their_level_and_masked(script: Any, tmp_path: Path) -> None:
    lines: list[tuple[str, str]] = []
    said = [log("WARN", "uses s3cr3t-value"), log("DEBUG", "d"), "noise s3cr3t-value"]
    program = script(says(*said, *GOOD, then="print('INFO on stderr s3cr3t-value', file=sys.stderr)"))
    read(program, tmp_path, secrets=("s3cr3t-value",), log=lambda level, line: lines.append((level, line)))
    assert ("warning", "uses ***") in lines
    assert ("debug", "d") in lines
    assert ("info", "INFO on stderr ***") in lines
    assert "s3cr3t-value" not in str(lines)


def test_estimates_and_statuses_come_out(script: Any, tmp_path: Path) -> None:
    estimate = {"type": "ESTIMATE", "emitted_at": 1.0, "estimate": {"name": "t", "type": "STREAM", "row_estimate": 5}}
    seen, _ = read(script(says({"type": "TRACE", "trace": estimate}, *GOOD)), tmp_path)
    assert [message.rows for message in seen if isinstance(message, Estimate)] == [5]
    assert [message.status for message in seen if isinstance(message, StreamStatus)] == ["STARTED", "COMPLETE"]


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ("raise RuntimeError('no disk')", "failed: RuntimeError: no disk"),
        ("sys.exit(143)", r"SIGTERM.*exit code 143"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL: out of memory"),
        (
            'sys.stdout.write(\'{"type": "REC\'); sys.stdout.flush(); os.kill(os.getpid(), signal.SIGKILL)',
            "SIGKILL: out of memory",
        ),
    ],
)
def test_a_failed_source_fails_after_its_last_good_message(then: str, message: str, script: Any, tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match=message) as caught:
        read(script(says(*GOOD, then=then)), tmp_path)
    seen = caught.value.facts["seen"]
    assert isinstance(seen, list)
    assert len(rows(seen)) == 2
    assert any(isinstance(one, State) for one in seen)


def test_sigterm_after_incomplete_fails_with_the_checkpoint_that_was_made(script: Any, tmp_path: Path) -> None:
    half = [*GOOD[:-1], record("t", 3), status("t", "INCOMPLETE")]
    with pytest.raises(ConnectorError, match=r"SIGTERM.*; left stream `t` incomplete") as caught:
        read(script(says(*half, then="os.kill(os.getpid(), signal.SIGTERM)")), tmp_path)
    assert caught.value.exit_code == 10
    seen = caught.value.facts["seen"]
    assert isinstance(seen, list)
    before = seen[: next(index for index, one in enumerate(seen) if isinstance(one, State))]
    assert [row["id"] for row in rows(before)] == [1, 2]


def test_incomplete_and_exit_0_is_a_failed_run(script: Any, tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match="left stream `u` incomplete"):
        read(script(says(*GOOD, status("u", "INCOMPLETE"))), tmp_path, streams=catalog("t", "u"))


def test_a_stream_that_the_source_never_mentions_is_incomplete(script: Any, tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match="left stream `u` incomplete") as caught:
        read(script(says(*GOOD)), tmp_path, streams=catalog("t", "u"))
    assert caught.value.facts["stream"] == "u"


def test_streams_without_records_are_announced(script: Any, tmp_path: Path) -> None:
    seen, _ = read(script(says(*GOOD, status("u", "COMPLETE"))), tmp_path, streams=catalog("t", "u"))
    assert {message.stream.name for message in seen if isinstance(message, Schema)} == {"t", "u"}


def test_a_count_that_differs_fails_and_its_state_is_not_given(script: Any, tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match=r"it sent 3 records of stream `t` .*, but 2 came") as caught:
        read(script(says(record("t", 1), record("t", 2), state("t", {}, 3.0), status("t", "COMPLETE"))), tmp_path)
    assert not any(isinstance(one, State) for one in caught.value.facts["seen"])  # type: ignore[attr-defined]


def test_an_error_of_a_stream_fails_the_run_after_the_others_have_ended(script: Any, tmp_path: Path) -> None:
    traced = error("quota", "transient_error", stream_descriptor={"name": "u"})
    with pytest.raises(ConnectorError, match=r"failed: quota \(stream `u`\)") as caught:
        read(script(says(traced, status("u", "INCOMPLETE"), *GOOD, then="sys.exit(1)")), tmp_path, streams=catalog("t", "u"))
    assert (caught.value.exit_code, caught.value.again) == (75, True)
    assert len(rows(caught.value.facts["seen"])) == 2  # type: ignore[arg-type]


def test_fields_that_are_sent_though_nobody_selected_them_are_dropped(script: Any, tmp_path: Path) -> None:
    wide = {"type": "RECORD", "record": {"stream": "t", "data": {"id": 1, "name": "x"}, "emitted_at": 1}}
    seen, _ = read(script(says(wide)), tmp_path, streams=catalog("t", fields=("id",)))
    assert rows(seen) == [{"id": 1}]


def test_a_silent_source_is_ended(script: Any, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(ConnectorError, match="said nothing for 1 s"):
        read(script(says(*GOOD, then="time.sleep(600)")), tmp_path, stall_timeout_seconds=1.0)
    assert time.monotonic() - started < 30


def test_nothing_of_it_is_left(script: Any, tmp_path: Path) -> None:
    read(script(says(*GOOD)), tmp_path)
    assert list((tmp_path / "private").glob("run-*")) == []


def test_a_catalog_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read without a catalog"):
        engine("source-x", tmp_path).read({}, None, None)


def test_odd_records_do_not_vanish(script: Any, tmp_path: Path) -> None:
    odd = [
        {"type": "RECORD", "record": {"stream": "t", "data": {"id": 1}, "emitted_at": "soon", "meta": {"new": 1}}, "x": None},
        {"type": "record", "record": {"stream": "t", "namespace": None, "data": {"id": 2}}},
        {"type": "NEWER_THAN_THIS", "newer": {}},
    ]
    seen, _ = read(script(says(*odd)), tmp_path)
    assert [row["id"] for row in rows(seen)] == [1, 2]


def test_two_namespaces_with_one_stream_name_stay_apart(script: Any, tmp_path: Path) -> None:
    known = catalog("t")
    (one,) = known.catalog.streams
    ids = [StreamId("t", "a"), StreamId("t", "b")]
    streams = tuple(replace(one, id=each, raw={**one.raw, "namespace": each.namespace}) for each in ids)
    both = ReadCatalog(Catalog(streams), {each: Selection() for each in ids})
    said = [record("t", number) for number in (1, 2, 3)]
    for line, namespace in zip(said, "aba", strict=True):
        line["record"]["namespace"] = namespace
    seen, reading = read(script(says(*said)), tmp_path, streams=both)
    assert reading.rows_in == {ids[0]: 2, ids[1]: 1}
    assert {message.stream for message in seen if isinstance(message, Batch)} == set(ids)


def test_a_line_longer_than_any_buffer_comes_through(script: Any, tmp_path: Path) -> None:
    line = (
        'json.dumps({"type": "RECORD", "record": {"stream": "t", "data": {"id": 1, "name": "x" * 20_000_000}, "emitted_at": 1}})'
    )
    (row,) = rows(read(script(says(then=f"print({line})")), tmp_path)[0])
    assert len(row["name"]) == 20_000_000
