"""What a target says that it cannot hold is dealt with as the job says about values that do not fit."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from dativo_protocols import Batch, ContractError, StreamId

from dativo._evolution import json_field
from dativo._refusals import Refusals

ORDERS = StreamId("orders")
NUL = frozenset({"nul"})
REASON = "the text has a character 0, which the target cannot hold"


def orders(text: pa.Array | None = None, **columns: Any) -> Batch:
    data = pa.record_batch({"id": [1, 2, 3, 4], "text": ["a", "b\0c", None, "\0"] if text is None else text, **columns})
    return Batch(ORDERS, data, data.num_rows, data.nbytes)


def test_a_target_that_holds_everything_gets_everything() -> None:
    batch = orders()
    assert Refusals((), "quarantine").take(batch, ()) == (batch, None)


def test_a_batch_without_such_values_is_handed_on_as_it_is() -> None:
    batch = orders(pa.array(["", "é", None, " "]))
    assert Refusals(NUL, "quarantine").take(batch, ())[0] is batch


def test_rows_go_to_quarantine_with_column_reason_and_what_was_in_them() -> None:
    left, rejects = Refusals(NUL, "quarantine").take(orders(note=[None, "x", "y", "z"]), ())

    assert pa.record_batch(left.data).column("id").to_pylist() == [1, 3]
    assert rejects is not None
    assert (left.rows, rejects.rows, rejects.stream) == (2, 2, ORDERS)
    rows = pa.record_batch(rejects.data).to_pylist()
    assert [(row["line"], row["column"], row["reason"]) for row in rows] == [(None, "text", REASON)] * 2
    assert [json.loads(row["record"]) for row in rows] == [
        {"id": 2, "text": "b\0c", "note": "x"},
        {"id": 4, "text": "\0", "note": "z"},
    ]


def test_values_are_nulled_with_a_note_but_not_those_of_a_key() -> None:
    left, rejects = Refusals(NUL, "null").take(orders(key=["k", "l", "m", "n\0"]), ("key",))

    data = pa.record_batch(left.data).to_pylist()
    assert [(row["id"], row["text"]) for row in data] == [(1, "a"), (2, None), (3, None)]
    assert [row["_dativo_changes"] and json.loads(row["_dativo_changes"]) for row in data] == [
        None,
        [{"column": "text", "reason": REASON}],
        None,
    ]
    assert rejects is not None
    assert [row["column"] for row in pa.record_batch(rejects.data).to_pylist()] == ["key"]


def test_the_run_ends_where_the_job_says_so() -> None:
    with pytest.raises(ContractError, match=r"column `text` of stream `orders`: the text has a character 0") as caught:
        Refusals(NUL, "fail").take(orders(), ())
    assert caught.value.exit_code == 30
    assert "json" in (caught.value.hint or "")


@pytest.mark.parametrize("kind", [pa.utf8(), pa.large_utf8()])
def test_only_the_rows_of_the_batch_are_looked_at(kind: pa.DataType) -> None:
    """A slice shares its bytes with what lies around it."""
    texts = pa.array(["\0", "a", None, "é", "b", "\0"], kind)
    batch = orders(texts.slice(1, 4))
    assert Refusals(NUL, "fail").take(batch, ())[0] is batch
    assert Refusals(NUL, "quarantine").take(orders(texts.slice(2, 4)), ())[0].rows == 3


def test_json_has_an_escape_for_it() -> None:
    data = pa.RecordBatch.from_arrays([pa.array(['"a\\u0000b"'])], schema=pa.schema([json_field("doc")]))
    batch = Batch(ORDERS, data, 1, 1)
    assert Refusals(NUL, "fail").take(batch, ())[0] is batch
