"""`dativo doctor`: what this machine has, and what it lacks."""

from __future__ import annotations

import click

from dativo.cli import _terminal
from dativo.cli._command import command
from dativo.cli._table import Column, show_table

BROKEN = 2


@command("doctor", examples=("dativo doctor", "dativo doctor --json"))
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Show what Dativo finds on this machine, and what it lacks.

    Versions, the sandbox that plugins get and why none stronger, the Docker Engine, engines, targets and plugins, disks. A
    state is `ok`; `weak`, where it works and could be better; `absent`, where there is none and nothing needs it; or `broken`,
    where it must be mended, and then the exit code is 2. No plugin is started.
    """
    from dativo._doctor import examine

    findings = examine()
    broken = sum(finding.state == "broken" for finding in findings)
    if as_json:
        _terminal.write_json({"findings": [finding.to_dict() for finding in findings], "broken": broken})
    else:
        columns = (Column("topic"), Column("what"), Column("state"), Column("found", folds=True))
        show_table(columns, [(each.topic, each.name, each.state, each.found) for each in findings])
        for finding in findings:
            if finding.hint and finding.state != "ok":
                _terminal.note(f"{finding.name} ({finding.state}): {finding.hint}")
    if broken:
        context.exit(BROKEN)
