"""`dativo check`: whether a configuration works."""

from __future__ import annotations

from typing import Any

from dativo.cli import _terminal
from dativo.cli._command import command
from dativo.cli._source_options import config_options, connector_argument, open_source, run_options

__all__ = ["check"]


@command(
    "check",
    examples=(
        "dativo check singer:tap-github --config config.json",
        "dativo check singer:tap-github --set 'auth_token=${GITHUB_TOKEN}'",
        "dativo check airbyte:airbyte-source-stripe==5.15.25 --config config.json",
        "dativo check jobs/orders.yaml",
    ),
)
@connector_argument
@config_options
@run_options
def check(connector: str, config: str | None, settings: tuple[str, ...], how: dict[str, Any], as_json: bool) -> None:
    """Try a configuration of CONNECTOR. It is run until its first record or its clean end.

    Exit code 10 when it does not work.
    """
    from dativo_protocols.errors import ConnectorError

    status = open_source(connector, config, settings, **how).check()
    if as_json:
        _terminal.write_json({"status": "SUCCEEDED" if status.succeeded else "FAILED", "message": status.message})
        _terminal.flush()
    if not status.succeeded:
        raise ConnectorError(status.message or "the connector says that the check failed")
    if not as_json:
        _terminal.write(_terminal.printable(f"the configuration works{f': {status.message}' if status.message else ''}\n"))
