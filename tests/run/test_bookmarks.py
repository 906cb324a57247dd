from __future__ import annotations

import json

import pytest
from dativo_protocols import ConfigError, StateError, StreamId
from hypothesis import given
from hypothesis import strategies as st

from dativo._bookmarks import finished_full_refresh, without_entries, without_streams
from dativo._json_text import remove_members

STATE = b'{"bookmarks": {"a": {"x": 1.10}, "b" :{"y":1e400,"a":2}}, "currently_syncing":"a" , "z":0E-10}'


def test_a_streams_bookmark_is_cut_out_and_every_other_byte_stays() -> None:
    assert without_streams(STATE, ["a"], all_streams=False) == b'{"bookmarks": {"b" :{"y":1e400,"a":2}}, "z":0E-10}'


def test_currently_syncing_stays_when_it_names_another_stream() -> None:
    assert without_streams(STATE, ["b"], all_streams=False) == (
        b'{"bookmarks": {"a": {"x": 1.10}}, "currently_syncing":"a" , "z":0E-10}'
    )


def test_nothing_to_remove_leaves_the_very_bytes() -> None:
    assert without_streams(STATE, [], all_streams=False) is STATE
    assert without_streams(STATE, ["other"], all_streams=False) == STATE


def test_no_state_is_left_when_all_streams_start_over() -> None:
    assert without_streams(b'{"any": "shape"}', ["a"], all_streams=True) is None


@pytest.mark.parametrize("state", [b"{}", b'{"currently_syncing": null}', b'{"bookmarks":{}}'])
def test_an_empty_state_has_the_right_form(state: bytes) -> None:
    assert without_streams(state, ["a"], all_streams=False) == state


@pytest.mark.parametrize("state", [b'{"orders": 1}', b"[]", b'{"bookmarks": []}', b"1"])
def test_a_state_of_another_form_is_refused_where_modes_are_mixed(state: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        without_streams(state, ["a"], all_streams=False)
    assert "split the job" in str(caught.value.hint)


def test_a_state_that_is_no_json_is_refused() -> None:
    with pytest.raises(StateError):
        without_streams(b"{", ["a"], all_streams=False)


def test_a_member_that_stands_twice_is_removed_twice() -> None:
    assert remove_members(b'{"a":1,"b":2,"a":3}', [("a",)]) == b'{"b":2}'


@pytest.mark.parametrize(
    ("bookmark", "finished"),
    [
        ({"initial_full_table_complete": True}, True),
        ({"initial_full_table_complete": True, "version": 17, "max_pk_values": None}, True),
        ({"initial_full_table_complete": True, "last_pk_fetched": {"id": 3}}, False),
        ({"initial_full_table_complete": False}, False),
        ({"replication_key_value": "2026"}, False),
        ({}, False),
        ("2026", False),
    ],
)
def test_a_finished_full_refresh_is_told_from_progress(bookmark: object, finished: bool) -> None:
    state = json.dumps({"bookmarks": {"a": bookmark}}).encode()
    assert finished_full_refresh(state, ["a"]) == (["a"] if finished else [])


names = st.text(max_size=4) | st.sampled_from(["a", "b"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, values, max_size=4), names, st.sampled_from([None, 1]), st.booleans())
def test_what_is_left_means_what_a_parser_would_leave(
    bookmarks: dict[str, object], name: str, indent: int, ascii_only: bool
) -> None:
    value = {"bookmarks": bookmarks, "x": 1}
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    left = {"bookmarks": {key: item for key, item in bookmarks.items() if key != name}, "x": 1}
    found = remove_members(text, [("bookmarks", name)])
    assert json.loads(found.decode("utf-8", "surrogatepass")) == left


def stream_state(drawn: tuple[str, str | None, object]) -> dict[str, object]:
    name, namespace, value = drawn
    descriptor = {"name": name, "namespace": namespace}
    return {"type": "STREAM", "stream": {"stream_descriptor": descriptor, "stream_state": value}}


entry = st.tuples(names, st.sampled_from([None, "n"]), values).map(stream_state)


@given(st.lists(entry | values, max_size=5), names, st.sampled_from([None, 1]))
def test_cutting_entries_is_filtering_the_parsed_array(entries: list[object], name: str, indent: int | None) -> None:
    def belongs(entry: object) -> bool:
        said = entry.get("stream") if isinstance(entry, dict) else None
        descriptor = said.get("stream_descriptor") if isinstance(said, dict) else None
        return isinstance(descriptor, dict) and (descriptor.get("name"), descriptor.get("namespace")) == (name, None)

    left = without_entries(json.dumps(entries, indent=indent).encode(), [StreamId(name)], all_streams=False)
    assert (json.loads(left) if left else []) == [one for one in entries if not belongs(one)]
