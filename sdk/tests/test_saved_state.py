"""States of readers: each with its own bytes, in Airbyte's form."""

from __future__ import annotations

import pytest
from dativo_protocols import ConfigError, State, StreamId
from dativo_sdk import SavedState

ORDERS, USERS = StreamId("orders"), StreamId("users", "app")


def test_states_of_streams_come_back_byte_for_byte() -> None:
    state = SavedState().merged(State(b'{"id": 1.10}', ORDERS)).merged(State(b'{"id":18446744073709551616}', USERS))
    assert SavedState.parse(state.to_json()) == state
    assert state.of(ORDERS) == {"id": 1.1}


def test_a_newer_state_takes_the_place_of_the_one_before() -> None:
    state = SavedState().merged(State(b'{"id":1}', ORDERS)).merged(State(b'{"id":2}', ORDERS))
    assert state.streams == {ORDERS: b'{"id":2}'}


def test_a_shared_state_comes_with_those_of_streams() -> None:
    state = SavedState().merged(State(b'{"id":1}', USERS)).merged(State(b'{"lsn":"0/16"}'))
    assert SavedState.parse(state.to_json()) == SavedState({USERS: b'{"id":1}'}, b'{"lsn":"0/16"}')


def test_no_state_is_an_empty_array() -> None:
    assert SavedState().to_json() == b"[]"
    assert SavedState.parse(b"[]") == SavedState()


@pytest.mark.parametrize("data", [b"7", b"[1]", b'"orders"'])
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError, match="not a state of a reader"):
        SavedState.parse(data)
