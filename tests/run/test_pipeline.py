"""The pipeline between a scripted reading and a writer in memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import (
    Batch,
    BatchFiles,
    ConfigError,
    ConnectorError,
    ContractError,
    DativoError,
    Log,
    Message,
    Rejects,
    Schema,
    State,
    StreamId,
    StreamStatus,
    Version,
)
from dativo_sdk import JobKey, Receipt, WriteCatalog

from dativo._interruption import Interruption
from dativo._job import Job
from dativo._pipeline import Pipeline
from dativo._progress import Progress
from dativo._report import AttemptReport
from dativo._selection import StreamRules

ORDERS = StreamId("orders")
REJECTS = pa.schema([("line", pa.int64()), ("column", pa.utf8()), ("reason", pa.utf8()), ("record", pa.binary())])


class Memory:
    """The smallest writer that keeps the contract."""

    write_modes = frozenset({"append", "overwrite", "merge"})

    def __init__(self) -> None:
        self.staged: list[Batch] = []
        self.commits: list[tuple[bytes | None, bool, list[int]]] = []
        self.lose = 0

    def initialize(self, config: Mapping[str, Any], catalog: WriteCatalog) -> bytes | None:
        self.catalog = catalog
        return None

    def get_schema(self, stream: StreamId) -> None:
        return None

    def write_batch(self, batch: Batch) -> None:
        self.staged.append(batch)

    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        written: dict[StreamId, int] = {}
        for batch in self.staged:
            written[batch.stream] = written.get(batch.stream, 0) + batch.rows - self.lose
        self.commits.append((state, final, [batch.rows for batch in self.staged]))
        self.staged = []
        return Receipt(written, {})

    def close(self) -> None:
        self.staged = []


class Keeping(Memory):
    """The same with a quarantine."""

    def __init__(self) -> None:
        super().__init__()
        self.rejects: list[Rejects] = []

    def write_rejects(self, rejects: Rejects) -> None:
        self.rejects.append(rejects)

    def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
        quarantined = {rejects.stream: rejects.rows for rejects in self.rejects}
        self.rejects = []
        return Receipt(super().commit(state, final=final).written, quarantined)


class Script:
    """A reading that says what the test wrote; an exception among the messages is raised."""

    def __init__(self, messages: Iterable[Message | Exception], rows_in: Mapping[StreamId, int] | None = None) -> None:
        self._messages = list(messages)
        counted: dict[StreamId, int] = {}
        for message in self._messages:
            if isinstance(message, Batch | Rejects):
                counted[message.stream] = counted.get(message.stream, 0) + message.rows
        self.rows_in = counted if rows_in is None else rows_in
        self.bytes_in = 1234

    def __iter__(self) -> Iterator[Message]:
        for message in self._messages:
            if isinstance(message, Exception):
                raise message
            yield message

    def __enter__(self) -> Script:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def schema(*key: str, stream: StreamId = ORDERS) -> Schema:
    return Schema(stream, pa.schema([("id", pa.int64())]), b"{}", key)


def batch(rows: int, stream: StreamId = ORDERS) -> Batch:
    data = pa.record_batch({"id": pa.array(range(rows), pa.int64())})
    return Batch(stream, data, rows, data.nbytes)


def rejects(rows: int) -> Rejects:
    return Rejects(ORDERS, pa.RecordBatch.from_pylist([{"line": n} for n in range(rows)], schema=REJECTS), rows)


def run(writer: Memory, reading: Script, logged: list[tuple[str, str]] | None = None, **job: Any) -> AttemptReport:
    """Runs to the end or the error; the report is on the writer too, for tests that expect an error."""
    parsed = Job.model_validate({"name": "x", "source": {"connector": "c"}, "target": {"connector": "memory"}, **job})
    report = writer.report = AttemptReport()  # type: ignore[attr-defined]
    catalog = WriteCatalog(JobKey("default", "x"), "r1")
    writer.initialize({}, catalog)
    recorded = writer.recorded = []  # type: ignore[attr-defined]
    Pipeline(
        parsed,
        StreamRules(parsed.source.streams),
        writer,
        catalog,
        write_modes=writer.write_modes,
        report=report,
        progress=Progress(),
        interruption=Interruption(),
        committed=recorded.append,
        log=lambda level, line: None if logged is None else logged.append((level, line)),
    ).run(reading)
    return report


def test_a_stream_is_announced_with_an_empty_batch() -> None:
    writer = Memory()
    run(writer, Script([schema()]))
    assert writer.commits == [(None, True, [0])]


def test_commits_happen_on_states_when_enough_rows_are_staged() -> None:
    writer = Memory()
    messages = [schema(), batch(3), State(b"1"), batch(3), State(b"2"), batch(9), State(b"3"), batch(1)]
    report = run(writer, Script(messages), checkpoint={"rows": 5})
    assert writer.commits == [(b"2", False, [0, 3, 3]), (b"3", False, [9]), (b"3", True, [1])]
    assert (report.commits, report.written, report.state_after) == (3, 16, b"3")


def test_commits_happen_when_enough_bytes_are_staged() -> None:
    writer = Memory()
    run(writer, Script([schema(), batch(100), State(b"1"), batch(1), State(b"2")]), checkpoint={"bytes": 500})
    assert [state for state, _, _ in writer.commits] == [b"1", b"2"]


def test_commits_happen_when_time_has_passed() -> None:
    writer = Memory()
    run(writer, Script([schema(), batch(1), State(b"1"), State(b"2")]), checkpoint={"seconds": 0})
    assert [state for state, _, _ in writer.commits] == [b"1", b"2", b"2"]


def test_each_committed_state_is_noted_once() -> None:
    writer = Memory()
    run(writer, Script([schema(), batch(1), State(b"1"), State(b"1"), State(b"2")]), checkpoint={"seconds": 0})
    assert writer.recorded == [b"1", b"2"]  # type: ignore[attr-defined]


def test_what_the_connector_says_of_its_streams_is_reported() -> None:
    users = StreamId("users")
    said = [StreamStatus(ORDERS, "STARTED"), schema(), StreamStatus(ORDERS, "COMPLETE"), StreamStatus(users, "INCOMPLETE")]
    report = run(Memory(), Script(said))
    assert [(stream.stream, stream.status) for stream in report.streams] == [("orders", "COMPLETE"), ("users", "INCOMPLETE")]


def test_a_rate_limit_is_logged_once() -> None:
    logged: list[tuple[str, str]] = []
    waits = [StreamStatus(ORDERS, "RUNNING", until) for until in (None, math.inf, math.inf, None)]
    run(Memory(), Script([schema(), *waits]), logged)
    assert logged == [("warning", "stream `orders` waits: the source's rate limit is reached")]


def test_a_source_that_fails_commits_nothing_more() -> None:
    writer = Memory()
    messages = [schema(), batch(6), State(b"1"), batch(2), State(b"2"), ConnectorError("gone")]
    with pytest.raises(ConnectorError):
        run(writer, Script(messages), checkpoint={"rows": 5})
    assert [state for state, _, _ in writer.commits] == [b"1"]
    stream = writer.report.streams[0]  # type: ignore[attr-defined]
    assert (stream.rows_in, stream.written, stream.staged) == (8, 6, 2)


def test_rows_that_the_target_did_not_take_count_as_rolled_back() -> None:
    writer = Memory()
    with pytest.raises(ConnectorError):
        run(writer, Script([schema(), batch(2), ConnectorError("gone")], {ORDERS: 5}))
    assert writer.report.streams[0].staged == 5  # type: ignore[attr-defined]


def test_a_connector_that_says_nothing_of_the_protocol_is_not_passed_over_in_silence() -> None:
    logged: list[tuple[str, str]] = []
    run(Memory(), Script([Log("info", f"line {n}") for n in range(9)]), logged)
    warned = [line for level, line in logged if level == "warning"]
    assert warned[1:] == [f"line {n}" for n in range(5)]
    for messages in ([schema()], [State(b"{}")]):
        logged.clear()
        run(Memory(), Script(messages), logged)
        assert logged == []


def test_a_row_lost_before_the_commit_fails_the_run_before_it() -> None:
    writer = Memory()
    with pytest.raises(DativoError, match="stream `orders`: 4 rows came in, but 3 rows and 0 rejects are staged") as caught:
        run(writer, Script([schema(), batch(3)], {ORDERS: 4}))
    assert caught.value.exit_code == 1
    assert writer.commits == []


def test_a_row_lost_by_the_target_fails_the_run() -> None:
    writer = Memory()
    writer.lose = 1
    with pytest.raises(DativoError, match="4 rows came in, but 2 rows and 0 rejects are committed"):
        run(writer, Script([schema(), batch(4)]))


def test_rows_of_a_stream_that_never_came_are_missed_too() -> None:
    with pytest.raises(DativoError, match="stream `ghost`: 2 rows came in"):
        run(Memory(), Script([schema()], {StreamId("ghost"): 2}))


def test_rejects_are_counted_and_quarantined() -> None:
    report = run(Keeping(), Script([schema(), batch(3), rejects(2), State(b"1")]))
    assert (report.rows_in, report.written, report.quarantined) == (5, 3, 2)


def test_rejects_without_a_quarantine_fail_the_run() -> None:
    with pytest.raises(ContractError, match="2 rows of stream `orders` do not fit"):
        run(Memory(), Script([schema(), rejects(2)]))


@pytest.mark.parametrize(
    ("key", "target", "stream", "mode"),
    [
        (("id",), {}, {}, "merge"),
        ((), {}, {}, "append"),
        (("id",), {"write": "append"}, {}, "append"),
        (("id",), {"write": "append"}, {"write": "overwrite"}, "overwrite"),
        ((), {}, {"primary_key": ["id"]}, "merge"),
        (("id",), {}, {"primary_key": []}, "append"),
    ],
)
def test_how_a_stream_is_written(key: tuple[str, ...], target: dict[str, str], stream: dict[str, Any], mode: str) -> None:
    writer = Memory()
    source = {"connector": "c", "streams": {"orders": stream}}
    run(writer, Script([schema(*key)]), target={"connector": "memory", **target}, source=source)
    assert writer.catalog.streams[ORDERS].write_mode == mode


def test_without_merge_in_the_target_a_key_means_append() -> None:
    writer = Memory()
    writer.write_modes = frozenset({"append"})
    run(writer, Script([schema("id")]))
    assert writer.catalog.streams[ORDERS].write_mode == "append"


def test_merge_without_a_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="stream `orders` cannot be written with `merge`: it has no key"):
        run(Memory(), Script([schema()]), target={"connector": "memory", "write": "merge"})


def test_the_last_pattern_that_matches_decides() -> None:
    writer = Memory()
    streams = {"*": {"write": "overwrite"}, "ord*": {"write": "append"}}
    run(writer, Script([schema(), schema(stream=StreamId("users"))]), source={"connector": "c", "streams": streams})
    assert [stream.write_mode for stream in writer.catalog.streams.values()] == ["append", "overwrite"]


def test_a_stream_that_the_job_does_not_list_is_refused() -> None:
    with pytest.raises(ConnectorError, match="stream `orders`, which the job does not read"):
        run(Memory(), Script([schema()]), source={"connector": "c", "streams": ["users"]})


def test_one_name_in_two_namespaces_is_two_streams() -> None:
    one, two = StreamId("orders", "eu"), StreamId("orders", "us")
    report = run(Memory(), Script([schema(stream=one), batch(1, one), schema(stream=two), batch(2, two)]))
    assert [(stream.stream, stream.written) for stream in report.streams] == [("eu.orders", 1), ("us.orders", 2)]


def test_a_key_that_changes_in_the_middle_is_refused() -> None:
    with pytest.raises(ContractError, match=r"changed its key in the middle of the run: \(id\), then \(\)"):
        run(Memory(), Script([schema("id"), schema()]), target={"connector": "memory", "write": "append"})


def test_versions_are_no_error() -> None:
    assert run(Memory(), Script([schema(), Version(ORDERS, 1), batch(1), Version(ORDERS, 1)])).written == 1


def test_batch_files_are_removed_once_their_rows_are_durable(tmp_path: Path) -> None:
    first, second = tmp_path / "1.jsonl", tmp_path / "2 .jsonl"
    seen: list[tuple[bool, bool]] = []

    class Looking(Memory):
        def commit(self, state: bytes | None, *, final: bool = False) -> Receipt:
            seen.append((first.exists(), second.exists()))
            return super().commit(state, final=final)

    first.touch()
    second.touch()
    files = [BatchFiles(ORDERS, "jsonl", None, (file,), decoded=True) for file in (str(first), second.as_uri())]
    run(Looking(), Script([schema(), batch(1), files[0], State(b"1"), batch(1), files[1]]), checkpoint={"rows": 1})
    assert seen == [(True, True), (False, True)]
    assert not second.exists()


def test_batch_files_of_overwritten_streams_stay_until_the_end(tmp_path: Path) -> None:
    file = tmp_path / "1.jsonl"
    file.touch()
    messages = [
        schema(),
        batch(1),
        BatchFiles(ORDERS, "jsonl", None, (str(file),), decoded=True),
        State(b"1"),
        ConnectorError("x"),
    ]
    with pytest.raises(ConnectorError):
        run(Memory(), Script(messages), target={"connector": "memory", "write": "overwrite"}, checkpoint={"rows": 1})
    assert file.exists()


class Counted(Memory):
    """A target that had ten rows."""

    def count_rows(self, stream: StreamId) -> int | None:
        return 10


@pytest.mark.parametrize(
    ("rows", "target", "error"),
    [
        (0, {}, "has 10 rows, and 0 were to replace them: nothing was replaced"),
        (0, {"allow_empty": True}, None),
        (1, {}, None),
        (8, {"shrink_limit": 0.9}, "has 10 rows, and 8 were to replace them"),
        (9, {"shrink_limit": 0.9}, None),
        (0, {"write": "append"}, None),
    ],
)
def test_an_overwrite_that_loses_rows_is_refused(rows: int, target: dict[str, Any], error: str | None) -> None:
    writer = Counted()
    whole = {"connector": "memory", "write": "overwrite", **target}
    if error is None:
        run(writer, Script([schema(), batch(rows)]), target=whole)
        assert writer.commits[-1][1]
        return
    with pytest.raises(ContractError, match=error):
        run(writer, Script([schema(), batch(rows)]), target=whole)
    assert not any(final for _, final, _ in writer.commits)


class Versioned(Memory):
    """A target that removes rows of older versions."""

    def __init__(self) -> None:
        super().__init__()
        self.active: list[tuple[StreamId, int]] = []

    def activate_version(self, stream: StreamId, version: int) -> None:
        self.active.append((stream, version))


def test_versions_are_activated_where_deletes_are_wanted() -> None:
    messages = [schema(), batch(1), Version(ORDERS, 7), Version(ORDERS, 7)]
    removing, keeping = Versioned(), Versioned()

    run(removing, Script(messages), target={"connector": "memory", "deletes": "hard"})
    run(keeping, Script(messages))

    assert (removing.active, keeping.active) == ([(ORDERS, 7)], [])


def test_a_target_that_cannot_remove_versions_says_so() -> None:
    with pytest.raises(ConfigError, match="cannot remove rows of older versions"):
        run(Memory(), Script([schema(), Version(ORDERS, 7)]), target={"connector": "memory", "deletes": "soft"})
