"""What the file targets promise beyond the conformance suite; with Parquet, as all of it is the same code."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import StreamId
from dativo_protocols.errors import ConfigError, ContractError, TargetError
from dativo_sdk import ConfiguredStream, JobKey, WriteCatalog
from dativo_sdk.conformance import ORDERS, batch, rejects

from dativo._dataset import dataset
from dativo.targets._commit_log import read_picture
from dativo.targets._file_options import COMMON_OPTIONS
from dativo.targets._local_store import LocalStore
from dativo.targets.arrow import ArrowWriter
from dativo.targets.csv import CsvWriter
from dativo.targets.jsonl import JsonLinesWriter
from dativo.targets.parquet import ParquetWriter

ONE, TWO = JobKey("acme", "one"), JobKey("acme", "two")


@contextmanager
def opened(path: Path, job: JobKey = ONE, run: str = "run1", mode: str = "append", **config: Any) -> Iterator[ParquetWriter]:
    writer = ParquetWriter()
    streams = {ORDERS: ConfiguredStream(ORDERS, mode)}  # type: ignore[arg-type]
    try:
        writer.initialize({"path": str(path), **config}, WriteCatalog(job, run, streams))
        yield writer
    finally:
        writer.close()


def load(path: Path, values: dict[str, Any], job: JobKey = ONE, run: str = "run1", mode: str = "append", **config: Any) -> None:
    with opened(path, job, run, mode, **config) as writer:
        writer.write_batch(batch(values))
        writer.commit(b"{}", final=True)


def ids(path: Path) -> list[int]:
    return list(dataset(path).to_arrow("orders")["id"].to_pylist())


def data_files(path: Path) -> set[str]:
    return {str(file) for file in path.glob("*/*.parquet")}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"path": "x", "sise": 1}, "unknown key `sise`"),
        ({}, "needs `path`"),
        ({"path": "x", "compression": "zip"}, "`compression` cannot be `zip`"),
        ({"path": "x", "file_size_bytes": 0}, "`file_size_bytes` must be a whole number of at least 1"),
        ({"path": "x", "file_size_bytes": True}, "`file_size_bytes` must be a whole number"),
    ],
)
def test_a_wrong_configuration_is_named_and_the_valid_one_listed(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        ParquetWriter().initialize(config, WriteCatalog(ONE, "run1"))
    if "unknown" in message:
        for key in ("path", "storage_options", *COMMON_OPTIONS, *ParquetWriter.options):
            assert f"`{key}`" in (caught.value.hint or "")


def test_the_documentation_lists_every_option_and_its_default() -> None:
    text = (Path(__file__).parents[2] / "docs" / "files.md").read_text()
    writers = (ParquetWriter, JsonLinesWriter, CsvWriter, ArrowWriter)
    for key, option in (*COMMON_OPTIONS.items(), *(each for writer in writers for each in writer.options.items())):
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{key}` |")]
        assert str(option.default) in row
        assert all(f"`{choice}`" in row for choice in option.choices)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(TargetError, match=r"cannot open `.*out`") as caught, opened(tmp_path / "out"):
        pass
    assert "a file lies where a directory is needed" in (caught.value.hint or "")


def test_a_second_run_of_the_same_job_is_refused_and_may_try_again(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(TargetError, match="another run of job `acme/one`") as caught, opened(tmp_path, run="b"):
        pass
    assert caught.value.retryable
    load(tmp_path, {"id": [1]})


def test_what_other_jobs_stage_is_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path, ONE) as one:
        one.write_batch(batch({"id": [1]}))
        one.write_batch(batch({"id": [2], "new": ["ends the first file"]}))
        with opened(tmp_path, TWO) as two:
            two.write_batch(batch({"id": [3]}))
            two.commit(b"two")
        one.commit(b"one")
    assert sorted(ids(tmp_path)) == [1, 2, 3]
    assert (dataset(tmp_path).state(ONE), dataset(tmp_path).state("acme/two")) == (b"one", b"two")


def test_the_next_run_deletes_only_its_own_jobs_leftovers(tmp_path: Path) -> None:
    load(tmp_path, {"id": [1]}, ONE)
    load(tmp_path, {"id": [2]}, TWO, run="run2")
    mine = next(file for file in data_files(tmp_path) if "run1" in file)
    left = [Path(mine.replace("run1", "dead")), Path(next(iter(data_files(tmp_path) - {mine})).replace("run2", "dead"))]
    for file in left:
        file.write_bytes(b"half")
    load(tmp_path, {"id": [3]}, ONE)
    assert [file.exists() for file in left] == [False, True]
    assert sorted(ids(tmp_path)) == [1, 2, 3]


def test_a_run_id_that_comes_again_overwrites_nothing(tmp_path: Path) -> None:
    for number in range(3):
        load(tmp_path, {"id": [number]}, run="same")
    assert ids(tmp_path) == [0, 1, 2]


def test_replaced_files_are_kept_for_readers_and_deleted_later(tmp_path: Path) -> None:
    load(tmp_path, {"id": [1]})
    before = dataset(tmp_path)
    load(tmp_path, {"id": [2]}, mode="overwrite", run="run2")
    with opened(tmp_path, TWO):
        assert len(data_files(tmp_path)) == 2
    assert (before.to_arrow("orders")["id"].to_pylist(), ids(tmp_path)) == ([1], [2])
    with opened(tmp_path, TWO, keep_replaced_seconds=0):
        assert len(data_files(tmp_path)) == 1
    with pytest.raises(TargetError, match="is gone") as caught:
        before.to_arrow("orders")
    assert "open the dataset again" in (caught.value.hint or "")


def test_an_overwrite_replaces_the_quarantine_too(tmp_path: Path) -> None:
    for number in range(2):
        with opened(tmp_path, run=f"run{number}", mode="overwrite") as writer:
            writer.write_batch(batch({"id": [number]}))
            writer.write_rejects(rejects(records=[b"%d" % number]))
            writer.commit(b"1")
            assert dataset(tmp_path).quarantine("orders").num_rows == 1 if number else dataset(tmp_path).tables == []
            writer.commit(b"2", final=True)
    assert dataset(tmp_path).quarantine("orders").to_arrow()["record"].to_pylist() == [b"1"]


def test_files_roll_at_the_size_asked_for_and_keep_the_order(tmp_path: Path) -> None:
    with opened(tmp_path, file_size_bytes=2_000_000) as writer:
        for start in range(0, 400_000, 10_000):
            noise = pa.array([os.urandom(20) for _ in range(10_000)])
            writer.write_batch(batch({"id": pa.array(range(start, start + 10_000)), "noise": noise}))
        writer.commit(b"1", final=True)
    files = [Path(file) for file in dataset(tmp_path).files("orders")]
    sizes = [file.stat().st_size for file in files]
    assert len(files) >= 3
    assert all(2_000_000 <= size < 4_000_000 for size in sizes[:-1])
    assert ids(tmp_path) == list(range(400_000))


def test_nothing_new_makes_no_record(tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        writer.write_batch(batch({"id": [1]}))
        first = writer.commit(b"1")
        second = writer.commit(b"1", final=True)
        third = writer.commit(None)
    assert (first.commit_id, second.commit_id, third.commit_id) == ("1", "1", "1")
    assert len(list((tmp_path / "_dativo" / "commits").iterdir())) == 1


def test_every_file_and_directory_is_on_disk_before_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    missing: list[str] = []
    fsync, link = os.fsync, os.link

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        synced.add(os.fstat(descriptor).st_ino)

    def checked(source: Path, target: Path) -> None:
        needed = [file for name in ("orders", "orders__quarantine") for file in (tmp_path / name, *(tmp_path / name).iterdir())]
        missing.extend(str(path) for path in (*needed, tmp_path, source) if Path(path).stat().st_ino not in synced)
        link(source, target)
        synced.clear()

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "link", checked)
    with opened(tmp_path, file_size_bytes=1) as writer:
        for number in range(3):
            writer.write_batch(batch({"id": [number], f"column{number}": ["x"]}))
        writer.write_rejects(rejects())
        writer.commit(b"1", final=True)
    assert missing == []
    assert (tmp_path / "_dativo" / "commits").stat().st_ino in synced


def test_jobs_that_widen_one_table_at_the_same_time_agree(tmp_path: Path) -> None:
    load(tmp_path, {"id": [1], "v": pa.array([1], pa.int64())})
    with opened(tmp_path, ONE) as one, opened(tmp_path, TWO) as two:
        one.write_batch(batch({"id": [2], "v": [0.5]}))
        two.write_batch(batch({"id": [3], "v": ["text"], "more": [True]}))
        assert [change.after for change in one.commit(b"1").changes] == ["float64"]
        assert {(change.column, change.after) for change in two.commit(b"2").changes} == {("v", "string"), ("more", "bool")}
        one.write_batch(batch({"id": [4], "v": [1.5]}))
        one.commit(b"3")
    table = dataset(tmp_path).to_arrow("orders").sort_by("id").to_pydict()
    assert table == {"id": [1, 2, 3, 4], "v": ["1.0", "0.5", "text", "1.5"], "more": [None, None, True, None]}


def test_jobs_that_widen_one_table_beyond_its_values_do_not_both_win(tmp_path: Path) -> None:
    with opened(tmp_path, ONE) as one, opened(tmp_path, TWO) as two:
        one.write_batch(batch({"id": [2**60 + 1]}))
        two.write_batch(batch({"id": [0.5]}))
        one.commit(b"1")
        with pytest.raises(ContractError, match=r"beyond 2\^53"):
            two.commit(b"2")
    assert ids(tmp_path) == [2**60 + 1]


def test_jobs_that_choose_one_name_at_the_same_time_do_not_share_a_table(tmp_path: Path) -> None:
    with opened(tmp_path, ONE) as one, opened(tmp_path, TWO) as two:
        one.write_batch(batch({"id": [1]}, StreamId("Users")))
        two.write_batch(batch({"id": [2]}, StreamId("users")))
        one.commit(b"1")
        with pytest.raises(TargetError, match="another job has just given a name") as caught:
            two.commit(b"2")
        assert caught.value.retryable
    with opened(tmp_path, TWO) as two:
        two.write_batch(batch({"id": [2]}, StreamId("users")))
        two.commit(b"2")
    data = dataset(tmp_path)
    assert [data.to_arrow(stream)["id"].to_pylist() for stream in data.streams] == [[1], [2]]
    assert len({table.casefold() for table in data.tables}) == 2


@pytest.mark.parametrize(
    ("before", "after", "fits"),
    [
        (pa.array([2**53]), pa.array([0.5]), True),
        (pa.array([1, -(2**53) - 1]), pa.array([0.5]), False),
        (pa.array([None], pa.int64()), pa.array([0.5]), True),
        (pa.array([[1]]), pa.array([[0.5]]), True),
        (pa.array([[2**53 + 1]]), pa.array([[0.5]]), False),
    ],
    ids=["fits", "beyond", "nulls", "list fits", "list beyond"],
)
@pytest.mark.parametrize("committed", [True, False])
def test_integers_become_floats_only_where_none_changes(
    tmp_path: Path, before: pa.Array, after: pa.Array, fits: bool, committed: bool
) -> None:
    with opened(tmp_path) as writer:
        writer.write_batch(batch({"v": before}))
        if committed:
            writer.commit(b"1")
        if fits:
            writer.write_batch(batch({"v": after}))
            writer.commit(b"2")
        else:
            with pytest.raises(ContractError):
                writer.write_batch(batch({"v": after}))
    expected = before.to_pylist() + (after.to_pylist() if fits else [])
    if fits or committed:
        assert dataset(tmp_path).to_arrow("orders")["v"].to_pylist() == expected


def test_the_log_is_compacted_and_a_reader_needs_only_the_last_hundred_records(tmp_path: Path) -> None:
    stale = None
    for number in range(310):
        with opened(tmp_path) as writer:
            if number == 5:
                stale = writer._log.picture  # type: ignore[union-attr]
            writer.commit(b"%d" % number)
    names = sorted((tmp_path / "_dativo" / "commits").iterdir())
    assert (int(names[0].stem), int(names[-1].stem)) == (200, 310)
    assert dataset(tmp_path).state(ONE) == b"309"
    assert stale is not None
    assert read_picture(LocalStore(tmp_path), stale).states[ONE] == b"309"


def test_a_lost_or_foreign_record_is_an_error(tmp_path: Path) -> None:
    for number in range(3):
        load(tmp_path, {"id": [number]})
    record = tmp_path / "_dativo" / "commits" / f"{2:020}.json"
    payload = record.read_bytes()
    record.write_bytes(json.dumps({**json.loads(payload), "version": 2}).encode())
    with pytest.raises(TargetError, match="version 2 is not known"):
        dataset(tmp_path)
    record.write_bytes(payload[:-9])
    with pytest.raises(TargetError, match="cannot understand the commit record"):
        dataset(tmp_path)
    record.unlink()
    with pytest.raises(TargetError, match="has gaps"):
        dataset(tmp_path)


def test_a_record_that_was_left_half_written_is_never_part_of_a_committed_one(tmp_path: Path) -> None:
    load(tmp_path, {"id": [1]})
    record = tmp_path / "_dativo" / "commits" / f"{1:020}.json"
    os.link(record, tmp_path / "_dativo" / "commits" / ".next")
    load(tmp_path, {"id": [2]})
    assert ids(tmp_path) == [1, 2]


def test_a_full_disk_commits_nothing_and_the_next_run_goes_on(tmp_path: Path) -> None:
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", tmp_path], capture_output=True, text=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"needs the right to mount a tmpfs: {mount.stderr.strip()}")
    try:
        _fill_and_recover(tmp_path, errno.ENOSPC)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def _fill_and_recover(path: Path, expected: int) -> None:
    load(path, {"id": [1]})
    with opened(path, run="full") as writer:

        def fill() -> None:
            for number in range(200):
                writer.write_batch(
                    batch({"id": pa.array([number] * 60_000), "noise": pa.array([os.urandom(20) for _ in range(60_000)])})
                )
            writer.commit(b"2", final=True)

        with pytest.raises(TargetError) as caught:
            fill()
        assert caught.value.facts["errno"] == errno.errorcode[expected]
        assert caught.value.hint
        with pytest.raises(TargetError):
            writer.commit(b"3")
    assert ids(path) == [1]
    assert len(data_files(path)) == 1
    load(path, {"id": [2]}, run="after")
    assert ids(path) == [1, 2]


def test_a_limit_on_file_sizes_commits_nothing_and_the_next_run_goes_on(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        _fill_and_recover(tmp_path, errno.EFBIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


MANY_STREAMS = """
import resource, sys
import pyarrow as pa
from dativo_protocols import Batch, StreamId
from dativo_sdk import JobKey, WriteCatalog
from dativo.targets.{module} import {name}

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

writer = {name}()
writer.initialize({{"path": sys.argv[1]}}, WriteCatalog(JobKey("t", "j"), "r"))
data = pa.record_batch({{"id": pa.array(range(500)), "text": pa.array([f"{{i:0200}}" for i in range(500)])}})
before = peak()
for turn in range(8):
    for stream in range(500):
        copy = pa.ipc.read_record_batch(data.serialize(), data.schema)
        writer.write_batch(Batch(StreamId(f"s{{stream}}"), copy, copy.num_rows, copy.nbytes))
writer.commit(b"1", final=True)
writer.close()
print(peak() - before)
"""


@pytest.mark.parametrize(("module", "name"), [("parquet", "ParquetWriter"), ("jsonl", "JsonLinesWriter")])
def test_five_hundred_interleaved_streams_keep_to_their_memory_and_get_a_file_each(
    tmp_path: Path, module: str, name: str
) -> None:
    """430 MB of Arrow data, of which 32 MiB wait and at most two groups of 16 MiB are encoded, and what that takes beside."""
    script = MANY_STREAMS.format(module=module, name=name)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200
    data = dataset(tmp_path)
    assert len(data.streams) == 500
    assert all((data[stream].num_rows, len(data.files(stream))) == (4000, 1) for stream in data.streams)
    assert data.to_arrow("s499")["id"].to_pylist() == list(range(500)) * 8
    assert not list((tmp_path / "_dativo" / "staging").iterdir())


WRITER = """
import sys
import pyarrow as pa
from dativo_protocols import Batch, StreamId
from dativo_sdk import JobKey, WriteCatalog
from dativo.targets.parquet import ParquetWriter

path, job = sys.argv[1:]
for run in range(3):
    writer = ParquetWriter()
    state = int(writer.initialize({"path": path}, WriteCatalog(JobKey("t", job), f"r{run}")) or b"0")
    for number in range(state, state + 25):
        data = pa.record_batch({"job": [job] * 2, "number": [number] * 2})
        for stream in ("shared", job):
            writer.write_batch(Batch(StreamId(stream), data, 2, data.nbytes))
        writer.commit(b"%d" % (number + 1))
    writer.close()
"""


def test_jobs_in_several_processes_lose_nothing_while_a_reader_looks_on(tmp_path: Path) -> None:
    (tmp_path / "_dativo" / "commits").mkdir(parents=True)
    jobs = ["a", "b", "c"]
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), job]) for job in jobs]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        data = dataset(tmp_path)
        states = {job: int(data.state(JobKey("t", job)) or b"0") for job in jobs}
        rows = data["shared"].num_rows if "shared" in data.tables else 0
        assert rows == 2 * sum(states.values()) >= seen
        seen = rows
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    rows = dataset(tmp_path).to_arrow("shared").to_pylist()
    assert sorted((row["job"], row["number"]) for row in rows) == sorted(
        (job, n) for job in jobs for n in range(75) for _ in "12"
    )
    assert int(max((tmp_path / "_dativo" / "commits").glob("*.json")).stem) == 225
