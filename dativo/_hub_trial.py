"""A trial: every question a connector is asked, one after the other, on the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from dativo_protocols import frozen
from dativo_protocols.errors import ConnectorError, DativoError

from dativo._hub_settings import required_settings, secret_settings, settings

if TYPE_CHECKING:
    from dativo._source import Source

__all__ = ["STEPS", "Step", "trial"]

STEPS = ("install", "spec", "check", "discover", "read")
MOST_STREAMS = 5


@frozen
class Step:
    """What came of a question.

    Attributes:
        name: One of `STEPS`.
        result: A step is skipped where nothing can come of it: its reason is in `text`.
        seconds: How long it took.
        text: What was found, or the first line of the error.
        error: What failed, or None.
    """

    name: str
    result: Literal["ok", "failed", "skipped"]
    seconds: float = 0.0
    text: str = ""
    error: DativoError | None = None


class _Skipped(Exception):
    """Nothing can come of the question."""


def trial(
    source: Source,
    *,
    install: Callable[[], str] | None = None,
    configured: bool,
    streams: Sequence[str] = (),
    limit: int = 10,
    on_spec: Callable[[Mapping[str, Any]], None] | None = None,
) -> Iterator[Step]:
    """Asks and tells, step by step. A question whose answer another one needs is skipped when that one failed.

    Args:
        source: The connector, with its configuration.
        install: Gets the connector onto this machine and says what came; None where there is nothing to install.
        configured: Whether somebody gave a configuration. Without one, only a connector that needs none is asked more than its
            settings: one without required settings and without secrets.
        streams: What to read; the first ones by default, until one has rows.
        limit: Rows to read.
        on_spec: Called with the JSON Schema of the configuration, where the connector has one.
    """
    asked = _Questions(source, configured, streams, limit, on_spec)
    if install is not None:
        step = _step("install", install)
        yield step
        if step.error is not None:
            yield from (Step(name, "skipped", text="it is not installed") for name in STEPS[1:])
            return
    for name in STEPS[1:]:
        yield _step(name, getattr(asked, name))


def _step(name: str, ask: Callable[[], str]) -> Step:
    began = time.monotonic()
    try:
        text = ask()
    except _Skipped as why:
        return Step(name, "skipped", text=str(why))
    except DativoError as error:
        return Step(name, "failed", time.monotonic() - began, (error.message.splitlines() or [""])[0], error)
    return Step(name, "ok", time.monotonic() - began, text)


class _Questions:
    def __init__(
        self,
        source: Source,
        configured: bool,
        streams: Sequence[str],
        limit: int,
        on_spec: Callable[[Mapping[str, Any]], None] | None,
    ) -> None:
        self._source = source
        self._configured = configured
        self._streams = tuple(streams)
        self._limit = limit
        self._on_spec = on_spec
        self._schema: Mapping[str, Any] = {}
        self._undiscovered: str | None = None

    def spec(self) -> str:
        self._schema = self._source.spec().config_schema
        known = list(settings(self._schema))
        if not known:
            return "it does not say what it can be configured with"
        if self._on_spec is not None:
            self._on_spec(self._schema)
        needed = sorted({setting.path for setting in required_settings(self._schema)})
        return f"{_number(len({each.path for each in known}), 'setting')}, required: {', '.join(needed) or 'none'}"

    def check(self) -> str:
        self._need_config()
        status = self._source.check()
        if not status.succeeded:
            raise ConnectorError(status.message or "the connector says that the check failed")
        return status.message or "the configuration works"

    def discover(self) -> str:
        self._need_config()
        try:
            found = [str(stream.id) for stream in self._source.discover().streams]
        except DativoError as error:
            self._undiscovered = "it cannot be asked for its streams"
            if error.facts.get("unsupported") == "discover":
                raise _Skipped("it has no discovery") from None
            raise
        if not found:
            return "it offers no stream"
        shown = [*found[:MOST_STREAMS], *([f"and {len(found) - MOST_STREAMS} more"] if len(found) > MOST_STREAMS else [])]
        return f"{_number(len(found), 'stream')}: {', '.join(shown)}"

    def read(self) -> str:
        self._need_config()
        if self._undiscovered and not self._streams:
            raise _Skipped(f"{self._undiscovered}: name one with `--stream`")
        names = self._streams or self._source.streams[:MOST_STREAMS]
        if not names:
            raise _Skipped("it offers no stream")
        for name in names:
            aside: list[Any] = []
            with self._source.read(
                name, limit=self._limit, on_bad_value="quarantine", on_reject=aside.append, extra="keep"
            ) as reader:
                rows = sum(batch.num_rows for batch in reader.batches())
                columns = sum(not column.startswith("_dativo_") for column in reader.schema.names)
            rejected = sum(batch.num_rows for batch in aside)
            if rows or rejected:
                text = f"`{name}`: {_number(rows, 'row')} of {_number(columns, 'column')}"
                return f"{text}, and {_number(rejected, 'row')} with a value that does not fit" if rejected else text
        return f"no rows in {', '.join(f'`{name}`' for name in names)}"

    def _need_config(self) -> None:
        if self._configured:
            return
        config, recipe = self._source.config, self._source.connector.recipe
        missing = [setting.path for setting in required_settings(self._schema) if not _has(config, setting.path)]
        if missing:
            raise _Skipped(f"no configuration is given: it needs {', '.join(f'`{path}`' for path in missing)}")
        if not self._schema or secret_settings(self._schema) or (recipe is not None and recipe.secrets):
            raise _Skipped("no configuration is given")


def _number(amount: int, noun: str) -> str:
    return f"{amount} {noun}{'' if amount == 1 else 's'}"


def _has(config: Mapping[str, Any], path: str) -> bool:
    inner: Any = config
    for part in path.split("."):
        if not isinstance(inner, Mapping) or part not in inner:
            return False
        inner = inner[part]
    return True
