"""Contract files: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from dativo_protocols import StreamId
from dativo_protocols.errors import ConfigError

from dativo.contracts._odcs import Contract, read_contract

ROOT = Path(__file__).parents[2]
HEAD = "apiVersion: v3.0.2\nkind: DataContract\nid: x\nversion: 1.0.0\nstatus: active\n"


def contract(folder: Path, properties: str, head: str = HEAD) -> Contract:
    (folder / "c.yaml").write_text(f"{head}schema:\n  - name: orders\n    properties:\n{properties}")
    return read_contract(folder / "c.yaml", "c.yaml")


def test_logical_types_are_arrow_types(tmp_path):
    terms = contract(
        tmp_path,
        """
      - {name: a, logicalType: string}
      - {name: b, logicalType: date}
      - {name: c, logicalType: timestamp}
      - {name: d, logicalType: number}
      - {name: e, logicalType: number, physicalType: "DECIMAL(10,2)"}
      - {name: f, logicalType: integer}
      - {name: g, logicalType: boolean}
      - {name: h, logicalType: object}
      - {name: i}
""",
    ).of(StreamId("orders"))
    assert terms is not None
    kinds = {name: column.kind and column.kind.type for name, column in terms.columns.items()}
    assert kinds == {
        "a": pa.utf8(),
        "b": pa.date32(),
        "c": pa.timestamp("us", "UTC"),
        "d": pa.float64(),
        "e": pa.decimal128(10, 2),
        "f": pa.int64(),
        "g": pa.bool_(),
        "h": pa.utf8(),
        "i": None,
    }
    assert [terms.columns[name].accepts(pa.decimal128(5, 1)) for name in "de"] == [True, False]


def test_keys_come_in_their_positions(tmp_path):
    terms = contract(
        tmp_path,
        """
      - {name: a, primaryKey: true, primaryKeyPosition: 2}
      - {name: b, primaryKey: true, primaryKeyPosition: 1}
""",
    ).of(StreamId("orders", "shop"))
    assert terms is not None
    assert terms.primary_key == ("b", "a")


@pytest.mark.parametrize(
    ("properties", "head", "error"),
    [
        ("      - {name: a, requird: true}\n", HEAD, "unknown key `requird` in `schema.properties`"),
        ("      - {name: a}\n", HEAD.replace("v3.0.2", "v2.2.2"), "not a contract of the Open Data Contract Standard, version 3"),
        ("      - {name: a}\n", "info: {}\n", "not a contract of the Open Data Contract Standard, version 3"),
        ("      - {name: a, required: perhaps}\n", HEAD, "`schema.0.properties.0.required`: Input should be a valid boolean"),
        ("      - {name: a, quality: [{metric: nullValues}]}\n", HEAD, "says nothing that must be"),
        ("      - {name: a, quality: [{metric: invalidValues, mustBe: 0}]}\n", HEAD, "needs `arguments`"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, properties, head, error):
    with pytest.raises(ConfigError, match=error.replace(".", r"\.")):
        contract(tmp_path, properties, head)


def test_what_cannot_be_checked_is_said(tmp_path):
    found = contract(
        tmp_path,
        """
      - name: a
        logicalType: string
        logicalTypeOptions: {format: email}
        quality: [{type: sql, name: big, query: "SELECT 1", mustBe: 1}]
""",
    )
    assert found.unchecked == [
        "`orders.a`: option `format` is not checked",
        "`orders.a`: quality rule `big` is not checked: only rules of the library are",
    ]


def test_the_old_names_of_rules_are_known(tmp_path):
    terms = contract(
        tmp_path,
        "      - {name: a, quality: [{rule: duplicateCount}, {rule: nullCheck}, {rule: rowCount, mustBeBetween: [1, 5]}]}\n",
    ).of(StreamId("orders"))
    assert terms is not None
    assert [rule.metric for rule in terms.rules] == ["duplicates", "nulls", "rows"]
    assert [terms.rules[2].holds(rows) for rows in (0, 1, 5, 6)] == [False, True, True, False]


def test_the_contract_of_the_quickstart_is_one():
    assert list(read_contract(ROOT / "catalogs" / "shop.odcs.yaml", "shop").streams) == ["orders"]
