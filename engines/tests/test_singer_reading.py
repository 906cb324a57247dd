"""Reading: messages, how the tap ended, and what it must not send."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_engines import Connector, DecodeOptions, EngineOptions, ReadCatalog, Selection
from dativo_engines.singer import SingerEngine
from dativo_engines.singer._catalog import parse_catalog
from dativo_protocols import Batch, BatchFiles, ConnectorError, Log, Message, Rejects, Schema, State, StreamId

from .readings import read_with, rows, says

Script = Callable[..., str]

SCHEMA = {
    "type": "SCHEMA",
    "stream": "t",
    "schema": {"properties": {"id": {"type": "integer"}, "name": {"type": ["string", "null"]}}},
    "key_properties": ["id"],
}
RECORD = {"type": "RECORD", "stream": "t", "record": {"id": 1, "name": "x"}}
GOOD = [SCHEMA, RECORD, {"type": "STATE", "value": {"n": 1}}]


def read(
    program: str,
    tmp_path: Path,
    *,
    catalog: ReadCatalog | None = None,
    state: bytes | None = None,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> tuple[list[Message], Any]:
    """See `read_with`."""
    engine = SingerEngine(
        Connector(f"singer:{program}", program), EngineOptions(tmp_path / "cache", tmp_dir=tmp_path / "private", **options)
    )
    return read_with(engine, config, catalog, state)


def catalog(*names: str, selected: tuple[str, ...], **entry: Any) -> ReadCatalog:
    streams = [{"tap_stream_id": name, "stream": name, "schema": SCHEMA["schema"], "metadata": [], **entry} for name in names]
    return ReadCatalog(parse_catalog({"streams": streams}), {StreamId(name): Selection() for name in selected})


def test_messages_and_counts_of_a_good_run(script: Script, tmp_path: Path) -> None:
    seen, reading = read(script(says(*GOOD)), tmp_path)
    assert [type(message) for message in seen] == [Schema, Batch, State]
    assert rows(seen) == [{"id": 1, "name": "x"}]
    assert reading.rows_in == {StreamId("t"): 1}
    assert reading.bytes_in > 100


def test_silence_is_a_good_run(script: Script, tmp_path: Path) -> None:
    assert read(script("pass"), tmp_path)[0] == []


def test_files_and_flags(script: Script, tmp_path: Path) -> None:
    program = script(
        """
        import json, sys
        flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
        assert sorted(flags) == ["--catalog", "--config", "--state"], flags
        assert open(flags["--state"]).read() == '{"n": 1.10}'
        assert json.load(open(flags["--catalog"]))["streams"][0]["selected"] is True
        """
    )
    assert read(program, tmp_path, catalog=catalog("t", selected=("t",)), state=b'{"n": 1.10}')[0] == []


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ("raise RuntimeError('no disk')", "failed: RuntimeError: no disk"),
        ("sys.exit(143)", r"SIGTERM.*exit code 143"),
        ("sys.exit(137)", r"SIGKILL: out of memory.*exit code 137"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL: out of memory"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "SIGTERM: ended from outside"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV: it crashed"),
        (
            'sys.stdout.write(\'{"type": "REC\'); sys.stdout.flush(); os.kill(os.getpid(), signal.SIGKILL)',
            "SIGKILL: out of memory",
        ),
        ('sys.stdout.write(\'{"type": "REC\'); sys.stdout.flush()', "cut short|ends in the middle"),
    ],
)
def test_a_failed_tap_fails_after_its_last_good_message(then: str, message: str, script: Script, tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match=message) as caught:
        read(script(says(*GOOD, then=then)), tmp_path)
    seen = caught.value.facts["seen"]
    assert isinstance(seen, list)
    assert [type(one) for one in seen][:3] == [Schema, Batch, State]


def test_secrets_are_masked_in_errors_logs_and_noise(script: Script, tmp_path: Path) -> None:
    lines: list[str] = []
    program = script(says("noise s3cr3t-value", then="print('s3cr3t-value', file=sys.stderr); raise ValueError('s3cr3t-value')"))
    with pytest.raises(ConnectorError) as caught:
        read(program, tmp_path, secrets=("s3cr3t-value",), log=lambda _, line: lines.append(line))
    seen = caught.value.facts["seen"]
    assert isinstance(seen, list)
    assert [message.message for message in seen if isinstance(message, Log)] == ["noise ***"]
    assert "s3cr3t" not in f"{caught.value} {caught.value.facts} {lines}"
    assert "ValueError: ***" in caught.value.message


def test_a_hung_tap_is_ended_after_the_stall_timeout(script: Script, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(ConnectorError, match=r"said nothing for 0.5 s") as caught:
        read(script(says(*GOOD, then="time.sleep(600)")), tmp_path, stall_timeout_seconds=0.5)
    assert caught.value.retryable
    assert time.monotonic() - started < 10


def test_a_slow_consumer_is_no_stall(script: Script, tmp_path: Path) -> None:
    program = script(says(SCHEMA, *[RECORD] * 1000, then='print(\'{"type": "STATE", "value": {}}\' * 1)'))
    engine = SingerEngine(
        Connector("singer:x", program), EngineOptions(tmp_path, tmp_dir=tmp_path / "private", stall_timeout_seconds=0.3)
    )
    with engine.read({}, None, None) as reading:
        iterator = iter(reading)
        first = next(iterator)
        time.sleep(1.0)
        rest = list(iterator)
    assert isinstance(first, Schema)
    assert len(rows(rest)) == 1000


def test_closed_stdout_is_not_the_end_of_the_tap(script: Script, tmp_path: Path) -> None:
    program = script(says(*GOOD, then="sys.stdout.close(); os.close(1); time.sleep(600)"))
    with pytest.raises(ConnectorError, match=r"closed its output but still ran after 0.5 s"):
        read(program, tmp_path, stop_timeout_seconds=0.5)


def test_leaving_early_ends_the_tap(script: Script, tmp_path: Path) -> None:
    program = script(says(*GOOD, then="open(os.path.dirname(__file__) + '/pid', 'w').write(str(os.getpid())); time.sleep(600)"))
    engine = SingerEngine(Connector("singer:x", program), EngineOptions(tmp_path, tmp_dir=tmp_path / "private"))
    with engine.read({}, None, None) as reading:
        next(iter(reading))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert list((tmp_path / "private").glob("run-*")) == []


def test_records_of_an_unselected_stream_fail_the_run(script: Script, tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match="stream `t`, which was not selected"):
        read(script(says(*GOOD)), tmp_path, catalog=catalog("t", "u", selected=("u",)))


def test_a_schema_of_an_unselected_stream_is_left_out(script: Script, tmp_path: Path) -> None:
    assert read(script(says(SCHEMA)), tmp_path, catalog=catalog("t", "u", selected=("u",)))[0] == []


def test_streams_carry_the_identity_of_the_catalog(script: Script, tmp_path: Path) -> None:
    chosen = catalog("mine", selected=("mine",), stream_alias="t")
    seen, reading = read(
        script(says(*GOOD)), tmp_path, catalog=chosen, decode=DecodeOptions(fields={"mine": ("id",)}, extra="drop")
    )
    assert {message.stream for message in seen if isinstance(message, (Schema, Batch))} == {StreamId("mine")}
    assert reading.rows_in == {StreamId("mine"): 1}


def test_streams_that_the_tap_calls_alike_are_not_mixed(script: Script, tmp_path: Path) -> None:
    entries = [{"tap_stream_id": f"{schema}.t", "stream": "t", "schema": SCHEMA["schema"]} for schema in "ab"]
    found = parse_catalog({"streams": entries})
    one = ReadCatalog(found, {StreamId("b.t"): Selection()})
    assert {message.stream for message in read(script(says(*GOOD)), tmp_path, catalog=one)[0] if isinstance(message, Batch)} == {
        StreamId("b.t")
    }
    both = ReadCatalog(found, {stream.id: Selection() for stream in found.streams})
    with pytest.raises(ConnectorError, match=r"calls both `a\.t` and `b\.t` `t`"):
        read(script(says(*GOOD)), tmp_path, catalog=both)


# The parser of old taps: no `--catalog` at all.
PROPERTIES_TAP = """
import argparse, json, os, sys
open(os.path.dirname(__file__) + "/starts", "a").write(" ".join(sys.argv[1:]) + "\\n")
parser = argparse.ArgumentParser()
parser.add_argument("-c", "--config", required=True)
parser.add_argument("-p", "--properties")
args = parser.parse_args()
[stream] = json.load(open(args.properties))["streams"]
assert stream["schema"]["selected"] is True
print(json.dumps({"type": "SCHEMA", "stream": "t", "schema": {"properties": {}}, "key_properties": []}))
"""


@pytest.mark.parametrize("style", ["with metadata", "without metadata"])
def test_a_tap_that_takes_properties_gets_them_and_is_remembered(style: str, script: Script, tmp_path: Path) -> None:
    program = script(PROPERTIES_TAP)
    chosen = catalog("t", selected=("t",))
    if style == "without metadata":
        for stream in chosen.catalog.streams:
            del stream.raw["metadata"]
    for _ in range(2):
        seen, _ = read(program, tmp_path, catalog=chosen)
        assert [type(message) for message in seen] == [Schema]
    lines = (tmp_path / "starts").read_text().splitlines()
    assert len(lines) == 3
    assert "--properties" in lines[-1]


# Taps of the Singer SDK with read-only keys.
READ_ONLY_TAP = """
import json, os, sys
def apply_catalog():
    raise AttributeError("property 'primary_keys' of 'Stream' object has no setter")
if "--catalog" in sys.argv:
    apply_catalog()
for stream in ("t", "u"):
    schema = {"properties": {"id": {}, "name": {}}}
    print(json.dumps({"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": []}))
    print(json.dumps({"type": "RECORD", "stream": stream, "record": {"id": "1", "name": "x"}}))
"""


def test_a_tap_that_breaks_on_every_catalog_is_read_without_one(script: Script, tmp_path: Path) -> None:
    chosen = catalog("t", "u", selected=("t",))
    for _ in range(2):
        seen, reading = read(script(READ_ONLY_TAP), tmp_path, catalog=chosen)
        assert [message.stream.name for message in seen if isinstance(message, (Schema, Batch))] == ["t", "t"]
        assert reading.rows_in == {StreamId("t"): 1}


def test_it_is_not_where_the_job_needs_the_catalog(script: Script, tmp_path: Path) -> None:
    chosen = ReadCatalog(catalog("t", selected=()).catalog, {StreamId("t"): Selection(replication_method="INCREMENTAL")})
    with pytest.raises(ConnectorError, match="has no setter"):
        read(script(READ_ONLY_TAP), tmp_path, catalog=chosen)


def batch_message(kind: str, *files: str) -> dict[str, Any]:
    return {"type": "BATCH", "stream": "t", "encoding": {"format": kind}, "manifest": list(files)}


@pytest.mark.parametrize("kind", ["parquet", "arrow", "arrow stream"])
def test_rows_of_batch_files_come_as_the_schema_says(kind: str, script: Script, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    table = pa.table({"name": ["a", None], "id": pa.array([1, 2], pa.int32()), "more": [[1], None]})
    path = tmp_path / "file.bin"
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        with (pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream)(path, table.schema) as writer:
            writer.write_table(table)
    message = batch_message(kind.split()[0], f"file://{path}")
    seen, reading = read(script(says(SCHEMA, message)), tmp_path)
    assert rows(seen) == [{"id": 1, "name": "a", "_dativo_extra": '{"more":[1]}'}, {"id": 2, "name": None, "_dativo_extra": None}]
    assert reading.rows_in == {StreamId("t"): 2}
    assert isinstance(seen[-1], BatchFiles)
    assert seen[-1].decoded


def test_untyped_columns_of_batch_files_become_json(script: Script, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"any": ["text", '{"a":1}', None], "list": [[1], [], None]}), tmp_path / "file.parquet")
    schema = {**SCHEMA, "schema": {"properties": {"any": {}, "list": {"type": "array"}}}, "key_properties": []}
    seen, _ = read(script(says(schema, batch_message("parquet", str(tmp_path / "file.parquet")))), tmp_path)
    assert rows(seen) == [{"any": '"text"', "list": "[1]"}, {"any": '{"a":1}', "list": "[]"}, {"any": None, "list": None}]


def test_a_bad_value_in_a_batch_file_is_quarantined_alone(script: Script, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": [1.0, 2.5, 3.0], "name": ["a", "b", "c"]}), tmp_path / "file.parquet")
    seen, reading = read(script(says(SCHEMA, batch_message("parquet", str(tmp_path / "file.parquet")))), tmp_path)
    rejects = [row for message in seen if isinstance(message, Rejects) for row in pa.record_batch(message.data).to_pylist()]
    assert [(row["column"], json.loads(row["record"])["name"]) for row in rejects] == [("id", "b")]
    assert [row["name"] for row in rows(seen)] == ["a", "c"]
    assert reading.rows_in == {StreamId("t"): 3}


def test_no_batch_file_says_when_its_rows_were_extracted(script: Script, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": [1], "_dativo_extracted_at": ["mine"]}), tmp_path / "file.parquet")
    message = batch_message("parquet", str(tmp_path / "file.parquet"))
    decode = DecodeOptions(metadata=frozenset({"extracted_at"}))
    seen, _ = read(script(says(SCHEMA, message)), tmp_path, decode=decode)
    assert rows(seen) == [
        {"id": 1, "name": None, "_dativo_extracted_at": None, "_dativo_extra": '{"_dativo_extracted_at":"mine"}'}
    ]


def test_a_missing_batch_file_names_itself(script: Script, tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match=r"cannot read `file:///no/such.parquet` of stream `t`"):
        read(script(says(SCHEMA, batch_message("parquet", "file:///no/such.parquet"))), tmp_path)
