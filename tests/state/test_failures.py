"""Servers that are down or refuse, and stores that are damaged: what the user is told, and whether trying again can help."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dativo_protocols import ConfigError, DativoError, StateError
from dativo_sdk import JobKey

from dativo._report import Report
from dativo._store import Store
from dativo.state import Keep, Location, StateBackend
from dativo.state import _documents as documents
from dativo.state._documents import ConflictError, DocumentBackend
from dativo.state._folder import FolderDocuments
from dativo.state._open import open_backend
from tests.servers.seaweedfs import S3Server
from tests.state.conftest import Place
from tests.taps.servers import Server, free_port

JOB = JobKey("acme", "orders")
SECRET = "hunter2hunter2"


def refused(uri: str) -> DativoError:
    backend = open_backend(Location.parse(uri))
    try:
        with pytest.raises(DativoError) as caught:
            backend.append(JOB, b"{}", "commit", "r", keep=Keep(9, 9), token=None)
        with pytest.raises(type(caught.value)):
            backend.history(JOB, 1)
    finally:
        backend.close()
    assert SECRET not in f"{caught.value}{caught.value.facts}"
    return caught.value


def test_a_postgresql_that_is_down_is_temporary() -> None:
    error = refused(f"postgresql://tester:{SECRET}@127.0.0.1:{free_port()}/postgres?connect_timeout=3")
    assert (type(error), error.exit_code) == (StateError, 75)
    assert error.message.startswith("cannot reach state store `postgresql://127.0.0.1:")


def test_an_object_store_that_is_down_is_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    from dativo.state import _objects

    monkeypatch.setattr(_objects, "RETRIES", {"max_retries": 0})
    keys = f"access_key_id=a&secret_access_key={SECRET}&region=eu"
    error = refused(f"s3://bucket/x?endpoint=http://127.0.0.1:{free_port()}&{keys}")
    assert (type(error), error.exit_code) == (StateError, 75)


def test_a_user_whom_postgresql_does_not_know_is_a_wrong_configuration(postgres: Server) -> None:
    error = refused(f"postgresql://nobody:{SECRET}@127.0.0.1:{postgres.port}/postgres")
    assert (type(error), error.exit_code) == (ConfigError, 2)
    assert 'role "nobody" does not exist' in error.message


def test_a_wrong_password_of_postgresql_is_a_wrong_configuration(postgres: Server) -> None:
    postgres.sql(f"create role guarded login password '{SECRET}x';")
    hba = postgres.sql("show hba_file;").strip()
    before = Path(hba).read_text()
    Path(hba).write_text("host all guarded 127.0.0.1/32 scram-sha-256\n" + before)
    postgres.sql("select pg_reload_conf();")
    try:
        for _ in range(50):
            error = refused(f"postgresql://guarded:{SECRET}@127.0.0.1:{postgres.port}/postgres")
            if "password authentication failed" in error.message:
                break
    finally:
        Path(hba).write_text(before)
        postgres.sql("select pg_reload_conf();")
    assert "password authentication failed" in error.message
    assert error.exit_code == 2


def test_a_user_who_may_not_make_tables_is_told_so(postgres: Server) -> None:
    postgres.sql("create role reader login;")
    error = refused_write(f"postgresql://reader@127.0.0.1:{postgres.port}/postgres?schema=theirs")
    assert (type(error), error.exit_code) == (ConfigError, 2)
    assert "permission denied" in error.message


def refused_write(uri: str) -> DativoError:
    backend = open_backend(Location.parse(uri))
    try:
        with pytest.raises(DativoError) as caught:
            backend.append(JOB, b"{}", "commit", "r", keep=Keep(9, 9), token=None)
    finally:
        backend.close()
    return caught.value


def test_wrong_keys_of_an_object_store_are_a_wrong_configuration(s3: S3Server) -> None:
    keys = f"access_key_id={s3.access_key}&secret_access_key={SECRET}"
    error = refused(f"s3://{s3.bucket}/x?endpoint={s3.endpoint}&region={s3.region}&{keys}")
    assert (type(error), error.exit_code) == (ConfigError, 2)
    assert f"state store `s3://{s3.bucket}/x` refuses access" in error.message
    assert "SignatureDoesNotMatch" in error.message


def test_a_connection_that_the_server_cut_is_made_again(new_place: Any, postgres: Server) -> None:
    place = new_place("postgresql")
    with place.store() as store:
        store.record(JOB, b"1", "r")
        postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'dativo';")
        store.record(JOB, b"2", "r")
        assert [entry.state for entry in store.history(JOB)] == [b"2", b"1"]


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"{}", b"[1]"])
def test_a_damaged_folder_is_an_error_with_a_way_out(tmp_path: Path, damage: bytes) -> None:
    with Store(lambda: DocumentBackend(FolderDocuments(tmp_path))) as store:
        store.record(JOB, b"{}", "r")
        (tmp_path / "jobs/acme/orders/head.json").write_bytes(damage)
        for use in (lambda: store.history(JOB), lambda: store.record(JOB, b"{}", "r")):
            with pytest.raises(StateError, match=r"`jobs/acme/orders/head.json` is damaged") as caught:
                use()
            assert caught.value.exit_code == 20
            assert "remove `jobs/acme/orders` there and run again" in str(caught.value.hint)


def test_damaged_runs_and_missing_states_are_errors(tmp_path: Path) -> None:
    with Store(lambda: DocumentBackend(FolderDocuments(tmp_path))) as store:
        store.begin_run(Report("r", *JOB, started=1.0))
        store.record(JOB, b"x" * 2000, "r")
        (tmp_path / "jobs/acme/orders/runs/r.json").write_text("{}")
        with pytest.raises(StateError, match=r"`jobs/acme/orders/runs/r.json` is damaged"):
            store.runs()
        for file in (tmp_path / "jobs/acme/orders/states").iterdir():
            file.unlink()
        with pytest.raises(StateError, match="states that it names are not there"):
            store.history(JOB)


def test_a_newer_format_is_refused(tmp_path: Path, new_place: Any, postgres: Server) -> None:
    (tmp_path / documents.MARKER).write_text(json.dumps({"format": "dativo-state", "version": 9}))
    place = new_place("postgresql")
    schema = place.uri.rpartition("=")[2]
    with place.store() as store:
        store.record(JOB, b"{}", "r")
    postgres.sql(f"update {schema}.dativo_store set version = 9;")
    backends: list[StateBackend] = [DocumentBackend(FolderDocuments(tmp_path)), place.backend()]
    for backend in backends:
        with pytest.raises(StateError, match="has version 9, this Dativo knows version 1"):
            backend.append(JOB, b"{}", "commit", "r", keep=Keep(9, 9), token=None)
        backend.close()


def test_dropped_tables_are_an_error_with_a_way_out(new_place: Any, postgres: Server) -> None:
    place: Place = new_place("postgresql")
    with place.store() as store:
        store.record(JOB, b"{}", "r")
        postgres.sql(f"drop table {place.uri.rpartition('=')[2]}.dativo_states;")
        with pytest.raises(StateError, match="does not exist") as caught:
            store.history(JOB)
    assert "drop the tables `dativo_…` and run again" in str(caught.value.hint)


def test_a_folder_without_room_is_temporary(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("`/dev/full` is missing: it is the system's full disk")
    with Store(lambda: DocumentBackend(FolderDocuments(tmp_path))) as store:
        store.record(JOB, b"{}", "r")
        (tmp_path / "jobs/acme/orders/.next").symlink_to("/dev/full")
        with pytest.raises(StateError, match="No space left on device") as caught:
            store.record(JOB, b"{}", "r")
        assert caught.value.exit_code == 75
        (tmp_path / "jobs/acme/orders/.next").unlink()
        assert store.record(JOB, b"{}", "r").seq == 2


class Unconditional(FolderDocuments):
    """A server that does not know conditional puts."""

    def replace(self, path: str, data: bytes, version: str | None) -> None:
        self.put(path, data)


def test_a_server_without_conditional_puts_is_refused(tmp_path: Path) -> None:
    with (
        Store(lambda: DocumentBackend(Unconditional(tmp_path))) as store,
        pytest.raises(ConfigError, match="puts an object over another one although it was told not to"),
    ):
        store.record(JOB, b"{}", "r")
    assert list(tmp_path.glob("*.json")) == []


class Echoing(FolderDocuments):
    """A client that lost the answer to a put, repeated it, and was refused by its own first one."""

    def replace(self, path: str, data: bytes, version: str | None) -> None:
        super().replace(path, data, version)
        if path.endswith("head.json"):
            raise ConflictError


def test_a_put_whose_answer_was_lost_counts_once(tmp_path: Path) -> None:
    with Store(lambda: DocumentBackend(Echoing(tmp_path))) as store:
        store.record(JOB, b"1" * 3000, "r")
        store.record(JOB, b"2", "r")
        store.begin_run(Report("r", *JOB, started=1.0))
        assert [entry.seq for entry in store.history(JOB)] == [2, 1]
        with store.lock(JOB, "r") as lock:
            assert lock.token == 1


def test_states_that_no_head_names_are_removed_by_the_next_run(tmp_path: Path) -> None:
    with Store(lambda: DocumentBackend(FolderDocuments(tmp_path))) as store:
        store.record(JOB, b"x" * 2000, "r")
        folder = tmp_path / "jobs/acme/orders/states"
        (folder / f"{1:020}-dead").write_text("left by a killed writer")
        (folder / f"{2:020}-next").write_text("of one that is about to name it")
        store.begin_run(Report("r", *JOB, started=1.0))
        assert len(store.history(JOB)[0].state or b"") == 2000
        names = sorted(path.name.partition("-")[2] for path in folder.iterdir())
    assert len(names) == 2
    assert "next" in names
