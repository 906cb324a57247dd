"""Why a connector failed: the cause first, from its exit and its last words."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping, Sequence

from dativo_protocols import ConnectorError

from dativo_engines._running import Exit

SHOWN_LINES = 50
CAUSE_CHARACTERS = 500

# Somebody asked it to end, so nothing says that it would fail again. Out of memory (SIGKILL) would come again.
FROM_OUTSIDE = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
EX_TEMPFAIL = 75

MEANINGS = {
    signal.SIGKILL: "out of memory, or killed from outside",
    signal.SIGTERM: "ended from outside",
    signal.SIGINT: "interrupted",
    signal.SIGHUP: "its terminal was closed",
    signal.SIGSEGV: "it crashed",
    signal.SIGABRT: "it aborted",
    signal.SIGBUS: "it crashed",
    signal.SIGILL: "built for another processor",
    signal.SIGFPE: "it crashed",
    signal.SIGPIPE: "it wrote to a closed pipe",
    signal.SIGXCPU: "its limit of processor time",
    signal.SIGXFSZ: "its limit of file size",
}

# As logging formats write it: `CRITICAL x`, `2026-01-01 00:00:00,000 | ERROR | tap | x`, and, of singer-python,
# `time=2026-01-01 00:00:00 name=tap level=CRITICAL message=x`.
_LOGGED = re.compile(
    r"^(?:[\[(]?\d[\d:.,+TZ/ -]*[\])]?\s*)?[\W_]*(CRITICAL|FATAL|ERROR)\]?\b[\s:|\]-]*(?:(?:[\w.-]+\s*\|\s*)+)?(.+)$",
    re.IGNORECASE,
)
_LOGFMT = re.compile(r"\blevel=[\"']?(CRITICAL|FATAL|ERROR)\b[\"']?(?:.*?\b(?:message|msg)=)?\s*(.*)$", re.IGNORECASE)
_JSON_LEVEL = re.compile(r'"level(?:name)?"\s*:\s*"(critical|fatal|error)"', re.IGNORECASE)
_JSON_TEXT = re.compile(r'"(?:message|event|msg)"\s*:\s*"((?:[^"\\]|\\.)*)"')
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:: .*|:)?$")
_ARGPARSE = re.compile(r"^\S+: error: (.+)$")
_USAGE = re.compile(r"^(?:Error|error|fatal): (.+)$")
_PANIC = re.compile(r"^(?:panic: .+|thread '.*' panicked at .+)$")
# structlog and rich frame their tracebacks; what stands below the frame is the exception as usual.
_TRACEBACK = re.compile(r"Traceback \(most recent call last\)")


def _tracebacks(lines: Sequence[str]) -> Iterator[str]:
    """The exception line of each traceback, last first."""
    for start in range(len(lines) - 1, -1, -1):
        found = _TRACEBACK.search(lines[start])
        if not found:
            continue
        # A logger may put the same prefix before every line.
        prefix = lines[start][: found.start()] if "╭" not in lines[start] else ""
        for line in lines[start + 1 :]:
            text = line[len(prefix) :] if prefix and line.startswith(prefix) else line
            if text[:1] in (" ", "\t", "│", "╰", "") or text.startswith(("During handling", "The above exception")):
                continue
            if _EXCEPTION.match(text):
                yield text.rstrip(":")
            break


def root_cause(lines: Sequence[str]) -> str | None:
    """What stderr says about why, in one sentence; None when it says nothing.

    In this order: the exception of the last traceback, a complaint about the command line, a panic, the last messages logged
    as critical (up to three in a row), the last ones logged as an error, the last line.
    """
    cause = next(_tracebacks(lines), None)
    if cause is not None and not cause.startswith("SystemExit"):
        return _shortened(cause)
    for line in reversed(lines):
        if found := _ARGPARSE.match(line):
            return _shortened(found[1])
        if _PANIC.match(line):
            return _shortened(line)
    logged = [_logged(line) for line in lines]
    for wanted in ("CRITICAL", "ERROR"):
        run: list[str] = []
        for level, text in reversed(logged):
            if level == wanted and len(run) < 3:
                run.insert(0, text.strip().rstrip("."))
            elif run:
                break
        if run:
            return _shortened("; ".join(dict.fromkeys(run)))
    return _shortened(lines[-1]) if lines else None


def _logged(line: str) -> tuple[str, str]:
    """Level and message of a log line, as far as they show."""
    if found := _LOGFMT.search(line) or _LOGGED.match(line):
        return found[1].upper().replace("FATAL", "CRITICAL"), found[2]
    if (found := _JSON_LEVEL.search(line)) and (text := _JSON_TEXT.search(line)):
        return found[1].upper().replace("FATAL", "CRITICAL"), text[1]
    if found := _USAGE.match(line):
        return "ERROR", found[1]
    return "", line


def _shortened(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= CAUSE_CHARACTERS else text[: CAUSE_CHARACTERS - 1] + "…"


def signal_of(ended: Exit) -> int | None:
    """The signal that ended it: itself, or the child whose status a shell or container passed on as 128 + n."""
    if ended.signal is not None:
        return ended.signal
    if ended.code is not None and ended.code > 128:
        number = ended.code - 128
        return number if number in signal.valid_signals() else None
    return None


def connector_failure(
    program: str, ended: Exit, stderr: Sequence[str], *, facts: Mapping[str, object] | None = None
) -> ConnectorError:
    """The error for a connector that did not end well.

    Args:
        program: As the user knows it.
        ended: With a code other than 0, or a signal.
        stderr: Its last lines, masked.
        facts: Where it happened.

    Returns:
        An error whose message starts with the cause, and whose facts hold `exit_code` or `signal`, `max_rss_bytes`, and
        `stderr`: the last lines, one text.
    """
    number = signal_of(ended)
    known: dict[str, object] = {**(facts or {}), "max_rss_bytes": ended.max_rss_bytes}
    cause = ended.cause or root_cause(stderr)
    hint = ended.hint
    if number is None:
        message = f"`{program}` failed: {cause}" if cause else f"`{program}` failed without a word"
        message += f" (exit code {ended.code})"
        known["exit_code"] = ended.code
        retryable = ended.code == EX_TEMPFAIL
        if ended.code == 127 and not cause and hint is None:
            hint = "a program that it starts was not found"
    else:
        name = signal.Signals(number).name if number in signal.Signals.__members__.values() else f"signal {number}"
        meaning = ended.cause
        if meaning is None and number in signal.Signals.__members__.values():
            meaning = MEANINGS.get(signal.Signals(number))
        where = f"exit code {ended.code}" if ended.signal is None else f"exit code {128 + number} in a shell"
        message = f"`{program}` was ended by {name}{f': {meaning}' if meaning else ''} ({where})"
        known["signal"] = name
        # A Python program that handles SIGINT leaves a traceback that says nothing more.
        if cause and not ended.cause and number not in FROM_OUTSIDE | {signal.SIGKILL}:
            message += f"; its last words: {cause}"
        if number == signal.SIGKILL and hint is None:
            hint = f"it used at most {ended.max_rss_bytes / 2**20:.0f} MiB; look for the out-of-memory killer in the system's log"
        retryable = number in FROM_OUTSIDE
    if stderr:
        known["stderr"] = "\n".join(stderr[-SHOWN_LINES:])
    return ConnectorError(message, hint=hint, retryable=retryable, facts=known)
