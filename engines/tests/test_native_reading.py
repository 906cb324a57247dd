"""A reader in this process: its messages, its states, its errors, its end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_engines import Connector, DecodeOptions, EngineOptions, ReadCatalog, Selection
from dativo_engines.native import NativeEngine
from dativo_protocols import (
    Batch,
    ConfigError,
    ConnectorError,
    ContractError,
    Estimate,
    Message,
    Rejects,
    Schema,
    State,
    StreamId,
    StreamStatus,
)

from . import native_readers
from .native_readers import ARROW, NUMBERS, WORDS, batch
from .readings import read_with, rows

FILE = native_readers.__file__


def engine(reader: str, tmp_path: Path, **options: Any) -> NativeEngine:
    connector = Connector(f"native:{reader}", reader=f"{FILE}:{reader}", isolation="in_process")
    return NativeEngine(connector, EngineOptions(tmp_path, **options))


def catalog(reader: NativeEngine, *streams: StreamId, fields: tuple[str, ...] | None = None) -> ReadCatalog:
    return ReadCatalog(reader.discover({}), {stream: Selection(fields=fields) for stream in streams or (NUMBERS,)})


def read(reader: str, tmp_path: Path, config: Any = None, state: bytes | None = None, **options: Any) -> list[Message]:
    made = engine(reader, tmp_path, **options)
    return read_with(made, config, catalog(made), state)[0]


Said = tuple[Batch | Rejects, State | None]


def script(pieces: Sequence[Said], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> NativeEngine:
    made = engine("Scripted", tmp_path)
    # The file is loaded under a name of its own.
    monkeypatch.setattr(made._engine._class, "script", list(pieces))  # type: ignore[attr-defined]
    return made


def state(number: int, stream: StreamId | None = NUMBERS) -> State:
    return State(json.dumps({"n": number}).encode(), stream)


def kinds(messages: Sequence[Message]) -> str:
    return "".join(type(message).__name__[0] for message in messages if not isinstance(message, StreamStatus))


def test_batches_states_and_rows_in_their_order(tmp_path: Path) -> None:
    messages = read("Numbers", tmp_path, {"rows": 5})
    assert [row["id"] for row in rows(messages)] == [0, 1, 2, 3, 4]
    assert kinds(messages) == "SBSBSBS"
    states = [json.loads(message.data) for message in messages if isinstance(message, State)]
    assert [state[0]["stream"]["stream_state"] for state in states] == [{"next": 2}, {"next": 4}, {"next": 5}]


def test_it_goes_on_from_a_state_that_went_out(tmp_path: Path) -> None:
    messages = read("Numbers", tmp_path, {"rows": 3})
    last = [message.data for message in messages if isinstance(message, State)][-1]
    assert [row["id"] for row in rows(read("Numbers", tmp_path, {"rows": 5}, last))] == [3, 4]


def test_the_schema_is_announced_with_key_and_cursor(tmp_path: Path) -> None:
    (schema,) = [message for message in read("Numbers", tmp_path) if isinstance(message, Schema)]
    assert (pa.schema(schema.data), schema.primary_key, schema.cursor) == (ARROW, ("id",), ("id",))


def test_a_stream_without_rows_is_announced_at_the_end(tmp_path: Path) -> None:
    made = engine("Numbers", tmp_path)
    messages, reading = read_with(made, {"rows": 2}, catalog(made, NUMBERS, WORDS), None)
    assert kinds(messages) == "SBSS"
    assert (messages[-3].stream, reading.rows_in) == (WORDS, {NUMBERS: 2})  # type: ignore[union-attr]
    assert [message.stream for message in messages if isinstance(message, StreamStatus) and message.status == "COMPLETE"] == [
        NUMBERS,
        WORDS,
    ]


def test_columns_that_were_not_asked_for_are_left_out_but_not_the_key(tmp_path: Path) -> None:
    made = engine("Numbers", tmp_path)
    messages, _ = read_with(made, {"rows": 1}, catalog(made, fields=("name",)), None)
    assert rows(messages) == [{"id": 0, "name": "row 0"}]
    messages, _ = read_with(made, {"rows": 1}, catalog(made, fields=("id",)), None)
    assert rows(messages) == [{"id": 0}]


def test_a_column_gets_the_type_that_the_job_says(tmp_path: Path) -> None:
    messages = read("Numbers", tmp_path, {"rows": 1}, decode=DecodeOptions(types={"numbers": {"id": "decimal(10,2)"}}))
    (data,) = [pa.record_batch(message.data) for message in messages if isinstance(message, Batch)]
    assert data.schema.field("id").type == pa.decimal128(10, 2)
    with pytest.raises(ConfigError, match="stream `numbers`: column `name`: Utf8 cannot become `int64`"):
        read("Numbers", tmp_path, {"rows": 1}, decode=DecodeOptions(types={"numbers": {"name": "int64"}}))


def test_no_state_leaves_rows_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one, two = batch(NUMBERS, range(2)), batch(WORDS, range(2))
    made = script([(one, state(1)), (two, None), (one, state(2)), (two, state(3, WORDS)), (one, None)], monkeypatch, tmp_path)
    messages, _ = read_with(made, {}, catalog(made, NUMBERS, WORDS), None)
    # Behind the second batch no state goes out before one of its stream, and behind the last one only at the end.
    assert kinds(messages) == "ESBSSBBBSBS"


def test_a_shared_state_covers_all_streams(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pieces = [(batch(NUMBERS, range(1)), None), (batch(WORDS, range(1)), state(1, None))]
    made = script(pieces, monkeypatch, tmp_path)
    messages, _ = read_with(made, {}, catalog(made, NUMBERS, WORDS), None)
    assert [message.data for message in messages if isinstance(message, State)] == [
        b'[{"type":"GLOBAL","global":{"shared_state":{"n": 1},"stream_states":[]}}]'
    ]


def test_a_new_schema_is_announced_before_its_batch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wider = pa.record_batch({"id": pa.array([1], pa.int64()), "more": ["x"]})
    pieces = [(batch(NUMBERS, range(1)), None), (Batch(NUMBERS, wider, 1, wider.nbytes), None)]
    made = script(pieces, monkeypatch, tmp_path)
    messages, _ = read_with(made, {}, catalog(made), None)
    assert kinds(messages) == "ESBSB"
    assert messages[0] == Estimate(NUMBERS, 4, None, "STREAM")


@pytest.mark.parametrize("wanted", ["quarantine", "fail"])
def test_rows_that_cannot_be_read_are_rejects(wanted: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = pa.record_batch({"line": [7], "column": ["id"], "reason": ["no number"], "record": [b"x"]})
    made = script([(Rejects(NUMBERS, data, 1), None)], monkeypatch, tmp_path)
    made._engine._options = EngineOptions(tmp_path, decode=DecodeOptions(on_bad_value=wanted))  # type: ignore[attr-defined]
    if wanted == "fail":
        with pytest.raises(ContractError, match="line 7, column `id`: no number"):
            read_with(made, {}, catalog(made), None)
        return
    messages, reading = read_with(made, {}, catalog(made), None)
    assert (kinds(messages), reading.rows_in) == ("ESR", {NUMBERS: 1})


def test_rows_of_a_stream_that_nobody_asked_for_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = script([(batch(WORDS, range(1)), None)], monkeypatch, tmp_path)
    with pytest.raises(ConnectorError, match=r"rows of stream `other.words`, which it was not asked for"):
        read_with(made, {}, catalog(made), None)


def test_what_it_raises_is_an_error_of_the_connector_without_secrets(tmp_path: Path) -> None:
    logged: list[str] = []
    config = {"rows": 9, "fail_at": 4, "password": "s3cr3t-value"}
    with pytest.raises(ConnectorError, match=r"`native_readers.py:Numbers` failed: ValueError: no row 4, \*\*\*") as caught:
        read("Numbers", tmp_path, config, log=lambda level, line: logged.append(line))
    assert caught.value.again
    assert len(rows(caught.value.facts["seen"])) == 4  # type: ignore[arg-type]
    assert any("Traceback" in line for line in logged)
    assert "s3cr3t-value" not in "".join(logged) + str(caught.value.facts["stack_trace"])


def test_a_wrong_configuration_is_one(tmp_path: Path) -> None:
    made = engine("Numbers", tmp_path)
    with pytest.raises(ConfigError, match="`rows`"):
        made.discover({"rows": "many"})
    assert not made.check({"rows": "many"}).succeeded
    assert made.check({"rows": 3}).succeeded
    status = engine("Refusing", tmp_path).check({"password": "s3cr3t-value"})
    assert (status.succeeded, status.message) == (False, "no such place as ***\nhint: mend it")


def test_an_error_that_may_pass_stays_one(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError) as caught:
        engine("Unreachable", tmp_path).discover({})
    assert caught.value.exit_code == 75


def test_the_spec_is_the_schema_of_its_configuration(tmp_path: Path) -> None:
    spec = engine("Numbers", tmp_path).spec()
    assert set(spec.config_schema["properties"]) == {"rows", "fail_at", "password", "marks"}
    assert spec.raw["dativo"]["version"] == "1.2"


@pytest.mark.parametrize("rows_read", [1, 10_000])
def test_the_reader_is_closed_once_however_the_reading_ends(rows_read: int, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    made = engine("Numbers", tmp_path, decode=DecodeOptions(memory_budget_bytes=1))
    streams = catalog(made)
    with made.read({"rows": 10_000, "marks": str(marks)}, streams, None) as reading:
        for _, message in zip(range(rows_read), reading, strict=False):
            assert message
    assert [line.split()[0] for line in marks.read_text().splitlines()] == ["initialize", "close"]


def test_a_slow_target_holds_the_reader_back(tmp_path: Path) -> None:
    made = engine("Numbers", tmp_path, decode=DecodeOptions(memory_budget_bytes=1))
    with made.read({"rows": 100}, catalog(made), None) as reading:
        messages = iter(reading)
        assert isinstance(next(messages), StreamStatus)
        time.sleep(0.2)
        assert len(reading._queue._items) == 1  # type: ignore[attr-defined]


def test_a_reader_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match=r"said nothing for 0.3 s") as caught:
        read("Silent", tmp_path, stall_timeout_seconds=0.3)
    assert caught.value.retryable
    assert "isolation: process" in str(caught.value.hint)


def test_a_reader_that_logs_is_not(tmp_path: Path) -> None:
    logged: list[str] = []
    config = {"rows": 4, "password": "s3cr3t-value"}
    messages = read("Talking", tmp_path, config, stall_timeout_seconds=0.5, log=lambda level, line: logged.append(line))
    assert len(rows(messages)) == 4
    assert set(logged) == {"still here, ***"}


def test_threads_end_with_their_reading(tmp_path: Path) -> None:
    # A reader that another test gave up, as it said nothing, may still sleep.
    before = set(threading.enumerate())
    read("Numbers", tmp_path)
    assert not set(threading.enumerate()) - before


def test_a_class_that_writes_too_is_read_by_its_writers_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "both_ways-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: both-ways\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[dativo.targets]\nboth-ways = {native_readers.__name__}:Numbers\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    made = NativeEngine(Connector("native:both-ways", reader="both-ways", isolation="in_process"), EngineOptions(tmp_path))
    assert [row["id"] for row in rows(read_with(made, {"rows": 2}, catalog(made), None)[0])] == [0, 1]
