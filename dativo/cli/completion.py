"""`dativo completion`: the script that a shell needs."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

from dativo.cli import _terminal
from dativo.cli._command import Documented

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    cls=Documented,
    examples=(
        'eval "$(dativo completion bash)"          # in ~/.bashrc',
        'eval "$(dativo completion zsh)"           # in ~/.zshrc',
        "dativo completion fish > ~/.config/fish/completions/dativo.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell. It completes commands, options, the names of jobs and connectors, and files."""
    from dativo.cli._root import COMPLETION_VARIABLE

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"this click has no completion for {shell}", context)
    # The base's own `source`: that of bash starts a bash to look at its version, which need not be there yet.
    _terminal.write(ShellComplete.source(found(context.find_root().command, {}, "dativo", COMPLETION_VARIABLE)))
