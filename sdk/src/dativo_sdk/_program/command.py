"""The command line of a program: Airbyte's commands, or the options of a Singer tap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

from dativo_protocols import frozen

Action: TypeAlias = Literal["spec", "check", "discover", "read", "partitions", "write", "about", "help", "version"]

USAGE = """\
usage: {program} spec | check | discover | read | partitions | write
           [--config FILE] [--catalog FILE] [--state FILE] [--partition FILE|-]
           [--format json|arrow] [--max-rows N] [--count N] [--target-bytes N]
       {program} [--about] [--discover] [--config FILE] [--catalog FILE] [--state FILE]

The first form speaks Airbyte's protocol, the second Singer's; `DATIVO_FORMAT=arrow` is the same as `--format arrow`."""

DEFAULT_MAX_ROWS = 65_536
DEFAULT_TARGET_BYTES = 32 << 20

_COMMANDS = ("spec", "check", "discover", "read", "partitions", "write")
_SHORT = {"-c": "--config", "-s": "--state", "-p": "--properties", "-d": "--discover", "-h": "--help"}
_FILES = ("--config", "--catalog", "--properties", "--state", "--partition")
_NUMBERS = {"--max-rows": DEFAULT_MAX_ROWS, "--count": 1, "--target-bytes": DEFAULT_TARGET_BYTES}
_FLAGS = ("--discover", "--about", "--help", "--version", "--debug", "--test")


class UsageError(Exception):
    """The command line is wrong: exit code 2."""


@frozen
class Command:
    """What is to be done.

    Attributes:
        singer: Whether it was asked for in a tap's way, and is to be answered in Singer's messages.
        configs: Files; later ones replace settings of earlier ones.
        catalog: Of `--catalog`, or of `--properties`, its older name.
        arrow: Whether batches go out as Arrow data.
        max_rows: For `Reader.read_batch`.
        count: For `Partitionable.partitions`.
        target_bytes: Likewise.
    """

    action: Action
    singer: bool = False
    configs: tuple[str, ...] = ()
    catalog: str | None = None
    state: str | None = None
    partition: str | None = None
    arrow: bool = False
    max_rows: int = DEFAULT_MAX_ROWS
    count: int = 1
    target_bytes: int = DEFAULT_TARGET_BYTES
    debug: bool = False


@dataclass(slots=True)
class _Said:
    words: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    values: dict[str, list[str]] = field(default_factory=dict)

    def last(self, *names: str) -> str | None:
        found = [value for name in names for value in self.values.get(name, ())]
        return found[-1] if found else None


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Command:
    """The command that the arguments say.

    Raises:
        UsageError: They say none.
    """
    said = _said(arguments)
    action, singer = _action(said)
    numbers = {name: _number(name, said.last(name), default) for name, default in _NUMBERS.items()}
    shape = said.last("--format")
    if not singer and shape not in (None, "json", "arrow"):
        raise UsageError(f"`--format` is `json` or `arrow`, not `{shape}`")
    return Command(
        action,
        singer,
        tuple(said.values.get("--config", ())),
        said.last("--properties", "--catalog"),
        said.last("--state"),
        said.last("--partition"),
        not singer and (shape or environment.get("DATIVO_FORMAT", "json")) == "arrow",
        numbers["--max-rows"],
        numbers["--count"],
        numbers["--target-bytes"],
        "--debug" in said.flags,
    )


def _said(arguments: Sequence[str]) -> _Said:
    said = _Said()
    rest = list(reversed(arguments))
    while rest:
        word = rest.pop()
        name, joined, value = word.partition("=") if word.startswith("--") else (word, "", "")
        name = _SHORT.get(name, name)
        if name in _FLAGS and not joined:
            said.flags.add(name)
        elif name in _FILES or name in _NUMBERS or name == "--format":
            if not joined and not rest:
                raise UsageError(f"`{name}` needs a value")
            said.values.setdefault(name, []).append(value if joined else rest.pop())
        elif name.startswith("-"):
            raise UsageError(f"there is no option `{word}`")
        else:
            said.words.append(word)
    return said


def _action(said: _Said) -> tuple[Action, bool]:
    if "--help" in said.flags:
        return "help", False
    if "--version" in said.flags:
        return "version", False
    if said.words:
        if len(said.words) > 1 or said.words[0] not in _COMMANDS:
            raise UsageError(f"there is no command `{' '.join(said.words)}`")
        return cast(Action, said.words[0]), False
    if "--about" in said.flags:
        return "about", True
    if "--discover" in said.flags:
        return "discover", True
    if not said.values:
        raise UsageError("no command and no option is given")
    return "read", True


def _number(name: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"`{name}` is a number from 1 on, not `{text}`")
    return int(text)
