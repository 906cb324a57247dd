"""Readers in shared libraries, compiled here."""

from __future__ import annotations

import ctypes
import gc
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import Batch, Catalog, ConfigError, ConnectorError, ContractError, Rejects, State, StreamId
from dativo_sdk import ReadCatalog, SavedState, Selection, capabilities
from dativo_sdk._config import config_schema
from dativo_sdk._plugin import load_class
from dativo_sdk.conformance import READER_CHECKS, ReaderCase, ReaderCheck, run_reader_check
from dativo_sdk.library import load_library

from .test_program import run, said, written

HERE = Path(__file__).parent
NUMBERS, ROWS = StreamId("numbers"), StreamId("rows")

pytestmark = pytest.mark.skipif(shutil.which("cc") is None or shutil.which("g++") is None, reason="no compiler")


def compiled(folder: Path, source: str, *options: str, name: str = "librows.so") -> Path:
    library = folder / name
    compiler = "g++" if source.endswith(".cpp") else "cc"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", *options, "-o", library, HERE / source], check=True)
    return library


@pytest.fixture(scope="module")
def c_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("c"), "counting_reader.c", name="libnumbers.so")


@pytest.fixture(scope="module")
def json_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("json"), "json_reader.cpp")


def read(
    library: Path, config: dict[str, Any], *, state: SavedState | None = None, max_rows: int = 2, **catalog: Any
) -> list[Any]:
    """Every piece with the state behind it."""
    reader = load_library(library)()
    reader.initialize(config, ReadCatalog(**catalog) if catalog else None, state)
    found = []
    while (piece := reader.read_batch(max_rows)) is not None:
        found.append((piece, reader.get_incremental_state()))
    reader.close()
    reader.close()
    return found


def rows(found: list[Any]) -> list[dict[str, Any]]:
    return [row for piece, _ in found for row in pa.record_batch(piece.data).to_pylist()]


def test_a_library_says_who_it_is(c_library: Path) -> None:
    plugin = load_class(str(c_library))
    assert (plugin.name, plugin.version, plugin.__api_version__) == ("c-numbers", "0.3", "1.0")
    assert capabilities(plugin).powers == ("partitions",)
    assert capabilities(plugin).releases_gil
    assert config_schema(plugin)["properties"] == {"rows": {"type": "integer"}}


def test_its_batches_are_arrow_data_with_states(c_library: Path) -> None:
    found = read(c_library, {"rows": 3})
    assert [(piece.stream, piece.rows) for piece, _ in found] == [(NUMBERS, 2), (NUMBERS, 1)]
    assert [state for _, state in found] == [State(b'{"n":%d,"exact":1.10}' % n, NUMBERS) for n in (2, 3)]
    assert rows(found) == [{"n": 0, "text": "0"}, {"n": 1, "text": "1"}, {"n": 2, "text": "2"}]


def test_a_batch_weighs_about_what_its_buffers_do(c_library: Path) -> None:
    ((piece, _),) = read(c_library, {"rows": 1000}, max_rows=1000)
    size = piece.nbytes
    assert size == pytest.approx(pa.record_batch(piece.data).nbytes, abs=8)


def test_it_goes_on_from_a_state(c_library: Path) -> None:
    state = SavedState({NUMBERS: b'{"n":2}'})
    assert [row["n"] for row in rows(read(c_library, {"rows": 4}, state=state))] == [2, 3]


def test_its_memory_is_freed_whoever_has_it(c_library: Path) -> None:
    releases = ctypes.CDLL(str(c_library)).releases_so_far
    gc.collect()
    before = releases()
    taken, *left = read(c_library, {"rows": 6})
    batch = pa.record_batch(taken[0].data)
    with pytest.raises(RuntimeError, match="handed over before"):
        pa.record_batch(taken[0].data)
    capsules = left[0][0].data.__arrow_c_array__()
    del taken, left, capsules
    gc.collect()
    assert batch.column("n").to_pylist() == [0, 1]
    assert releases() - before == 5  # Three schemas and two arrays; the third array is the batch's.
    del batch
    gc.collect()
    assert releases() - before == 6


def test_it_is_read_in_parts(c_library: Path) -> None:
    plugin = load_library(c_library)
    reader = plugin()
    reader.initialize({"rows": 4}, None, None)
    parts = reader.partitions(2, 1 << 20)
    reader.close()
    assert [part.state for part in parts] == [None, State(b'{"n":4.0}', NUMBERS)]
    found = [rows(read(c_library, {"rows": 4}, catalog=Catalog(()), selected={}, partition=part.token)) for part in parts]
    assert [[row["n"] for row in part] for part in found] == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("config", "error", "message", "retryable"),
    [
        ({"rows": -1}, ConfigError, "`rows` is below 0\nhint: count upwards", False),
        ({"rows": 13}, ConnectorError, "the source is away", True),
        ({"rows": 14}, ConnectorError, "`dativo_open` failed with code 1, and does not say why", False),
        ({"rows": 3, "bad": 1}, ContractError, "row 0 is no row", False),
    ],
)
def test_its_errors_are_those_of_the_tree(
    c_library: Path, config: dict[str, Any], error: type[Exception], message: str, retryable: bool
) -> None:
    with pytest.raises(error) as caught:
        read(c_library, config)
    assert (str(caught.value), getattr(caught.value, "retryable", None)) == (message, retryable)


def test_a_library_is_a_program(c_library: Path, tmp_path: Path) -> None:
    ended = run("read", "--config", written(tmp_path / "config.json", {"rows": 2}), target=str(c_library))
    assert [message["record"]["data"] for message in said(ended, "RECORD")] == [{"n": 0, "text": "0"}, {"n": 1, "text": "1"}]
    assert said(run("spec", target=str(c_library)))[0]["spec"]["dativo"]["name"] == "c-numbers"
    parts = run("partitions", "--config", written(tmp_path / "config.json", {"rows": 2}), target=str(c_library))
    assert [part["token"] for part in said(parts, "PARTITIONS")[0]["partitions"]] == ["MC0yAA==", "Mi00AA=="]


def test_a_library_for_another_version_is_refused(tmp_path: Path) -> None:
    library = compiled(tmp_path, "counting_reader.c", "-DAPI_VERSION=0x20001")
    with pytest.raises(ConfigError, match=r"written for version 2\.1 of the plugin API"):
        load_class(str(library))


def test_what_is_no_reader_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("no library")
    (tmp_path / "other.c").write_text("int something(void) { return 0; }")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_library(tmp_path / "text.so")
    subprocess.run(["cc", "-shared", "-o", tmp_path / "other.so", tmp_path / "other.c"], check=True)
    with pytest.raises(ConfigError, match="neither `dativo_api_version` nor `create_reader`"):
        load_library(tmp_path / "other.so")
    with pytest.raises(ConfigError, match="no file"):
        load_library(tmp_path / "none.so")


class LibraryCase(ReaderCase):
    """A library, for the kit."""

    def __init__(self, library: Path, config: dict[str, Any], *bad_configs: dict[str, Any]) -> None:
        self.library, self.config, self.bad_configs = library, config, bad_configs
        self.reader = load_library(library)

    def program(self) -> str:
        return str(self.library)


@pytest.mark.parametrize("check", READER_CHECKS, ids=str)
def test_conformance(c_library: Path, tmp_path: Path, check: ReaderCheck) -> None:
    run_reader_check(check, LibraryCase(c_library, {"rows": 4}, {"rows": -1}), tmp_path)


@pytest.mark.parametrize("check", READER_CHECKS, ids=str)
def test_conformance_of_an_older_library(json_library: Path, tmp_path: Path, check: ReaderCheck) -> None:
    run_reader_check(check, LibraryCase(json_library, {"shape": "array"}, {"shape": "refuse"}), tmp_path)


def test_rows_of_an_older_library_have_the_types_of_the_first_ones(json_library: Path) -> None:
    found = read(json_library, {"shape": "array"})
    assert rows(found) == [
        {"id": 1, "price": 1.5, "at": "2024-01-02T03:04:05Z"},
        {"id": 2, "price": 2.0, "at": None},
        {"id": 3, "price": None, "at": None},
    ]
    assert [state for _, state in found] == [None, None]
    assert {piece.stream for piece, _ in found} == {ROWS}


def test_a_given_schema_beats_them(json_library: Path) -> None:
    properties = {
        "id": {"type": "integer"},
        "price": {"type": "number", "multipleOf": 0.01},
        "at": {"format": "date-time", "type": "string"},
    }
    config = {"shape": "array", "dativo_schema": {"properties": properties}, "dativo_stream": "prices"}
    first = pa.record_batch(read(json_library, config)[0][0].data)
    assert str(first.schema.field("price").type) == "decimal128(38, 2)"
    assert str(first.schema.field("at").type) == "timestamp[us, tz=UTC]"


def test_states_come_with_the_rows_that_they_cover(json_library: Path) -> None:
    found = read(json_library, {"shape": "object"}, max_rows=1)
    assert [row["id"] for row in rows(found)] == [1, 2, 3]
    assert [state for _, state in found] == [State(b'{"at":1.10}', ROWS), None, State(b'{"at":3}', ROWS)]


def test_an_object_without_rows_is_a_row(json_library: Path) -> None:
    assert rows(read(json_library, {"shape": "single"})) == [{"id": 1, "name": "x"}, {"id": 2, "name": None}]


def test_a_row_that_does_not_fit_is_rejected(json_library: Path) -> None:
    config = {"shape": "bad", "dativo_schema": {"properties": {"id": {"type": "integer"}}}}
    kinds = {type(piece): piece for piece, _ in read(json_library, config)}
    assert kinds[Batch].rows == 1
    assert pa.record_batch(kinds[Rejects].data).column("column").to_pylist() == ["id"]


def test_the_settings_between_are_not_the_librarys(json_library: Path) -> None:
    state = SavedState({ROWS: b'{"at": 7}'})
    (row,) = rows(read(json_library, {"shape": "state", "dativo_stream": "rows", "dativo_primary_key": ["config"]}, state=state))
    assert row["config"] == '{"shape": "state", "dativo_state": {"at": 7}}'


def test_fields_are_selected(json_library: Path) -> None:
    found = read(json_library, {"shape": "array"}, catalog=Catalog(()), selected={ROWS: Selection(fields=("id",))})
    assert rows(found) == [{"id": 1}, {"id": 2}, {"id": 3}]


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        ("refuse", ConfigError, "`create_reader` of `rows` failed: no such place"),
        ("error", ConnectorError, "`rows` failed: the source went away"),
        ("broken", ConnectorError, "`extract_batch` gave no JSON"),
    ],
)
def test_failures_of_an_older_library_are_told(json_library: Path, shape: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read(json_library, {"shape": shape})


def test_an_older_library_is_a_program(json_library: Path, tmp_path: Path) -> None:
    ended = run("read", "--config", written(tmp_path / "config.json", {"shape": "object"}), target=str(json_library))
    assert [message["record"]["data"] for message in said(ended, "RECORD")] == [{"id": 1}, {"id": 2}, {"id": 3}]
