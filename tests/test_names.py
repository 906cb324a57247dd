from __future__ import annotations

import unicodedata

import pytest
from dativo_protocols import StreamId
from hypothesis import given
from hypothesis import strategies as st

from dativo._names import adopt, assign, quarantine_name, safe_name, table_name, table_names

names = st.text(max_size=90)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("id", "id"),
        ("Order Id", "Order_Id"),
        ("a - b.c", "a_b_c"),
        ("größe", "größe"),
        ("e\u0301", "é"),
        ("日本語", "日本語"),
        ("1st", "_1st"),
        ("a\x00b", "a_b"),
        ("", "column_e3b0c442"),
        ("\U0001f600", "column_f0443a34"),
        ("__", "column_9911f4d2"),
        ("x" * 63, "x" * 63),
        ("x" * 300, "x" * 54 + "_0d4e2ca9"),
        ("日" * 40, "日" * 18 + "_e1c313bb"),
    ],
)
def test_a_name_becomes_safe(name: str, safe: str) -> None:
    assert safe_name(name, "column") == safe


def test_a_stream_without_a_letter_is_called_a_stream() -> None:
    assert safe_name("", "stream") == "stream_e3b0c442"


@given(names)
def test_a_safe_name_is_safe_and_stays_as_it_is(name: str) -> None:
    safe = safe_name(name, "column")
    assert 1 <= len(safe.encode()) <= 63
    assert unicodedata.normalize("NFC", safe) == safe
    assert safe_name(safe, "column") == safe


@given(st.lists(names, max_size=12), st.randoms())
def test_names_are_unique_whatever_their_order(many: list[str], random: object) -> None:
    assigned = assign(many, "column", {})
    shuffled = list(many)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert assign(shuffled, "column", {}) == assigned
    assert len({safe.casefold() for safe in assigned.values()}) == len(set(many))


@given(st.sets(names, max_size=8), st.sets(names, max_size=8))
def test_a_name_once_given_stays(first: set[str], second: set[str]) -> None:
    taken = assign(first, "column", {})
    later = assign(first | second, "column", taken)
    assert {name: later[name] for name in first} == taken
    assert len({safe.casefold() for safe in later.values()}) == len(first | second)


def test_of_names_that_clash_an_unchanged_one_comes_first() -> None:
    assert assign(["a b", "a-b", "a_b"], "column", {}) == {"a b": "a_b_c8687a08", "a-b": "a_b_d44362d6", "a_b": "a_b"}
    assert assign(["id", "ID"], "column", {}) == {"ID": "ID", "id": "id_a5614527"}
    assert assign(["id", "ID"], "column", {"id": "id"})["id"] == "id"


def test_a_hash_that_is_taken_gives_way() -> None:
    assigned = assign(["id", "ID", "id_a5614527"], "column", {})
    assert (assigned["ID"], assigned["id"]) == ("ID", "id_a5614527")
    assert len({safe.casefold() for safe in assigned.values()}) == 3


def test_only_dativos_own_columns_have_reserved_names() -> None:
    assigned = assign(["_dativo_extra", "_dativo_x", "_DATIVO_EXTRA"], "column", {})
    assert assigned["_dativo_extra"] == "_dativo_extra"
    assert assigned["_dativo_x"] == "_dativo_x_5a36431e"
    assert assigned["_DATIVO_EXTRA"].casefold() != "_dativo_extra"


def test_columns_of_a_foreign_table_are_adopted() -> None:
    assert adopt(["id", "Full Name", "new"], "column", ["ID", "full_name", "more"], {}) == {
        "id": "ID",
        "Full Name": "full_name",
        "new": "new",
    }


def test_a_foreign_column_goes_to_the_equal_name_first() -> None:
    assert adopt(["ID", "id"], "column", ["id"], {}) == {"ID": "ID_3843971d", "id": "id"}


def test_a_foreign_column_that_no_name_matches_blocks_its_name() -> None:
    assert adopt(["a b"], "column", ["a_b", "x"], {"a_b": "a_b"}) == {"a b": "a_b_c8687a08"}


def test_streams_of_two_namespaces_have_two_tables() -> None:
    streams = [StreamId("c", "a__b"), StreamId("b__c", "a"), StreamId("a__b__c")]
    tables = table_names(streams, {})
    assert tables[StreamId("a__b__c")] == "a__b__c"
    assert len(set(tables.values())) == 3
    assert table_names(reversed(streams), {}) == tables


def test_a_stream_keeps_its_table_and_avoids_those_of_others() -> None:
    taken = {StreamId("Orders"): "Orders"}
    assert table_name(StreamId("Orders"), taken) == "Orders"
    assert table_name(StreamId("orders"), taken) == "orders_" + "1c168adb"
    assert table_name(StreamId("x__quarantine"), taken, ["X__quarantine"]).startswith("x__quarantine_")


def test_a_quarantine_table_is_named_after_its_table() -> None:
    assert quarantine_name("orders", []) == "orders__quarantine"
    assert quarantine_name("orders", ["Orders__Quarantine"]).startswith("orders__quarantine_")
    assert len(quarantine_name("x" * 63, []).encode()) <= 63
