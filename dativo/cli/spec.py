"""`dativo spec`: what a connector can be configured with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dativo.cli import _terminal
from dativo.cli._command import command
from dativo.cli._source_options import connector_argument, open_source, run_options
from dativo.cli._table import Column, show_table

if TYPE_CHECKING:
    from dativo._hub_settings import Setting

__all__ = ["spec"]

DESCRIPTION_WIDTH = 100


@command(
    "spec",
    examples=(
        "dativo spec singer:tap-csv-folder==0.0.1a1",
        "dativo spec airbyte:airbyte/source-faker:7.2.1 --runtime sandbox",
        "dativo spec singer:tap-github --json > spec.json",
    ),
)
@connector_argument
@run_options
def spec(connector: str, how: dict[str, Any], as_json: bool) -> None:
    """Show the settings of CONNECTOR. A table on a terminal, their JSON Schema with --json or in a pipe."""
    from dativo._hub_settings import settings

    found = open_source(connector, **how).spec()
    if as_json or not _terminal.is_terminal():
        _terminal.write_json(found.config_schema)
        return
    rows = [_row(each) for each in settings(found.config_schema)]
    if not rows:
        _terminal.note("the connector does not say what it can be configured with")
        return
    show_table(
        [Column("setting"), Column("type"), Column("required"), Column("default", folds=True), Column("description", folds=True)],
        rows,
    )


def _row(setting: Setting) -> tuple[str, ...]:
    from json import dumps

    text = " ".join(str(setting.schema.get("description") or setting.schema.get("title") or "").split())
    if len(text) > DESCRIPTION_WIDTH:
        text = text[: DESCRIPTION_WIDTH - 3] + "..."
    kind = " or ".join(setting.types) + (" (secret)" if setting.secret else "")
    variant = f" ({setting.variant})" if setting.variant else ""
    value = setting.schema.get("const", setting.default)
    default = "" if value is None else dumps(value, ensure_ascii=False)
    return setting.path + variant, kind, "yes" if setting.required else "", default, text
