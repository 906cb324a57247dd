"""How a command fails: every exception becomes one `Failure`, written in one form for people and one for programs."""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import dataclass, field

import click

from dativo.cli._signals import Interrupted
from dativo.cli._terminal import is_terminal, printable

__all__ = ["Failure", "report"]

INTERRUPTED = 130
BUG = 1
USAGE = 2

LINES_SAID = 10


@dataclass(frozen=True, slots=True)
class Failure:
    """What the user is told.

    Attributes:
        error: One sentence, no final period.
        kind: Name of the error's class.
        hint: What to do next, or None.
        facts: Where it happened.
        exit_code: As in the exit code table.
    """

    error: str
    kind: str
    hint: str | None = None
    facts: dict[str, object] = field(default_factory=dict)
    exit_code: int = BUG

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Maps any exception; one that nobody foresaw is a bug in Dativo."""
        if isinstance(error, click.UsageError):
            context = error.ctx
            hint = f"`{context.command_path} --help` shows the usage" if context else None
            if isinstance(error, click.NoSuchOption):
                alike = " or ".join(f"`{each}`" for each in error.possibilities or ())
                message = f"no such option `{error.option_name}`{f', did you mean {alike}?' if alike else ''}"
            else:
                message = _sentence(error.format_message())
            return cls(message, "UsageError", hint, exit_code=USAGE)
        if isinstance(error, click.ClickException):
            return cls(_sentence(error.format_message()), "UsageError", exit_code=USAGE)
        if isinstance(error, (KeyboardInterrupt, click.Abort)):
            facts: dict[str, object] = {"signal": error.signal} if isinstance(error, Interrupted) else {}
            return cls("interrupted", "Interrupted", facts=facts, exit_code=INTERRUPTED)

        # An error of the tree comes with its module; where that was never imported, or cannot be, there is none.
        errors = sys.modules.get("dativo_protocols.errors")
        if errors is not None and isinstance(error, errors.DativoError):
            return cls(error.message, type(error).__name__, error.hint, dict(error.facts), error.exit_code)
        return cls(
            f"internal error: {type(error).__name__}: {error}",
            type(error).__name__,
            "this is a bug in Dativo: please report it with the lines above, the command, and the output of `dativo --version`",
            exit_code=BUG,
        )


def report(failure: Failure, error: BaseException, *, as_json: bool, verbose: bool) -> None:
    """Writes the failure to stderr, with the last lines of a connector's own stderr.

    A traceback comes with a bug, and with any error when `verbose`.
    """
    with_traceback = failure.exit_code == BUG or (verbose and not isinstance(error, KeyboardInterrupt))
    trace = _traceback(error) if with_traceback else None
    if as_json:
        document: dict[str, object] = {
            "error": failure.error,
            "kind": failure.kind,
            "hint": failure.hint,
            "facts": failure.facts,
            "exit_code": failure.exit_code,
        }
        if trace is not None:
            document["traceback"] = trace
        sys.stderr.write(json.dumps(document, default=str) + "\n")
        return
    if trace is not None:
        sys.stderr.write(printable(trace))
    sys.stderr.write(f"{_coloured('error')}: {printable(failure.error)}\n")
    said = str(failure.facts.get("stderr") or "")
    if said.strip() not in failure.error:
        for line in said.splitlines()[-LINES_SAID:]:
            sys.stderr.write(f"  | {printable(line)}\n")
    if verbose:
        for name, value in failure.facts.items():
            if name != "stderr":
                sys.stderr.write(f"  {name}: {printable(str(value))}\n")
    if failure.hint:
        sys.stderr.write(f"{_coloured('hint')}: {printable(failure.hint)}\n")


def _traceback(error: BaseException) -> str:
    """Where the error and its causes were raised, the first cause first; without their words, in which secrets are not masked."""
    text = ""
    each: BaseException | None = error
    while each is not None:
        place = "".join(traceback.format_tb(each.__traceback__))
        text = f"Traceback (most recent call last):\n{place}{type(each).__name__}\n{text}"
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return text


def _coloured(label: str) -> str:
    """The label in its colour where stderr shows colours."""
    if not is_terminal(stderr=True):
        return label
    from dativo.cli._terminal import console

    with console(stderr=True) as terminal, terminal.capture() as capture:
        terminal.print(label, style="bold red" if label == "error" else "bold cyan", end="")
    return capture.get()


def _sentence(message: str) -> str:
    """Click's message in the form of all others: no final period, a small first letter, literals in backticks."""
    text = message.strip().removesuffix(".").replace("'", "`")
    text = text.replace("float range", "number").replace("integer range", "whole number")
    return text[:1].lower() + text[1:]
