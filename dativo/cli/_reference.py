"""The command line's reference, made from the commands: `python -m dativo.cli._reference > docs/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator

import click

__all__ = ["commands", "reference"]

HEAD = """\
# Command line

Made from the commands by `python -m dativo.cli._reference`; a test fails when it is out of date.

Results go to stdout, everything else to stderr. With `--json`, stdout is one JSON document, and an error is one line of JSON on
stderr: `{"error": …, "kind": …, "hint": …, "facts": {…}, "exit_code": …}`. `NO_COLOR` turns colours off. SIGINT and SIGTERM end
a command in order, with exit code 130; a second one ends it at once.

| exit code | meaning | what to do |
|---|---|---|
| 0 | done; also when the reader of stdout has had enough, like `head` | |
| 1 | a bug in Dativo | report it |
| 2 | the command line, a job or a configuration is wrong | mend it |
| 10 | the connector failed, or broke its protocol | look at its last lines |
| 20 | the target or the state store failed | |
| 30 | the data broke what the job promises about it | |
| 75 | temporary: another run is going on, a network is away | try again |
| 130 | interrupted | run again: it goes on where the last commit was |
"""


def reference() -> str:
    """The whole page, as Markdown."""
    parts = [HEAD, *(_section(path, command) for path, command in commands())]
    return "\n".join(parts)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that call it, groups before their members."""
    from dativo.cli._root import root

    return _walk("dativo", root)


def _walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            if member := command.get_command(context, name):
                yield from _walk(f"{path} {name}", member)


def _section(path: str, command: click.Command) -> str:
    context = command.make_context(path, [], resilient_parsing=True, terminal_width=100)
    level = "#" * min(path.count(" ") + 2, 3)
    return f"{level} `{path}`\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    print(reference(), end="")
