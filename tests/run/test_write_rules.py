"""How a stream is written: the job over the source, the source over the contract."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import ConfigError, Schema, StreamId
from dativo_sdk import ConfiguredStream

from dativo._job import Job, StreamConfig
from dativo._write_rules import WriteRules

ORDERS = StreamId("orders")
ALL = ("append", "append_dedup", "overwrite", "merge", "scd2")


def configured(
    config: dict[str, Any] | None = None, can: tuple[str, ...] = ALL, promised: tuple[str, ...] = (), **said: Any
) -> ConfiguredStream:
    target = {"connector": "duckdb", **said.pop("target", {})}
    job = Job.model_validate({"name": "x", "source": {"connector": "c"}, "target": target})
    names = said.pop("names", ["id", "at"])
    message = Schema(ORDERS, pa.schema([(name, pa.int64()) for name in names]), b"{}", **said)
    return WriteRules(job, can).configure(message, StreamConfig.model_validate(config or {}), promised)


def test_a_key_makes_a_merge_where_the_target_can():
    assert configured(primary_key=("id",)).write_mode == "merge"
    assert configured(primary_key=("id",), can=("append", "overwrite")).write_mode == "append"
    assert configured().write_mode == "append"


def test_the_key_of_a_contract_is_the_last_choice():
    assert configured(promised=("at",)).primary_key == ("at",)
    assert configured(promised=("at",), primary_key=("id",)).primary_key == ("id",)
    assert configured({"primary_key": ["at"]}, primary_key=("id",)).primary_key == ("at",)


def test_the_cursor_is_the_sources_unless_the_job_names_one():
    assert configured(cursor=("at",)).cursor == "at"
    assert configured({"cursor": "id"}, cursor=("at",)).cursor == "id"


def test_a_cursor_that_is_no_column_is_none():
    assert configured(cursor=("updated",)).cursor is None
    assert configured(cursor=("at", "id")).cursor is None


@pytest.mark.parametrize("mark", ["_ab_cdc_deleted_at", "_sdc_deleted_at", "_deleted"])
def test_usual_marks_of_deleted_rows_are_known(mark: str):
    assert configured(names=["id", mark]).delete_mark == mark


def test_the_job_names_another_mark():
    stream = configured({"delete_mark": "gone", "deletes": "soft"}, names=["id", "gone", "_deleted"])
    assert (stream.delete_mark, stream.deletes) == ("gone", "soft")


def test_deletes_are_the_targets_unless_the_stream_says():
    assert configured(target={"deletes": "hard", "write": "merge"}, primary_key=("id",)).deletes == "hard"
    assert configured({"deletes": "ignore"}, target={"deletes": "hard"}).deletes == "ignore"


def test_marked_rows_cannot_go_from_a_table_without_a_key():
    with pytest.raises(ConfigError, match=r"rows marked by `_deleted` cannot be removed .* with `append`"):
        configured({"deletes": "hard", "write": "append"}, names=["id", "_deleted"])


def test_rows_cannot_go_from_a_target_that_removes_none():
    """Said before a row is written, and not when the source's last message tells of an older version."""
    job = Job.model_validate({"name": "x", "source": {"connector": "c"}, "target": {"connector": "csv", "deletes": "hard"}})
    message = Schema(ORDERS, pa.schema([("id", pa.int64())]), b"{}", ("id",))
    rules = WriteRules(job, ("append", "overwrite"), versions=False)
    with pytest.raises(ConfigError, match="target `csv` cannot remove rows from a table that is written with `append`"):
        rules.configure(message, StreamConfig())
    assert rules.configure(message, StreamConfig(write="overwrite")).write_mode == "overwrite"


@pytest.mark.parametrize("mode", ["merge", "scd2"])
def test_modes_that_need_a_key(mode: str):
    with pytest.raises(ConfigError, match=f"cannot be written with `{mode}`: it has no key"):
        configured({"write": mode})


def test_a_mode_that_the_target_lacks():
    with pytest.raises(ConfigError, match="target `duckdb` cannot `scd2`") as error:
        configured({"write": "scd2", "primary_key": ["id"]}, can=("append", "merge"))
    assert error.value.hint == "it can: `append`, `merge`"
