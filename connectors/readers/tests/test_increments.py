"""Files read incrementally: what was read is not read again, what is new or changed is, and a reading goes on where it ended."""

from __future__ import annotations

import gzip
import json
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dativo_protocols import ConnectorError, StreamId
from dativo_sdk import SavedState

from .files import Files, Reading, position

START = 1_700_000_000


def csv_file(ids: Sequence[int]) -> bytes:
    return "".join(["id,text\n", *(f'{number},"{number}\nx"\n' for number in ids)]).encode()


def json_lines(ids: Sequence[int]) -> bytes:
    return "".join(json.dumps({"id": number, "text": f"{number}\nx"}) + "\n" for number in ids).encode()


def parquet_file(ids: Sequence[int]) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"id": pa.array(ids, pa.int64()), "text": [f"{number}\nx" for number in ids]})
    pq.write_table(table, sink, row_group_size=50)
    return sink.getvalue().to_pybytes()


MADE: Mapping[str, Callable[[Sequence[int]], bytes]] = {"csv": csv_file, "jsonl": json_lines, "parquet": parquet_file}


class Folder(Files):
    """Files of one kind, read as one stream."""

    def __init__(self, kind: str, reader: type[Any], folder: Path) -> None:
        super().__init__(reader, folder)
        self.kind = kind
        self.settings = {} if kind == "parquet" else {"block_bytes": 400, "threads": 2}

    def put(self, name: str, ids: Sequence[int], modified: float) -> None:
        self.write(f"{name}.{self.kind}", MADE[self.kind](ids), modified)

    def ids(self, state: SavedState | None = None, **options: Any) -> tuple[list[int], Reading]:
        pattern = str(self.folder / f"*.{self.kind}*")
        found = self.read(pattern, stream="data", incremental=True, state=state, **self.settings, **options)
        assert all(row["text"] == f"{row['id']}\nx" for row in found.rows)
        return [row["id"] for row in found.rows], found


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def folder(request: pytest.FixtureRequest, way: Mapping[str, type[Any]], tmp_path: Path) -> Folder:
    return Folder(request.param, way[request.param], tmp_path)


def test_only_new_and_changed_files_are_read(folder: Folder) -> None:
    folder.put("b", range(100), START)
    folder.put("a", range(100, 200), START + 1)
    ids, first = folder.ids()
    # By the time of their change.
    assert ids == list(range(200))

    ids, unchanged = folder.ids(first.saved)
    assert ids == []
    assert unchanged.saved == first.saved

    folder.put("c", range(200, 250), START + 2)
    ids, second = folder.ids(first.saved)
    assert ids == list(range(200, 250))

    folder.put("a", range(100, 300), START + 3)
    ids, third = folder.ids(second.saved)
    # It has grown: all of it comes again.
    assert ids == list(range(100, 300))
    assert folder.ids(third.saved)[0] == []


def test_files_of_one_moment_are_told_apart(folder: Folder) -> None:
    folder.put("a", range(10), START)
    first = folder.ids()[1]
    folder.put("b", range(10, 20), START)

    ids, second = folder.ids(first.saved)

    assert ids == list(range(10, 20))
    assert folder.ids(second.saved)[0] == []


def test_a_reading_goes_on_from_each_of_its_states(folder: Folder) -> None:
    """Also amid a file."""
    folder.put("a", range(400), START)
    folder.put("b", range(400, 500), START + 1)
    whole = folder.ids(max_rows=30)[1]
    rows, amid = 0, 0
    for batch, state in zip(whole.batches, whole.states, strict=True):
        rows += batch.num_rows
        if state is not None:
            amid += "position" in json.loads(state.data)
            rest, _ = folder.ids(SavedState().merged(state))
            assert rest == list(range(rows, 500)), state
    assert amid > 2


def test_a_state_amid_a_file_that_changed_begins_it_anew(folder: Folder) -> None:
    folder.put("a", range(400), START)
    first = folder.ids(stop_after=2)[1]
    assert "position" in position(first.saved)

    folder.put("a", range(450), START + 1)

    assert folder.ids(first.saved)[0] == list(range(450))


def test_a_stream_that_is_read_whole_says_no_state(folder: Folder) -> None:
    folder.put("a", range(10), START)

    found = folder.read(str(folder.folder / f"a.{folder.kind}"), stream="data")

    assert [row["id"] for row in found.rows] == list(range(10))
    assert found.states == [None] * len(found.states)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_packed_files_are_read_to_their_end_and_not_again(kind: str, way: Mapping[str, type[Any]], tmp_path: Path) -> None:
    folder = Folder(kind, way[kind], tmp_path)
    folder.write(f"a.{kind}.gz", gzip.compress(MADE[kind](range(400))), START)

    ids, found = folder.ids()

    assert ids == list(range(400))
    # Of bytes that are packed, none is a place to go on from.
    assert [state is not None for state in found.states] == [False] * (len(found.states) - 1) + [True]
    assert folder.ids(found.saved)[0] == []


def test_a_state_of_something_else_is_refused(folder: Folder) -> None:
    folder.put("a", range(10), START)
    state = SavedState({StreamId("data"): b'{"until": "yesterday"}'})

    with pytest.raises(Exception, match="state"):
        folder.ids(state)


def test_a_file_that_changes_amid_its_reading_is_an_error_to_try_again(folder: Folder) -> None:
    folder.put("a", range(40_000), START)
    path = folder.folder / f"a.{folder.kind}"
    reader = folder.reader()
    config = {"path": str(path), "stream": "data", **folder.settings}
    reader.initialize(config, folder.catalog(config, incremental=True), None)
    try:
        assert reader.read_batch(10) is not None
        data = path.read_bytes()
        os.truncate(path, len(data) // 2)
        with pytest.raises(Exception, match=f"a.{folder.kind}"):
            deque(iter(lambda: reader.read_batch(65_536), None), maxlen=0)
    finally:
        reader.close()


@pytest.mark.parametrize("incremental", [False, True])
def test_parts_are_the_whole_in_order(way: Mapping[str, type[Any]], tmp_path: Path, incremental: bool) -> None:
    """Of CSV files, by bytes; the states between them lead on."""
    folder = Folder("csv", way["csv"], tmp_path)
    folder.put("a", range(150_000), START)
    folder.put("b", range(150_000, 150_100), START + 1)
    folder.put("c", range(150_100, 300_000), START + 2)
    pattern = str(tmp_path / "*.csv")

    parts = folder.parts(pattern, 2, 1 << 20, stream="data", incremental=incremental)

    assert len(parts) > 2
    begins, ids = [], []
    for part in parts:
        begins.append(len(ids))
        found = folder.read(pattern, stream="data", partition=part.token, incremental=incremental, origin=["line"])
        assert found.states == [None] * len(found.states)
        ids += [row["id"] for row in found.rows]
    assert ids == list(range(300_000))
    if incremental:
        states = [part.state for part in parts]
        assert states[-1] is not None
        for state, after in zip(states[:-1], begins[1:], strict=True):
            if state is not None:
                assert folder.ids(SavedState().merged(state))[0] == list(range(after, 300_000))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_that_changed_since_it_was_found_is_read_from_its_beginning(
    kind: str, way: Mapping[str, type[Any]], tmp_path: Path
) -> None:
    """The place where the state says to go on is one of another file."""
    folder = Folder(kind, way[kind], tmp_path)
    folder.put("a", range(400), START)
    amid = folder.ids(stop_after=2)[1].saved
    config = {"path": str(tmp_path / f"a.{kind}"), "stream": "data", **folder.settings}
    reader = folder.reader()
    try:
        reader.initialize(config, folder.catalog(config, incremental=True), amid)
        folder.put("a", range(1000, 1450), START + 1)
        ids = [number for piece in iter(lambda: reader.read_batch(1000), None) for number in column(piece, "id")]
    finally:
        reader.close()
    assert ids == list(range(1000, 1450))


def test_a_part_of_a_file_that_changed_is_an_error_to_try_again(way: Mapping[str, type[Any]], tmp_path: Path) -> None:
    """Its other parts are those of another file."""
    folder = Folder("csv", way["csv"], tmp_path)
    folder.put("a", range(200_000), START)
    config = {"path": str(tmp_path / "a.csv"), "stream": "data"}
    part = folder.parts(config["path"], 2, 1 << 20, stream="data")[1]
    reader = folder.reader()
    try:
        reader.initialize(config, folder.catalog(config, partition=part.token), None)
        folder.put("a", range(200_000, 400_000), START + 1)
        with pytest.raises(ConnectorError, match="was changed while it was read") as raised:
            reader.read_batch(1000)
    finally:
        reader.close()
    assert raised.value.retryable


def column(piece: Any, name: str) -> list[Any]:
    return pa.record_batch(piece.data)[name].to_pylist()  # type: ignore[no-any-return]
