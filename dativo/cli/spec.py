"""`dativo spec`: what a connector can be configured with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dativo.cli import _terminal
from dativo.cli._command import command
from dativo.cli._source_options import connector_argument, open_source, run_options
from dativo.cli._table import Column, show_table

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
    found = open_source(connector, **how).spec()
    if as_json or not _terminal.is_terminal():
        _terminal.write_json(found.config_schema)
        return
    rows = [row for name, prop, required in _properties(found.config_schema) for row in [_row(name, prop, required)]]
    if not rows:
        _terminal.note("the connector does not say what it can be configured with")
        return
    show_table(
        [Column("setting"), Column("type"), Column("required"), Column("default", folds=True), Column("description", folds=True)],
        rows,
    )


def _properties(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Settings with their dotted names, required ones first; objects with known properties are opened."""
    required = set(schema.get("required", ()))
    known = schema.get("properties", {})
    for name in sorted(known, key=lambda name: name not in required):
        prop = known[name] if isinstance(known[name], Mapping) else {}
        if prop.get("properties"):
            yield from _properties(prop, f"{path}{name}.")
        else:
            yield path + name, prop, name in required


def _row(name: str, prop: Mapping[str, Any], required: bool) -> tuple[str, ...]:
    from json import dumps

    kind = prop.get("type", "")
    types = [kind] if isinstance(kind, str) else [str(each) for each in kind if each != "null"]
    secret = " (secret)" if prop.get("secret") or prop.get("airbyte_secret") or prop.get("writeOnly") else ""
    text = " ".join(str(prop.get("description") or prop.get("title") or "").split())
    default = dumps(prop["default"], ensure_ascii=False) if prop.get("default") is not None else ""
    if len(text) > DESCRIPTION_WIDTH:
        text = text[: DESCRIPTION_WIDTH - 3] + "..."
    return name, " or ".join(types) + secret, "yes" if required else "", default, text
