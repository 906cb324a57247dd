"""`dativo read`: rows of a connector, to look at, to pipe, or into a file."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import click

from dativo.cli._command import command
from dativo.cli._history import read_state
from dativo.cli._signals import end_when_nobody_reads
from dativo.cli._sinks import ROWS_ON_TERMINAL, open_sink, rejects_file
from dativo.cli._source_options import config_options, connector_argument, open_source, run_options

if TYPE_CHECKING:
    from dativo._source import Source

__all__ = ["read"]


@command(
    "read",
    examples=(
        "dativo read singer:tap-csv-folder==0.0.1a1 --config config.json --stream orders --limit 5",
        "dativo read jobs/orders.yaml --stream orders | jq .id",
        "dativo read singer:tap-github --config config.json --stream issues --output issues.parquet",
        "dativo read airbyte:airbyte/source-faker:7.2.1 --runtime sandbox --set count=100 --stream users",
    ),
)
@connector_argument
@config_options
@run_options
@click.option(
    "-s", "--stream", "streams", multiple=True, metavar="NAME", help="Read this stream. May be repeated; all by default."
)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"End each stream after N rows; {ROWS_ON_TERMINAL} by default on a terminal, else all.",
)
@click.option("--select", metavar="FIELD,...", help="Read these fields only.")
@click.option("--state", "state_file", type=click.Path(allow_dash=True), metavar="FILE", help="Start from the state in FILE.")
@click.option(
    "--catalog", type=click.Path(), metavar="FILE", help="Use this catalog in place of discovery, Singer's or Airbyte's."
)
@click.option("--no-discover", is_flag=True, help="Run the connector without a catalog: for one that has no discovery.")
@click.option("-o", "--output", type=click.Path(), metavar="FILE", help="Write FILE: .parquet, .jsonl, .csv or .arrow.")
@click.option(
    "--on-bad-value",
    type=click.Choice(["fail", "null"]),
    default="fail",
    show_default=True,
    help="What becomes of a value that does not fit its column; `null` notes it in `_dativo_changes`.",
)
@click.option(
    "--extra",
    type=click.Choice(["keep", "drop", "fail"]),
    default="keep",
    show_default=True,
    help="What becomes of a property that the schema does not name; `keep` puts it into `_dativo_extra`.",
)
@click.option(
    "--rejects", type=click.Path(), metavar="FILE", help="Write rows with such values to FILE, as JSON lines, and go on."
)
def read(
    connector: str,
    config: str | None,
    settings: tuple[str, ...],
    how: dict[str, Any],
    streams: tuple[str, ...],
    limit: int | None,
    select: str | None,
    state_file: str | None,
    catalog: str | None,
    no_discover: bool,
    output: str | None,
    on_bad_value: Literal["fail", "null"],
    extra: Literal["keep", "drop", "fail"],
    rejects: str | None,
    as_json: bool,
) -> None:
    """Read rows of CONNECTOR. A table on a terminal, JSON lines in a pipe, a file with --output.

    Streams are read one after the other, each by a run of the connector of its own, so that --limit ends each early. JSON lines
    of one stream are its records; of several streams, each line is {"stream": NAME, "record": RECORD}. CONNECTOR may be a job's
    file, which brings its configuration. Nothing is committed, and no state is kept.
    """
    from dativo_protocols.errors import ContractError

    if no_discover and not streams:
        raise click.UsageError(
            "`--no-discover` needs `--stream`: nobody says which streams there are", click.get_current_context()
        )
    source = open_source(
        connector,
        config,
        settings,
        **how,
        state=read_state(state_file) if state_file else None,
        catalog=catalog,
        discover=not no_discover,
    )
    names = list(dict.fromkeys(streams)) or _offered(source)
    with ExitStack() as stack:
        stack.enter_context(end_when_nobody_reads())
        reject = stack.enter_context(rejects_file(rejects)) if rejects else None
        sink = stack.enter_context(open_sink(names, output, as_json))
        for name in names:
            with source.read(
                name,
                limit=limit or sink.usual_limit,
                fields=[field.strip() for field in select.split(",")] if select else None,
                on_bad_value="quarantine" if reject else on_bad_value,
                on_reject=partial(reject, name) if reject else None,
                extra=extra,
            ) as reader:
                try:
                    sink.begin(name, reader.schema)
                    for batch in reader.batches():
                        sink.add(batch)
                except ContractError as error:
                    if error.hint and "on_bad_value" in error.hint:
                        error.hint = "`--on-bad-value null` nulls such values, `--rejects FILE` sets their rows aside"
                    raise
                sink.end()


def _offered(source: Source) -> list[str]:
    from dativo_protocols.errors import ConnectorError

    try:
        return list(source.streams)
    except ConnectorError as error:
        if "cannot discover" in error.message:
            error.hint = "name the streams to read with `--stream`"
        raise
