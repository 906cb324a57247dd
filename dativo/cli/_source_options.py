"""CONNECTOR and its configuration, as `spec`, `check`, `discover` and `read` take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from dativo.cli import _complete
from dativo.cli._command import verbose
from dativo.cli._log import Logger

if TYPE_CHECKING:
    from dativo._source import Source

__all__ = ["config_options", "connector_argument", "open_source", "run_options"]

# How lines of `dativo_engines.environments` begin.
INSTALLATION = ("installing ", "installed ", "waiting for another run that installs")

F = TypeVar("F", bound=Callable[..., Any])


def connector_argument(function: F) -> F:
    """Adds CONNECTOR; the function gets `connector`."""
    return click.argument("connector", shell_complete=_complete.connectors)(function)


def config_options(function: F) -> F:
    """Adds `--config` and `--set`; the function gets `config` and `settings`."""
    function = click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set one value of the configuration, for example `start=2026-01-01` or `auth.token=${TOKEN}`; the value is YAML. "
        "May be repeated.",
    )(function)
    return click.option(
        "-c",
        "--config",
        type=click.Path(allow_dash=True),
        metavar="FILE",
        help="The connector's configuration, JSON or YAML; `-` is stdin. `${NAME}` stands for an environment variable.",
    )(function)


def run_options(function: F) -> F:
    """Adds `--engine`, `--runtime`, `--isolation` and limits of images; the function gets them as `how`, for `open_source`."""

    @wraps(function)
    def gathered(
        *args: Any,
        engine: str | None,
        runtime: str | None,
        isolation: str | None,
        memory: str | None,
        network: str | None,
        platform: str | None,
        **kwargs: Any,
    ) -> Any:
        limits = {"memory": memory, "network": network, "platform": platform}
        container = {name: value for name, value in limits.items() if value is not None}
        how = {"engine": engine, "runtime": runtime, "isolation": isolation, "container": container or None}
        return function(*args, how=how, **kwargs)

    options = (
        click.option("--engine", metavar="ENGINE", help="Run it by this engine of its recipe; by default the recipe's choice."),
        click.option(
            "--runtime",
            type=click.Choice(["package", "docker", "sandbox"]),
            help="Run its package, or its image, in Docker or in a sandbox without it; by default the package if there is one.",
        ),
        click.option(
            "--isolation",
            type=click.Choice(["in_process", "process", "sandbox"]),
            help="Where a reader of one's own runs; by default in a sandbox unless it was installed with Dativo.",
        ),
        click.option("--memory", metavar="SIZE", help="Limit of its image, like `2GiB`."),
        click.option("--network", metavar="NETWORK", help="Of its image: `bridge`, `none`, `host`, or one of Docker's."),
        click.option("--platform", metavar="PLATFORM", help="Of its image, like `linux/amd64`."),
    )
    for option in reversed(options):
        gathered = option(gathered)
    return cast(F, gathered)


def open_source(connector: str, config: str | None = None, settings: Sequence[str] = (), **options: Any) -> Source:
    """The connector with its configuration; nothing runs yet.

    Args:
        connector: A reference, a recipe's name or path, or a job's file, which brings its own configuration.
        options: Further arguments of `dativo.source`.

    Raises:
        ConfigError: The connector or its configuration is wrong.
    """
    from dativo._source import source

    return source(connector, _config(config, settings), log=_log(), **options)


def _log() -> Callable[[str, str], None]:
    """All that is logged with `--verbose`; without, only what takes long at the first use: a failure brings its own lines."""
    as_json = bool(click.get_current_context().params["as_json"])
    logger = Logger(form="json" if as_json else "text", lowest="debug")
    if verbose():
        return logger

    def log(level: str, line: str) -> None:
        if line.startswith(INSTALLATION):
            logger(level, line)

    return log


def _config(config: str | None, settings: Sequence[str]) -> dict[str, Any] | Path | None:
    """The configuration as the source takes it: the file itself where that is all, so that errors name its lines."""
    from dativo._document import Document, read_document
    from dativo._precedence import apply_overrides

    if config is not None and config != "-" and not settings:
        return Path(config)
    if config is None:
        document = Document("--set", {})
    elif config == "-":
        document = read_document(Path("/dev/stdin"), "standard input")
    else:
        document = read_document(Path(config))
    data = apply_overrides(document, settings).data
    if not isinstance(data, dict):
        raise document.error((), "the configuration is not a mapping")
    return data
