"""A reader at work: its batches and states, checked and said."""

from __future__ import annotations

import json
from collections.abc import Set
from dataclasses import replace
from typing import Any

from dativo_protocols import ConnectorError, State, StreamId

from dativo_sdk._program.voice import Voice
from dativo_sdk._reader import Estimating, Piece
from dativo_sdk._saved_state import SavedState


def say_all(
    reader: Any, voice: Voice, selected: Set[StreamId], state: SavedState | None, max_rows: int, *, states: bool = True
) -> None:
    """Reads to the end, and says each batch and, unless there are to be no states, the one behind it.

    Raises:
        ConnectorError: The reader breaks its contract. What it raises itself comes through as it is.
    """
    if isinstance(reader, Estimating):
        for estimate in reader.estimates():
            voice.estimate(estimate)
    saved = state or SavedState()
    while (piece := reader.read_batch(max_rows)) is not None:
        if piece.stream not in selected:
            raise _broken(f"it gave rows of `{piece.stream}`, which is not selected", piece)
        voice.piece(piece)
        said = reader.get_incremental_state() if states else None
        if said is not None:
            state_now = _checked(said, piece)
            saved = saved.merged(state_now)
            voice.state(state_now, saved)


def _checked(state: State, piece: Piece) -> State:
    if state.stream not in (None, piece.stream):
        raise _broken(f"its state after a batch of `{piece.stream}` is one of `{state.stream}`", piece)
    try:
        whole = isinstance(json.loads(state.data), dict)
    except ValueError:
        whole = False
    if not whole:
        raise _broken(f"its state of `{piece.stream}` is no JSON object", piece)
    # Within JSON a line feed is but a space, and a message is one line.
    return replace(state, data=state.data.replace(b"\n", b" "))


def _broken(what: str, piece: Piece) -> ConnectorError:
    return ConnectorError(
        f"the reader breaks its contract: {what}",
        hint="this is for the makers of the plugin: `dativo_sdk.conformance` finds it",
        facts={"stream": str(piece.stream)},
    )
