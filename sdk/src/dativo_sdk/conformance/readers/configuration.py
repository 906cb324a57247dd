"""Configurations that work, and those that do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from dativo_protocols import ConfigError, DativoError

from dativo_sdk._config import config_schema, make_config
from dativo_sdk._reader import Checkable, Estimating
from dativo_sdk.conformance._check import CheckSkipped
from dativo_sdk.conformance._expect import same
from dativo_sdk.conformance.readers._bench import ReaderBench
from dativo_sdk.conformance.readers._check import reader_check

GARBAGE: tuple[Any, ...] = ("", "\0", -1, 1e308, [], {}, ["\U0001f600"])


@reader_check()
def a_wrong_configuration_is_a_config_error(bench: ReaderBench) -> None:
    if not bench.case.bad_configs:
        raise CheckSkipped("the case names no `bad_configs`")
    for number, config in enumerate(bench.case.bad_configs):
        error = _refusal(bench, config)
        if not isinstance(error, ConfigError):
            found = "none" if error is None else f"{type(error).__name__}: {error}"
            raise AssertionError(f"expected a `ConfigError` of `bad_configs[{number}]`, found {found}") from error


@reader_check()
def garbage_is_refused_in_words(bench: ReaderBench) -> None:
    tried = False
    for name, value, config in _garbage(bench):
        tried = True
        error = _refusal(bench, config)
        if error is not None and not isinstance(error, DativoError):
            found = f"{type(error).__name__}: {error}"
            raise AssertionError(f"expected an error of the tree with `{name}` as {value!r}, found {found}") from error
    if not tried:
        raise CheckSkipped("the configuration has no settings")


@reader_check(power=Checkable)
def a_check_is_honest(bench: ReaderBench) -> None:
    with bench.opened(None) as reader:
        status = reader.check()
    if not status.succeeded:
        raise AssertionError(f"expected a check that succeeds, found {status.message!r}")
    for number, config in enumerate(bench.case.bad_configs):
        reader = bench.plugin()
        try:
            reader.initialize(make_config(bench.plugin, config), None, None)
            status = reader.check()
        except DativoError:
            continue
        finally:
            _close(reader)
        if status.succeeded:
            raise AssertionError(f"expected a check of `bad_configs[{number}]` that fails, found one that succeeded")


@reader_check(power=Estimating)
def estimates_are_of_streams_that_are_read(bench: ReaderBench) -> None:
    for stream in bench.catalog.streams:
        with bench.opened(bench.selection(stream.id)) as reader:
            found = {str(each.stream) for each in reader.estimates() if each.stream is not None}
        same(sorted(found - {str(stream.id)}), [], f"streams with an estimate where `{stream.id}` alone is read")


def _refusal(bench: ReaderBench, config: Mapping[str, Any]) -> Exception | None:
    """What using it raises, from the model to the schema."""
    reader = bench.plugin()
    try:
        reader.initialize(make_config(bench.plugin, config), None, None)
        reader.get_schema()
    except Exception as error:
        return error
    finally:
        _close(reader)
    return None


def _close(reader: Any) -> None:
    """Whether that works is the matter of another check."""
    with suppress(Exception):
        reader.close()


def _garbage(bench: ReaderBench) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """The configuration with each setting in turn replaced by what it is not, and then left out."""
    names = dict.fromkeys([*(config_schema(bench.plugin).get("properties") or {}), *bench.config])
    for name in names:
        for value in GARBAGE:
            yield name, value, {**bench.config, name: value}
        yield name, None, {key: value for key, value in bench.config.items() if key != name}
