"""Which states of a reader go out, and when."""

from __future__ import annotations

from dativo_protocols import ConnectorError, State, StreamId
from dativo_sdk import SavedState


class Coverage:
    """Merges a reader's states, and knows whether they cover all rows so far.

    A state that goes out is everything that the reader is to be given the next time, and covers all rows before it. Rows after
    which the reader says no state are not covered: nothing goes out until a state of their stream does, or one that all streams
    share, or until the reader has come to its end.

    Args:
        start: What the reader was given, or None.
    """

    def __init__(self, start: SavedState | None) -> None:
        self._saved = start or SavedState()
        self._uncovered: set[StreamId] = set()
        self._said = False

    def rows(self, stream: StreamId) -> None:
        """Rows of the stream came."""
        self._uncovered.add(stream)

    def state(self, state: State, *, covers_all: bool = False) -> State | None:
        """The state that goes out, or None where that would leave rows behind.

        Args:
            covers_all: It is known to cover all rows so far, whatever stream it is of.

        Raises:
            ConnectorError: It is of a stream that none of the uncovered rows belongs to.
        """
        if state.stream is None or covers_all:
            self._uncovered.clear()
        elif state.stream in self._uncovered:
            self._uncovered.discard(state.stream)
        else:
            raise ConnectorError(
                f"the reader gave a state of stream `{state.stream}` after rows of another stream",
                hint="`get_incremental_state` is to give the state of the last batch's stream, or a shared one",
                facts={"stream": str(state.stream)},
            )
        self._saved = self._saved.merged(state)
        self._said = True
        return None if self._uncovered else self._out()

    def final(self) -> State | None:
        """At the reader's end everything is covered; None where nothing is left to say."""
        return self._out() if self._said and self._uncovered else None

    def _out(self) -> State:
        return State(self._saved.to_json())
