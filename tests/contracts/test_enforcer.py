"""What passes a contract, what is nulled, what goes to quarantine, what ends the run."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import StreamId
from dativo_protocols.errors import ContractError

from dativo._evolution import json_field
from dativo.contracts._enforcer import Enforcer
from dativo.contracts._odcs import read_contract

ORDERS = StreamId("orders")
THERE = pa.schema([("id", pa.int64()), ("n", pa.int64())])


def batch(**columns: pa.Array) -> pa.RecordBatch:
    return pa.record_batch(columns)


def test_values_that_fit_exactly_are_converted_and_the_others_nulled():
    enforcer = Enforcer(ORDERS, "discard_value", THERE)
    arriving = batch(id=pa.array([1, 2, 3]), n=pa.array([1.0, 2.5, None]))

    announced = enforcer.announce(arriving.schema)
    taken = enforcer.take(arriving).batch

    assert announced.field("n").type == pa.int64()
    assert taken.column("n").to_pylist() == [1, None, None]
    assert [json.loads(text) if text else None for text in taken.column("_dativo_changes").to_pylist()] == [
        None,
        [{"column": "n", "reason": "a value of type `float64` does not fit into `int64`"}],
        None,
    ]


def test_what_was_nulled_before_stays_noted():
    enforcer = Enforcer(ORDERS, "discard_value", THERE)
    fields = [pa.field("id", pa.int64()), pa.field("n", pa.utf8()), json_field("_dativo_changes")]
    rows = pa.RecordBatch.from_arrays(
        [pa.array([1]), pa.array(["x"]), pa.array(['[{"column": "id", "reason": "old"}]'])], schema=pa.schema(fields)
    )
    enforcer.announce(pa.schema([("id", pa.int64()), ("n", pa.utf8())]))

    (noted,) = enforcer.take(rows).batch.column("_dativo_changes").to_pylist()

    assert [change["column"] for change in json.loads(noted)] == ["id", "n"]


def test_rejected_rows_are_json_with_properties_that_no_schema_names():
    enforcer = Enforcer(ORDERS, "quarantine_row", THERE)
    fields = [pa.field("id", pa.int64()), pa.field("n", pa.int64()), json_field("_dativo_extra")]
    rows = pa.RecordBatch.from_arrays(
        [pa.array([1, 2]), pa.array([5, 6]), pa.array([None, '{"x":[1.10]}'])], schema=pa.schema(fields)
    )
    enforcer.announce(THERE)

    taken = enforcer.take(rows)

    assert taken.batch.to_pylist() == [{"id": 1, "n": 5}]
    assert taken.rejects is not None
    assert taken.rejects.to_pylist() == [
        {"line": None, "column": None, "reason": "the contract does not have `x`", "record": b'{"id":2,"n":6,"x":[1.10]}'}
    ]


def test_many_misfits_among_many_rows_are_found():
    enforcer = Enforcer(ORDERS, "quarantine_row", THERE)
    values = [0.5 if row % 97 == 0 else float(row) for row in range(10_000)]
    arriving = batch(id=pa.array(range(10_000)), n=pa.array(values))
    enforcer.announce(arriving.schema)

    taken = enforcer.take(arriving)

    bad = [row for row in range(10_000) if row % 97 == 0]
    assert taken.rejects is not None
    assert [json.loads(record)["id"] for record in taken.rejects.column("record").to_pylist()] == bad
    assert taken.batch.num_rows + len(bad) == 10_000
    assert taken.batch.schema.field("n").type == pa.int64()


def test_the_first_load_makes_the_contract():
    enforcer = Enforcer(ORDERS, "freeze", None)
    assert enforcer.announce(THERE) == THERE

    with pytest.raises(ContractError, match="column `late` \\(string\\) is new"):
        enforcer.announce(THERE.append(pa.field("late", pa.utf8())))


CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: x
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: integer, primaryKey: true}
      - {name: n, logicalType: integer, required: true, logicalTypeOptions: {minimum: 1, maximum: 9}}
      - {name: code, logicalType: string, unique: true, logicalTypeOptions: {pattern: "^[a-z]+$", maxLength: 3}}
      - {name: kind, logicalType: string, enum: [{value: a}, {value: b}]}
    quality:
      - {metric: rowCount, mustBeGreaterThan: 1}
      - {metric: nullValues, arguments: {properties: [kind]}, mustBeLessThan: 50, unit: percent, severity: warning}
"""
FINE: dict[str, list[Any]] = {"id": [1, 2], "n": [1, 9], "code": ["a", "abc"], "kind": ["a", "b"]}


@pytest.fixture
def enforce(tmp_path):
    (tmp_path / "c.yaml").write_text(CONTRACT)
    said: list[str] = []

    def run(mode: Any, warns: bool = False, **columns: list[Any]) -> tuple[pa.RecordBatch, list[tuple[Any, Any]], list[str]]:
        terms = read_contract(tmp_path / "c.yaml", "c.yaml").of(ORDERS)
        enforcer = Enforcer(ORDERS, mode, None, terms, warns=warns, report=said.append)
        rows = pa.record_batch({**FINE, **columns})
        enforcer.announce(rows.schema)
        taken = enforcer.take(rows)
        enforcer.finish()
        rejects = [] if taken.rejects is None else taken.rejects.select(["column", "reason"]).to_pylist()
        return taken.batch, [(each["column"], each["reason"]) for each in rejects], said

    return run


def test_rows_that_keep_the_contract_pass(enforce):
    assert enforce("freeze")[0].to_pylist() == pa.table(FINE).to_pylist()


@pytest.mark.parametrize(
    ("columns", "demand"),
    [
        ({"n": [0, 1]}, "is at least 1"),
        ({"n": [1, 10]}, "is at most 9"),
        ({"code": ["a", "B"]}, r"matches `\^\[a-z\]\+\$`"),
        ({"code": ["a", "abcd"]}, "has at most 3 characters"),
        ({"kind": ["a", "c"]}, "is one of a, b"),
    ],
)
def test_a_value_that_breaks_a_rule(enforce, columns, demand):
    (column,) = columns
    with pytest.raises(ContractError, match=f"`c.yaml`.*`{column}`.*it {demand}, and 1 rows"):
        enforce("freeze", **columns)
    assert enforce("discard_value", **columns)[0].column(column).null_count == 1 if column != "n" else True
    (rejected,) = enforce_without_count(enforce, columns)
    assert rejected[0] == column


def enforce_without_count(enforce, columns):
    """Three rows, so that the two that are left are enough for the contract."""
    (column,) = columns
    longer = {name: [*values, value] for (name, values), value in zip(FINE.items(), [3, 5, "z", "a"], strict=True)}
    longer[column] = [*columns[column], longer[column][-1]]
    return enforce("quarantine_row", **longer)[1]


def test_a_required_value_cannot_be_nulled_away(enforce):
    for mode in ("freeze", "discard_value"):
        with pytest.raises(ContractError, match="column `n`: the contract requires a value, and 1 rows"):
            enforce(mode, n=[1, None])
    assert enforce("quarantine_row", n=[1, None])[1] == [("n", "the contract requires a value")]


def test_rules_over_all_rows_end_the_run_or_only_warn(enforce):
    with pytest.raises(ContractError, match=r"values of `orders.code` are unique, and it is 1"):
        enforce("freeze", code=["a", "a"])
    with pytest.raises(ContractError, match=r"`rowCount` of `orders` must be greater than 1, and it is 1"):
        enforce("freeze", **{name: values[:1] for name, values in FINE.items()})
    said = enforce("freeze", kind=[None, "a"])[2]
    assert said == [
        "stream `orders` breaks its contract: `nullValues` of `orders` must be less than 50 %, and it is 50 %",
    ]


def test_a_contract_that_only_warns_changes_nothing(enforce):
    rows, rejects, said = enforce("quarantine_row", warns=True, n=[None, 0], code=["a", "a"])
    assert (rows.column("n").to_pylist(), rejects) == ([None, 0], [])
    assert len(said) == 3
