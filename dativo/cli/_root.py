"""The program's root: global options, the table of commands, and the one place where a command line ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from dativo.cli import _signals, _terminal
from dativo.cli._command import LazyGroup
from dativo.cli._failure import Failure, report

COMPLETION_VARIABLE = "_DATIVO_COMPLETE"

COMMANDS = (
    "init",
    "spec",
    "check",
    "discover",
    "read",
    "plan",
    "run",
    "quarantine",
    "state",
    "runs",
    "connector",
    "plugin",
    "keys",
    "doctor",
    "completion",
)


def _print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from dativo import __version__

        _terminal.write(f"dativo {__version__}\n")
        context.exit()


@click.command(
    "dativo",
    cls=LazyGroup,
    package="dativo.cli",
    names=COMMANDS,
    examples=(
        "dativo init demo && dativo --project demo run example",
        "dativo discover singer:tap-csv-folder==0.0.1a1 --config config.json",
        "dativo read singer:tap-csv-folder==0.0.1a1 --config config.json --stream orders --limit 5",
    ),
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show the version and exit."
)
def root() -> None:
    """Move data from any connector into Arrow-fast targets: nothing lost, nothing doubled.

    A CONNECTOR is a recipe's name (`connectors/NAME.yaml`), a path to a recipe, or a reference such as
    `singer:tap-github`, `singer:./my-tap.py`, `singer:tap-jsonl==0.3.1`, `airbyte:airbyte/source-faker:7.2.1`,
    `airbyte:airbyte-source-faker==7.2.1` or `airbyte:./manifest.yaml`.

    Exit codes: 0 done, 2 usage or configuration, 10 connector, 20 target or state, 30 contract, 75 temporary (try again), 130
    interrupted, 1 a bug in Dativo.
    """


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code. Results go to stdout, everything else to stderr."""
    _terminal.prepare()
    if COMPLETION_VARIABLE in os.environ:
        from click.shell_completion import shell_complete

        return shell_complete(root, {}, "dativo", COMPLETION_VARIABLE, os.environ[COMPLETION_VARIABLE])
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json = "--json" in options
    verbose = "--verbose" in options or "-v" in options
    try:
        with _signals.interruptible(quiet=as_json):
            try:
                with root.make_context("dativo", list(arguments)) as context:
                    root.invoke(context)
                code = 0
            except click.exceptions.Exit as end:
                code = end.exit_code
            _terminal.flush()
    except BrokenPipeError:
        # Whoever read our output has had enough, like `head`: that is no error.
        _terminal.abandon_stdout()
        return 0
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        failure = Failure.of(error)
        report(failure, error, as_json=as_json, verbose=verbose)
        return failure.exit_code
    finally:
        sys.stderr.flush()
    return code
