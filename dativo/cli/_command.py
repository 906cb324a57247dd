"""What every command shares: `--json`, `--verbose`, `--project`, examples in its help, and groups that load by name."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

import click

__all__ = ["PROJECT", "Command", "DefaultGroup", "Documented", "Group", "LazyGroup", "command", "verbose"]

PROJECT = "dativo.project"
VERBOSE = "dativo.verbose"


def _change_directory(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    context.find_root().meta[PROJECT] = value
    if context.resilient_parsing:
        return
    try:
        os.chdir(value)
    except OSError as error:
        raise click.BadParameter(f"cannot change to `{value}`: {error.strerror}", context, parameter) from error


def _set_verbose(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        context.find_root().meta[VERBOSE] = True


def _shared_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--project"],
            metavar="DIR",
            expose_value=False,
            is_eager=True,
            callback=_change_directory,
            help="Work in this directory: jobs, recipes, `.dativo/` and every relative path are looked for there.",
        ),
        click.Option(
            ["-v", "--verbose"],
            is_flag=True,
            expose_value=False,
            callback=_set_verbose,
            help="Show what the connector logs, and tracebacks of errors.",
        ),
    ]


class Documented(click.Command):
    """A command with examples in its help; `--project` and `--verbose` may stand before or after its name."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self.params += _shared_options()
        self.context_settings.setdefault("help_option_names", ["-h", "--help"])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


class Command(Documented):
    """One command; its function gets `as_json`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        help = "Write one JSON document to stdout, and errors as JSON to stderr."
        self.params.insert(-2, click.Option(["--json", "as_json"], is_flag=True, help=help))


class Group(Documented, click.Group):
    """A group whose members are listed in the order given, not by letter."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            sys.stderr.write(f"{self.get_help(ctx)}\n")
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            alike = get_close_matches(name, self.list_commands(ctx))
            meant = f", did you mean {' or '.join(f'`{each}`' for each in alike)}?" if alike else ""
            raise click.UsageError(f"no such command `{name}`{meant}", ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """A group that imports the module of a member when it is asked for.

    Member `NAME` is the object `NAME` in the module `PACKAGE.NAME`.
    """

    def __init__(self, *args: Any, package: str, names: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.package = package
        self.names = tuple(names)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.names:
            return None
        found: click.Command = getattr(importlib.import_module(f"{self.package}.{cmd_name}"), cmd_name)
        return found


class DefaultGroup(Group):
    """A group that takes arguments that name none of its members as those of its first one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


def command(name: str, *, examples: Sequence[str]) -> Callable[[Callable[..., Any]], Command]:
    """Makes a command of the function; its docstring is the help, and its first sentence the line in the list of commands."""
    return click.command(name, cls=Command, examples=examples)


def verbose() -> bool:
    """Whether `--verbose` stands anywhere on the command line."""
    return bool(click.get_current_context().find_root().meta.get(VERBOSE))
