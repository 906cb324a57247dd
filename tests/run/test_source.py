from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from dativo_protocols import ConfigError, ConnectorError, ContractError

import dativo
from tests.processes import running


@pytest.fixture
def orders(project: Path, tap: Any, say: Any) -> Any:
    """A tap with three orders."""
    schema = say.schema("orders", ["id"], id="integer", amount={"type": "number", "multipleOf": 0.01})
    tap.offers(schema, say.schema("users", id="integer"))
    tap.says(schema, *(f'{{"type":"RECORD","stream":"orders","record":{{"id":{n},"amount":{n}.10}}}}' for n in range(3)))
    return tap


def open_source(tap: Any, **options: Any) -> dativo.Source:
    return dativo.source(tap.reference, tap.config, **options)


def test_streams_are_those_that_were_discovered(orders: Any) -> None:
    assert open_source(orders).streams == ("orders", "users")
    assert open_source(orders, streams=["us*"]).streams == ("users",)


def test_pyarrow_polars_and_duckdb_take_a_reader_as_it_is(orders: Any) -> None:
    reader = open_source(orders).read("orders")
    assert pa.table(reader).num_rows == 3
    assert pl.DataFrame(reader)["id"].to_list() == [0, 1, 2]
    assert duckdb.sql("SELECT count(*), sum(amount)::text FROM reader").fetchall() == [(3, "3.30")]


def test_the_schema_is_there_before_the_rows(orders: Any) -> None:
    schema = open_source(orders).read("orders").schema
    assert (schema.names, schema.field("amount").type) == (["id", "amount"], pa.decimal128(38, 2))


def test_a_limit_ends_the_connector(orders: Any, say: Any) -> None:
    orders.says(say.schema("orders", id="integer"), *(say.record("orders", id=n) for n in range(9)), say.state({}), "#sleep 60")
    started = time.monotonic()
    assert open_source(orders).read("orders", limit=4).to_arrow().num_rows == 4
    assert time.monotonic() - started < 30


def test_fields_and_types_are_chosen(orders: Any) -> None:
    source = open_source(orders, types={"orders": {"amount": "string"}})
    assert source.read("orders", fields=["amount"]).to_arrow().to_pylist()[2] == {"id": 2, "amount": "2.10"}


def test_the_state_is_handed_over_and_given_back_exactly(orders: Any, say: Any) -> None:
    orders.says(say.schema("orders", id="integer"), say.record("orders", id=1), '{"type":"STATE","value":{"v": 1.10}}')
    reader = open_source(orders, state=b'{"v": 0.10}').read("orders")
    reader.to_arrow()
    assert (orders.handed_state, reader.state) == (b'{"v": 0.10}', b'{"v": 1.10}')


def test_a_missing_stream_names_the_nearest(orders: Any) -> None:
    with pytest.raises(ConfigError, match="no stream `order`") as caught:
        open_source(orders).read("order")
    assert caught.value.hint == "did you mean `orders`?"


def test_a_connector_that_fails_says_so_after_its_rows(orders: Any, say: Any) -> None:
    orders.says(say.schema("orders", id="integer"), say.record("orders", id=1), "#exit 3")
    seen = []
    with pytest.raises(ConnectorError):
        seen.extend(batch.num_rows for batch in open_source(orders).read("orders"))
    assert seen == [1]


def test_a_failure_reaches_other_libraries_as_an_error(orders: Any, say: Any) -> None:
    orders.says(say.schema("orders", id="integer"), say.record("orders", id=1), "#exit 3")
    with duckdb.connect() as db:
        db.register("reader", open_source(orders).read("orders"))
        with pytest.raises(duckdb.Error, match="exit"):
            db.execute("SELECT count(*) FROM reader").fetchall()


def test_a_stream_that_is_never_announced_is_an_error(orders: Any) -> None:
    orders.says()
    with pytest.raises(ConnectorError, match="ended without announcing stream `orders`"):
        open_source(orders).read("orders").to_arrow()


def test_bad_values_fail_by_default(orders: Any, say: Any) -> None:
    orders.says(say.schema("orders", id="integer"), say.record("orders", id="x"))
    with pytest.raises(ContractError):
        open_source(orders).read("orders").to_arrow()


def test_bad_values_can_be_nulled_with_a_note(orders: Any, say: Any) -> None:
    orders.says(say.schema("orders", id="integer"), say.record("orders", id=1), say.record("orders", id="x"))
    rows = open_source(orders).read("orders", on_bad_value="null").to_arrow().to_pylist()
    assert rows[0] == {"id": 1, "_dativo_changes": None}
    assert rows[1]["id"] is None
    assert '"id"' in rows[1]["_dativo_changes"]


def test_bad_rows_can_be_handed_out(orders: Any, say: Any) -> None:
    orders.says(say.schema("orders", id="integer"), say.record("orders", id=1), say.record("orders", id="x"))
    bad: list[Any] = []
    rows = open_source(orders).read("orders", on_bad_value="quarantine", on_reject=bad.append).to_arrow()
    assert (rows.num_rows, bad[0].to_pylist()[0]["record"]) == (1, b'{"id": "x"}')


def test_a_key_cannot_be_nulled(orders: Any, say: Any) -> None:
    orders.says(say.schema("orders", ["id"], id="integer"), say.record("orders", id=1), say.record("orders", id="x"))
    with pytest.raises(ContractError, match="its primary key does not fit and cannot be null: column `id`"):
        open_source(orders).read("orders", on_bad_value="null").to_arrow()


def test_bad_rows_need_somebody_to_take_them(orders: Any) -> None:
    with pytest.raises(ConfigError, match="needs `on_reject`"):
        open_source(orders).read("orders", on_bad_value="quarantine")


@pytest.mark.parametrize(("extra", "columns"), [("keep", ["id", "_dativo_extra"]), ("drop", ["id"])])
def test_properties_outside_the_schema_are_kept_or_dropped_as_asked(
    orders: Any, say: Any, extra: Any, columns: list[str]
) -> None:
    orders.says(say.schema("orders", id="integer"), say.record("orders", id=1), say.record("orders", id=2, more="x"))
    table = open_source(orders).read("orders", extra=extra).to_arrow()
    assert (table.column_names, table.num_rows) == (columns, 2)


def test_properties_outside_the_schema_are_an_error_unless_asked(orders: Any, say: Any) -> None:
    orders.says(say.schema("orders", id="integer"), say.record("orders", id=2, more="x"))
    with pytest.raises(ContractError, match="properties that its schema does not name: `more`"):
        open_source(orders).read("orders").to_arrow()


def test_a_schema_that_narrows_in_the_middle_is_conformed(orders: Any, say: Any) -> None:
    orders.says(
        say.schema("orders", a="number", b="string"),
        say.record("orders", a=0.5, b="x"),
        say.schema("orders", a="integer"),
        say.record("orders", a=7),
    )
    assert open_source(orders).read("orders").to_arrow().to_pylist() == [{"a": 0.5, "b": "x"}, {"a": 7.0, "b": None}]


def test_a_column_that_comes_new_in_the_middle_is_an_error(orders: Any, say: Any) -> None:
    orders.says(
        say.schema("orders", a="integer"),
        say.record("orders", a=1),
        say.schema("orders", a="integer", b="string"),
        say.record("orders", a=2, b="x"),
    )
    with pytest.raises(ContractError, match="changed its schema in the middle: `b` came new"):
        open_source(orders).read("orders").to_arrow()


def test_other_streams_are_passed_over_without_a_catalog(orders: Any, say: Any) -> None:
    orders.says(
        say.schema("users", id="integer"),
        say.record("users", id=9),
        say.schema("orders", id="integer"),
        say.record("orders", id=1),
        say.record("users", id=8),
    )
    source = open_source(orders, discover=False, streams=["orders", "users"])
    found = {name: reader.to_arrow()["id"].to_pylist() for name, reader in source.read_all().items()}
    assert found == {"orders": [1], "users": [9, 8]}


def test_every_pass_reads_anew(orders: Any) -> None:
    reader = open_source(orders).read("orders")
    assert reader.to_arrow().equals(reader.to_arrow())


def test_a_reader_that_is_left_ends_its_connector(orders: Any, say: Any, tmp_path: Path) -> None:
    orders.says(say.schema("orders", id="integer"), say.record("orders", id=1), say.state({}), "#sleep 60")
    with open_source(orders).read("orders") as reader:
        assert reader.schema.names == ["id"]
        assert running(str(tmp_path))
    assert running(str(tmp_path)) == []


def test_a_job_brings_its_connector_and_configuration(orders: Any, project: Path) -> None:
    import json

    Path("orders.yaml").write_text(json.dumps(orders.job(source={"streams": ["orders"]})))
    assert dativo.source("orders.yaml").streams == ("orders",)


def test_the_consumer_holds_the_connector_back(orders: Any, say: Any, project: Path) -> None:
    """A tap of 200,000 wide rows cannot run ahead of a consumer that takes one batch."""
    wide = "x" * 1000
    program = project / "fast-tap"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, sys\n"
        "print(json.dumps({'type':'SCHEMA','stream':'s','key_properties':[],"
        "'schema':{'type':'object','properties':{'id':{'type':'integer'},'t':{'type':'string'}}}}))\n"
        "for n in range(200_000):\n"
        f'    sys.stdout.write(\'{{"type":"RECORD","stream":"s","record":{{"id":%d,"t":"{wide}"}}}}\\n\' % n)\n'
        "    if n % 1000 == 0:\n"
        "        open('sent', 'w').write(str(n))\n"
    )
    program.chmod(0o755)
    source = dativo.source(f"singer:{program}", {}, discover=False, streams=["s"], memory="160MiB")
    reader = source.read("s")
    batches = reader.batches()
    next(batches)
    time.sleep(2)
    assert int(Path("sent").read_text()) < 100_000
    assert 1 + sum(batch.num_rows for batch in batches) > 190_000
