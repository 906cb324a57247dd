"""Whether a source has done what it was asked for: by its exit, its statuses and what it said of errors."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence

from dativo_protocols import ConnectorError, Log, StreamId, StreamStatus, TraceError

from dativo_engines._failure import connector_failure, signal_of
from dativo_engines._redaction import Redactor
from dativo_engines._running import TAIL_LINE_CHARACTERS, Exit

KEPT_LINES = 200
NAMED_STREAMS = 10

# Exit codes of a wrong command line, and of a program that could not be started by whoever should.
NOT_STARTED = (2, 126, 127)

# What the Python CDK says to users of every error that it does not know.
_SAYS_NOTHING = re.compile(
    r"^\s*(?:something went wrong\b.*|an unexpected error occurred\W*|error|none|)\s*$", re.IGNORECASE | re.DOTALL
)

HINT = "\nhint: "

HINTS = {
    "config_error": "the source says that its configuration, or what is selected, is at fault: mend it, then run again",
    "transient_error": "the source says that this may pass by itself: run again later",
}


class Verdict:
    """Listens to all that a source says, and judges in the end.

    A source has succeeded when it exits with 0, reports no error, and has said COMPLETE of every configured stream, if it
    reports statuses at all.

    Args:
        configured: The streams it was asked for.
    """

    def __init__(self, configured: Sequence[StreamId], redactor: Redactor) -> None:
        self._configured = configured
        self._redactor = redactor
        self._statuses: dict[StreamId, str] = {}
        self._errors: list[TraceError] = []
        self._complaints: deque[str] = deque(maxlen=KEPT_LINES)

    def hear(self, message: StreamStatus | TraceError | Log) -> None:
        """Takes note; masks by itself."""
        if isinstance(message, StreamStatus):
            self._statuses[self._known(message.stream)] = message.status
        elif isinstance(message, TraceError):
            self._errors.append(message)
        elif message.level in ("error", "warning"):
            first, *others = self._redactor(message.message).splitlines() or [""]
            # As `root_cause` expects a logged line; what follows it is often a traceback.
            self._complaints.extend(
                line[:TAIL_LINE_CHARACTERS] for line in (f"{message.level.upper()} {first}", *others) if line.strip()
            )

    @property
    def incomplete(self) -> list[StreamId]:
        """Streams of which it did not say COMPLETE at last, though it reports statuses."""
        if not self._statuses:
            return []
        others = [stream for stream, status in self._statuses.items() if status == "INCOMPLETE"]
        unfinished = [stream for stream in self._configured if self._statuses.get(stream) != "COMPLETE"]
        return list(dict.fromkeys([*unfinished, *others]))

    def failure(self, name: str, ended: Exit, stderr: Sequence[str], **facts: object) -> ConnectorError | None:
        """Why the source failed; None when it succeeded.

        `retryable` only where it says itself that its error is transient. `again` says whether another attempt is worth it:
        never for what is wrong with the configuration, nor for memory that will not suffice the next time either.

        Args:
            name: What the user calls the source.
            ended: How its process ended.
            stderr: Its last lines, masked.
            facts: Where it happened.
        """
        incomplete = self.incomplete
        if ended.code == 0 and not self._errors and not incomplete:
            return None
        failed = [self._known(error.stream) for error in self._errors if error.stream is not None]
        streams = list(dict.fromkeys([*failed, *incomplete]))
        known: dict[str, object] = {**facts, "max_rss_bytes": ended.max_rss_bytes}
        if streams:
            known |= {"stream": str(streams[0]), "streams": [str(stream) for stream in streams]}
        words = [*self._complaints, *stderr]
        if self._errors:
            error = self._reported(name, ended, words, known)
        elif ended.code != 0:
            error = connector_failure(name, ended, words, facts=known)
            error.again = ended.code not in NOT_STARTED
            # Only the source itself can say that it will pass; a status means that it had begun.
            error.retryable = error.retryable and not self._statuses
            if incomplete:
                error.message += f"; {_left(incomplete)}"
        else:
            error = ConnectorError(
                f"`{name}` {_left(incomplete)}, though it ended as if all were well",
                hint=self._hint(incomplete),
                again=True,
                facts=known,
            )
        if ended.cause is not None:
            error.again = False
        return error

    def _reported(self, name: str, ended: Exit, words: Sequence[str], known: dict[str, object]) -> ConnectorError:
        # The CDK closes with an error about all streams that failed, which it always calls one of the configuration.
        errors = [error for error in self._errors if error.stream is not None] or self._errors
        kinds = {error.failure_type or "system_error" for error in errors}
        kind = next(one for one in ("config_error", "system_error", "transient_error") if one in kinds)
        first = next(error for error in errors if (error.failure_type or "system_error") == kind)
        # Programs of Dativo's SDK say what to do about it as Dativo does.
        said, _, advice = self._cause(first).partition(HINT)
        message = f"`{name}` failed: {said}"
        others = [stream for stream in dict.fromkeys(error.stream for error in errors) if stream not in (None, first.stream)]
        if first.stream is not None:
            message += f" (stream `{self._known(first.stream)}`" + (f"; also {_listed(others)})" if others else ")")
        if signal_of(ended) is not None:
            message += f"; it was ended by a signal: {ended.cause}" if ended.cause else "; it was ended by a signal"
        base = connector_failure(name, ended, words, facts=known).facts
        facts = {**base, "failure_type": kind, "internal_message": self._masked(first.internal_message)}
        facts["stack_trace"] = self._masked(first.stack_trace)
        return ConnectorError(
            message,
            hint=ended.hint or advice or HINTS.get(kind),
            retryable=kind == "transient_error",
            again=kind != "config_error",
            facts={key: value for key, value in facts.items() if value is not None},
        )

    def _cause(self, error: TraceError) -> str:
        said = self._redactor(error.message)
        if error.internal_message and _SAYS_NOTHING.match(said):
            said = self._redactor(error.internal_message)
        cause, hint, advice = said.partition(HINT)
        shown = " ".join(cause.split()).rstrip(".")[:1000] or "it does not say why"
        return f"{shown}{hint}{' '.join(advice.split())[:1000]}"

    def _hint(self, incomplete: Sequence[StreamId]) -> str | None:
        if any(stream not in self._statuses for stream in incomplete):
            return "a stream that it never began may no longer exist at the source: discover again"
        return None

    def _masked(self, text: str | None) -> str | None:
        return None if text is None else self._redactor(text)

    def _known(self, stream: StreamId) -> StreamId:
        """Sources leave namespaces out of what they say about streams."""
        if stream in self._configured or stream.namespace is not None:
            return stream
        same = [one for one in self._configured if one.name == stream.name]
        return same[0] if len(same) == 1 else stream


def _left(streams: Sequence[StreamId]) -> str:
    return f"left {_listed(streams)} incomplete"


def _listed(streams: Sequence[StreamId | None]) -> str:
    names = ", ".join(f"`{stream}`" for stream in streams[:NAMED_STREAMS])
    more = f" and {len(streams) - NAMED_STREAMS} more" if len(streams) > NAMED_STREAMS else ""
    return f"stream{'s' if len(streams) > 1 else ''} {names}{more}"
