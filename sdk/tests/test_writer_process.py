"""Writers as programs: every method and power is the same from another process."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import Batch, ConfigError, ContractError, StreamId, TargetError
from dativo_sdk import ConfiguredStream, Counting, Inspecting, JobKey, Naming, Quarantining, Replaying, Versioning, WriteCatalog
from dativo_sdk.conformance import CHECKS, ORDERS, WriterCase, batch, rejects, run_check
from dativo_sdk.writer_process import RemoteWriter, remote_writer

from . import memory_writer
from .test_program import run, said, written

HERE = Path(__file__).parent
TARGET = f"{HERE / 'file_writer.py'}:FileWriter"
JOB = JobKey("acme", "shop")
POWERS = ("quarantine", "versions", "count", "names", "inspect", "replay")


class Host:
    """Processes that were started, all ended at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = itertools.count()
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, **config: Any) -> RemoteWriter:
        file = written(self.folder / f"config{next(self.numbers)}.json", {"path": str(self.folder / "store"), **config})
        process = subprocess.Popen(
            [sys.executable, "-m", "dativo_sdk.program", TARGET, "write", "--config", file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        return remote_writer(POWERS, ("append", "overwrite", "merge"))(process.stdin.fileno(), process.stdout.fileno())

    def end(self) -> list[int]:
        """Exit codes."""
        codes = []
        for process in self.processes:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None and not pipe.closed:
                    with suppress(BrokenPipeError):
                        pipe.close()
            codes.append(process.wait(30))
        self.processes = []
        return codes


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.end()


def contents(path: Path) -> memory_writer.Contents:
    """What a writer's process kept: its classes have a shorter name there."""
    sys.modules["memory_writer"] = memory_writer
    try:
        found: memory_writer.Contents = pickle.loads(path.read_bytes())
    finally:
        del sys.modules["memory_writer"]
    return found


def catalog(*streams: ConfiguredStream) -> WriteCatalog:
    return WriteCatalog(JOB, "run1", {stream.id: stream for stream in streams})


def load(writer: RemoteWriter, data: Batch) -> None:
    """More than a pipe holds."""
    for _ in range(1000):
        writer.write_batch(data)
    writer.commit(None)


def test_rows_and_state_are_committed_as_one(host: Host, tmp_path: Path) -> None:
    writer = host.start()
    assert writer.initialize({}, catalog(ConfiguredStream(ORDERS))) is None
    writer.write_batch(batch({"id": [1, 2], "näme": ["ä", None]}))
    writer.write_rejects(rejects(records=[b"\xff"]))  # type: ignore[attr-defined]
    receipt = writer.commit(b'{"at":1.10}', final=True)
    assert (receipt.written, receipt.quarantined) == ({ORDERS: 2}, {ORDERS: 1})
    assert [(change.stream, change.kind) for change in receipt.changes] == [(ORDERS, "table")]
    assert pa.schema(writer.get_schema(ORDERS)).names == ["id", "näme"]
    assert writer.get_schema(StreamId("orders", "other")) is None
    writer.close()
    assert host.end() == [0]
    kept = contents(tmp_path / "store")
    assert [row["näme"] for row in kept.tables[ORDERS].rows] == ["ä", None]
    assert kept.rejected[ORDERS][0]["record"] == b"\xff"
    again = host.start()
    assert again.initialize({}, catalog()) == b'{"at":1.10}'


def test_a_stream_that_is_added_later_is_written_as_configured(host: Host, tmp_path: Path) -> None:
    writer, live = host.start(), catalog()
    writer.initialize({}, live)
    live.streams[ORDERS] = ConfiguredStream(ORDERS, "merge", ("id",), "at")
    writer.write_batch(batch({"id": [1, 1, 2], "at": [2, 1, 1]}))
    writer.commit(None, final=True)
    rows = contents(tmp_path / "store").tables[ORDERS].rows
    assert sorted((row["id"], row["at"]) for row in rows) == [(1, 2), (2, 1)]


def test_every_power_is_there(host: Host) -> None:
    writer: Any = host.start()
    assert isinstance(writer, Quarantining)
    assert isinstance(writer, (Versioning, Counting))
    assert isinstance(writer, Naming)
    assert isinstance(writer, Inspecting)
    assert isinstance(writer, Replaying)
    writer.initialize({}, catalog(ConfiguredStream(ORDERS)))
    writer.write_batch(batch({"id": [1]}))
    writer.write_rejects(rejects(records=[b"a", b"b"]))
    writer.activate_version(ORDERS, 2)
    writer.commit(b"{}", final=True)
    assert (writer.count_rows(ORDERS), writer.count_rows(StreamId("none"))) == (1, None)
    assert writer.column_names(ORDERS) == {"Über": "n_1"}
    assert writer.rejected() == {ORDERS: 2}
    assert [row["record"] for data in writer.read_rejects(ORDERS) for row in pa.record_batch(data).to_pylist()] == [b"a", b"b"]
    writer.remove_rejects(ORDERS, ["some"])
    with pytest.raises(TargetError, match="there is no row `none`"):
        writer.remove_rejects(ORDERS, ["none"])


def test_a_target_is_inspected_without_a_run(host: Host) -> None:
    first = host.start()
    first.initialize({}, catalog(ConfiguredStream(ORDERS)))
    first.write_batch(batch({"id": [1]}))
    first.commit(b'{"at":1}', final=True)
    first.close()
    writer: Any = host.start()
    found = writer.inspect({}, JOB, [StreamId("none")])
    assert found.state == b'{"at":1}'
    assert found.tables[StreamId("none")].data is None
    assert (found.tables[ORDERS].rows, pa.schema(found.tables[ORDERS].data).names) == (1, ["id"])


def test_only_the_powers_that_were_said_are_there() -> None:
    assert not isinstance(remote_writer(["count", "of the future"], ["append"])(0, 0), (Quarantining, Versioning))


def test_a_writer_says_its_powers_and_modes() -> None:
    (message,) = said(run("spec", target=TARGET), "SPEC")
    can = message["spec"]["dativo"]["capabilities"]
    assert (can["write"], set(can["powers"]), can["write_modes"]) == (True, set(POWERS), ["append", "merge", "overwrite"])


def test_an_error_is_the_one_that_the_writer_raised(host: Host) -> None:
    writer = host.start(fail="initialize")
    with pytest.raises(TargetError) as caught:
        writer.initialize({}, catalog())
    error = caught.value
    assert (error.message, error.hint, error.retryable, error.facts) == (
        "the target is away",
        "wait for it",
        True,
        {"host": "db"},
    )
    writer.close()
    assert host.end() == [1]


def test_an_error_of_a_batch_is_heard_at_the_latest_with_the_commit(host: Host) -> None:
    writer = host.start(fail="batch")
    writer.initialize({}, catalog(ConfiguredStream(ORDERS)))
    with pytest.raises(ContractError, match="the batch does not fit"):
        load(writer, batch({"id": [1]}))


def test_what_the_writer_did_not_expect_is_a_failure_of_the_target(host: Host) -> None:
    writer: Any = host.start()
    writer.initialize({}, catalog(ConfiguredStream(ORDERS)))
    with pytest.raises(TargetError, match="ZeroDivisionError: no such version"):
        writer.activate_version(ORDERS, -1)


def test_a_process_that_is_gone_is_an_error(host: Host) -> None:
    writer = host.start(fail="exit")
    writer.initialize({}, catalog(ConfiguredStream(ORDERS)))
    with pytest.raises(TargetError) as caught:
        load(writer, batch({"id": list(range(1000))}))
    assert caught.value.facts == {"ended": True}
    writer.close()


def test_a_host_that_is_gone_commits_nothing(host: Host, tmp_path: Path) -> None:
    writer = host.start()
    writer.initialize({}, catalog(ConfiguredStream(ORDERS)))
    writer.write_batch(batch({"id": [1]}))
    writer.commit(b'{"at":1}')
    writer.write_batch(batch({"id": [2]}))
    assert host.end() == [1]
    assert [row["id"] for row in contents(tmp_path / "store").tables[ORDERS].rows] == [1]


def test_a_message_that_is_cut_short_commits_nothing(host: Host, tmp_path: Path) -> None:
    writer = host.start()
    writer.initialize({}, catalog(ConfiguredStream(ORDERS)))
    os.write(writer._stdin, b'{"type":"BATCH","stream":"orders","rows":1,"bytes":1000}\nhalf')
    assert host.end() == [1]
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (b"nonsense\n", "the host sent what is no request"),
        (b'{"type":"BATCH","stream":"orders","bytes":-1}\n', "`bytes` is below 0"),
        (b'{"type":"DROP"}\n', "asked for `DROP`, which this writer does not understand"),
        (b'{"type":"STREAM","stream":{}}\n', "`STREAM` before `INITIALIZE`"),
        (b'{"type":"BATCH","stream":"orders","bytes":4}\nrows', "ArrowInvalid"),
    ],
)
def test_what_is_no_request_is_refused(host: Host, request_: bytes, message: str) -> None:
    writer = host.start()
    os.write(writer._stdin, request_)
    with pytest.raises((ContractError, TargetError), match=message):
        writer._reply("anything")


def test_a_writer_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    plugin = written(tmp_path / "newer.py", "class Newer:\n    __api_version__ = '1.99'\n    def write_batch(self, batch): ...\n")
    ended = run("write", "--config", written(tmp_path / "config.json", {}), target=f"{plugin}:Newer")
    (error,) = said(ended, "ERROR")
    assert (ended.returncode, error["error"]) == (1, "ConfigError")
    assert "version 1.99 of the plugin API" in error["message"]


def test_a_reader_is_no_writer(tmp_path: Path) -> None:
    target = f"{HERE / 'counting_reader.py'}:CountingReader"
    ended = run("write", "--config", written(tmp_path / "config.json", {}), target=target)
    assert "`CountingReader` is no writer" in json.loads(ended.stdout)["message"]
    assert ConfigError.__name__ == json.loads(ended.stdout)["error"]


class ProcessCase(WriterCase):
    """The writer in a process, for the kit."""

    modes = frozenset({"append", "overwrite", "merge"})

    def __init__(self, host: Host) -> None:
        self.host = host

    def make(self, path: Path) -> tuple[Any, dict[str, Any]]:
        return self.host.start(path=str(path / "store")), {"path": str(path / "store")}

    def read_table(self, config: Mapping[str, Any], table: str) -> pa.Table | None:
        store = memory_writer.Store()
        if Path(config["path"]).exists():
            store.contents = contents(Path(config["path"]))
        return memory_writer.MemoryCase().read_table({"store": store}, table)


CHECKED = (
    "every_type_comes_back_unchanged",
    "append_adds_to_what_is_there",
    "a_state_comes_back_byte_for_byte",
    "a_rerun_goes_on_from_the_returned_state",
    "rejected_rows_are_kept_with_the_commit",
)


@pytest.mark.parametrize("name", CHECKED)
def test_conformance_from_another_process(host: Host, tmp_path: Path, name: str) -> None:
    (check,) = [check for check in CHECKS if check.name == name]
    run_check(check, ProcessCase(host), tmp_path)
