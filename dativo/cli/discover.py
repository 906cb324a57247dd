"""`dativo discover`: what a connector offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dativo.cli import _terminal
from dativo.cli._command import command
from dativo.cli._figures import count
from dativo.cli._source_options import config_options, connector_argument, open_source, run_options
from dativo.cli._table import Column, show_table

if TYPE_CHECKING:
    from dativo_protocols import Catalog, CatalogStream

__all__ = ["discover"]


@command(
    "discover",
    examples=(
        "dativo discover singer:tap-github --config config.json",
        "dativo discover singer:tap-github --config config.json --output catalog.json",
        "dativo discover airbyte:./manifest.yaml --config config.json",
        "dativo discover jobs/orders.yaml --json",
    ),
)
@connector_argument
@config_options
@run_options
@click.option("-o", "--output", type=click.Path(), metavar="FILE", help="Write the catalog to FILE, as the connector said it.")
def discover(
    connector: str, config: str | None, settings: tuple[str, ...], how: dict[str, Any], output: str | None, as_json: bool
) -> None:
    """List the streams of CONNECTOR. A table on a terminal, its catalog as JSON with --json or in a pipe.

    The catalog is the connector's own: edit it, and give it to `dativo read --catalog`.
    """
    catalog = open_source(connector, config, settings, **how).discover()
    if output:
        _save(catalog, output)
    if as_json or (not output and not _terminal.is_terminal()):
        _terminal.write_json(catalog.raw)
        return
    if not catalog.streams:
        _terminal.note("the connector offers no stream")
        return
    columns = (
        Column("stream"),
        Column("columns", True),
        Column("key", folds=True),
        Column("cursor", folds=True),
        Column("methods", folds=True),
    )
    show_table(columns, [_row(stream) for stream in catalog.streams])
    if output:
        _terminal.note(f"catalog written to `{output}`")


def _row(stream: CatalogStream) -> tuple[str, ...]:
    lists = (stream.primary_key, stream.cursor, stream.replication_methods)
    return (str(stream.id), count(len(stream.json_schema.get("properties") or ())), *(", ".join(names) or "-" for names in lists))


def _save(catalog: Catalog, output: str) -> None:
    from json import dumps

    from dativo.cli._atomic import atomic_file

    document: dict[str, Any] = catalog.raw
    with atomic_file(output) as file:
        file.write(dumps(document, ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass") + b"\n")
