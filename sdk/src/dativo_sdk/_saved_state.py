"""The state that a reader is started with: what it said before, stream by stream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from dativo_protocols import ConfigError, State, StreamId, frozen


@frozen
class SavedState:
    """The newest state of each stream, and the one shared by all; each with exactly the bytes that the reader gave.

    As JSON it is Airbyte's array of states, whatever runs the reader: one that moved from this process into another, or into
    another language, goes on where it was.

    Attributes:
        streams: JSON objects by stream.
        shared: A JSON object that covers all streams, or None.
    """

    streams: Mapping[StreamId, bytes] = field(default_factory=dict)
    shared: bytes | None = None

    def of(self, stream: StreamId) -> Any:
        """The stream's state, parsed; None where it has none."""
        found = self.streams.get(stream)
        return None if found is None else json.loads(found)

    def merged(self, state: State) -> SavedState:
        """With a newer state in the place of the one it replaces."""
        if state.stream is None:
            return replace(self, shared=state.data)
        return replace(self, streams={**self.streams, state.stream: state.data})

    def to_json(self) -> bytes:
        """Airbyte's array of states: a STREAM state for each stream, or one GLOBAL state where there is a shared one."""
        described = [(_descriptor(stream), data) for stream, data in self.streams.items()]
        if self.shared is None:
            states = [
                b'{"type":"STREAM","stream":{"stream_descriptor":%b,"stream_state":%b}}' % (descriptor, data)
                for descriptor, data in described
            ]
            return b"[" + b",".join(states) + b"]"
        inner = [b'{"stream_descriptor":%b,"stream_state":%b}' % (descriptor, data) for descriptor, data in described]
        shared = b'{"shared_state":%b,"stream_states":[%b]}' % (self.shared, b",".join(inner))
        return b'[{"type":"GLOBAL","global":%b}]' % shared

    @classmethod
    def parse(cls, data: bytes) -> SavedState:
        """From what `to_json` gave; the bytes of each state are kept.

        Raises:
            ConfigError: It is none.
        """
        from dativo_protocols import split_states

        try:
            streams, shared = split_states(data)
        except ValueError as error:
            raise ConfigError(
                f"not a state of a reader: {error}",
                hint="`dativo state show` tells what is kept, `dativo state history` what was",
            ) from error
        return cls(streams, shared)


def _descriptor(stream: StreamId) -> bytes:
    named = {"name": stream.name} if stream.namespace is None else {"name": stream.name, "namespace": stream.namespace}
    return json.dumps(named, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def state_message(state: State, saved: SavedState, records: int | None = None) -> bytes:
    """A state as Airbyte's STATE messages hold it: STREAM of its stream, or GLOBAL with those of `saved`.

    Args:
        records: How many were sent since the state before.
    """
    stats = b"" if records is None else b',"sourceStats":{"recordCount":%d}' % records
    whole = SavedState(saved.streams, state.data) if state.stream is None else SavedState({state.stream: state.data})
    said = whole.to_json()[1:-1]
    return b"%b%b}" % (said[:-1], stats) if stats else said
