"""Contract files in the Open Data Contract Standard, version 3: https://bitol-io.github.io/open-data-contract-standard/."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
from dativo_protocols import StreamId
from dativo_protocols.errors import ConfigError

from dativo import _compute as pc
from dativo._document import close_matches, read_document
from dativo._evolution import json_field
from dativo.contracts._terms import ColumnTerms, RowRule, StreamTerms, TableRule

__all__ = ["Contract", "read_contract"]

_DECIMAL = re.compile(r"(?:decimal|numeric|number)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", re.IGNORECASE)
_METRICS = {
    "nullvalues": "nulls",
    "nullcount": "nulls",
    "nullcheck": "nulls",
    "missingvalues": "missing",
    "invalidvalues": "invalid",
    "validvalues": "invalid",
    "duplicatevalues": "duplicates",
    "duplicatecount": "duplicates",
    "rowcount": "rows",
}


class Contract:
    """A contract file.

    Attributes:
        streams: Terms by the stream's name, as the file has it.
        unchecked: What the file says and Dativo cannot check, one line each.
    """

    def __init__(self, streams: Mapping[str, StreamTerms], unchecked: list[str], source: str) -> None:
        self.streams = streams
        self.unchecked = unchecked
        self.source = source

    def of(self, stream: StreamId) -> StreamTerms | None:
        """The stream's terms, by its whole name or by its name alone."""
        return self.streams.get(str(stream)) or self.streams.get(stream.name)


def read_contract(path: Path, shown: str) -> Contract:
    """Reads a contract file.

    Args:
        shown: Its name in messages.

    Raises:
        ConfigError: It is not there, no contract of version 3, or has a key that the standard does not know; or a package lacks.
    """
    try:
        import open_data_contract_standard.model as odcs
    except ImportError as error:
        raise ConfigError(
            "a contract file needs `open-data-contract-standard`, which is not installed", hint="pip install 'dativo[contracts]'"
        ) from error
    from pydantic import ValidationError

    document = read_document(path, shown)
    data = document.data
    version = str(data.get("apiVersion", "")) if isinstance(data, Mapping) else ""
    if not re.fullmatch(r"v?3\.\d+\.\d+", version):
        hint = "it needs `apiVersion: v3.1.0` and `kind: DataContract`"
        raise ConfigError(f"`{shown}` is not a contract of the Open Data Contract Standard, version 3", hint=hint)
    unknown = next(_unknown_keys(data, odcs.OpenDataContractStandard, ""), None)
    if unknown is not None:
        place, key, valid = unknown
        raise ConfigError(f"`{shown}`: unknown key `{key}` in `{place or 'the contract'}`", hint=close_matches(key, valid))
    try:
        contract = odcs.OpenDataContractStandard.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"`{shown}`: `{place}`: {first['msg']}") from error
    unchecked: list[str] = []
    streams = {}
    for table in contract.schema_ or ():
        name = table.name or table.physicalName
        if name:
            streams[name] = _stream(table, shown, unchecked)
    if not streams:
        raise ConfigError(f"`{shown}` has no `schema`: it says nothing about any stream")
    return Contract(streams, unchecked, shown)


def _unknown_keys(data: Any, model: Any, where: str) -> Iterator[tuple[str, str, list[str]]]:
    """Keys that the standard does not have, with their place and those that it has; the models themselves skip them."""
    if isinstance(data, list):
        for each in data:
            yield from _unknown_keys(each, model, where)
        return
    fields = getattr(model, "model_fields", None)
    if not isinstance(data, Mapping) or fields is None:
        return
    known = {field.alias or name: field.annotation for name, field in fields.items()}
    for name, value in data.items():
        if name not in known:
            yield where, str(name), list(known)
        else:
            yield from _unknown_keys(value, _model_in(known[name]), f"{where}.{name}".lstrip("."))


def _model_in(annotation: Any) -> Any:
    """The model inside `list[X] | None` and the like."""
    if hasattr(annotation, "model_fields"):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each)) is not None), None)


def _stream(table: Any, shown: str, unchecked: list[str]) -> StreamTerms:
    columns: dict[str, ColumnTerms] = {}
    rules: list[TableRule] = []
    keys: list[tuple[int, str]] = []
    for place, column in enumerate(table.properties or ()):
        name = column.name or column.physicalName
        if not name:
            raise ConfigError(f"`{shown}`: a property of `{table.name}` has no `name`")
        where = f"`{table.name}.{name}`"
        decimal = _DECIMAL.fullmatch((column.physicalType or "").strip())
        columns[name] = ColumnTerms(
            name,
            _field(name, column, decimal),
            required=bool(column.required or column.primaryKey),
            rules=tuple(_row_rules(column, where, unchecked)),
            accepts=_nothing_else if decimal else _ACCEPTED.get(column.logicalType, _nothing_else),
        )
        if column.unique and not column.primaryKey:
            rules.append(TableRule(f"values of {where} are unique", "duplicates", lambda found: found == 0, (name,)))
        if column.primaryKey:
            keys.append((column.primaryKeyPosition or place + 1, name))
        for quality in column.quality or ():
            rules += _table_rule(quality, where, (name,), shown, unchecked)
    for quality in table.quality or ():
        rules += _table_rule(quality, f"`{table.name}`", (), shown, unchecked)
    return StreamTerms(columns, tuple(rules), tuple(name for _, name in sorted(keys)), shown)


def _field(name: str, column: Any, decimal: re.Match[str] | None) -> pa.Field | None:
    options = column.logicalTypeOptions or {}
    kind = column.logicalType
    if kind in ("number", None) and decimal:
        return pa.field(name, pa.decimal128(int(decimal[1]), int(decimal[2] or 0)))
    if kind in ("object", "array", "map"):
        return json_field(name)
    kinds = {
        "string": pa.utf8(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", "UTC" if options.get("timezone", True) else None),
        "time": pa.time64("us"),
        "number": pa.float64(),
        "integer": pa.int64(),
        "boolean": pa.bool_(),
    }
    return pa.field(name, kinds[kind]) if kind in kinds else None


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _nothing_else(kind: pa.DataType) -> bool:
    return False


_ACCEPTED: dict[str | None, Callable[[pa.DataType], bool]] = {"number": _is_number, "timestamp": pa.types.is_timestamp}
"""Logical types that stand for several Arrow types, and which; `physicalType: decimal(p,s)` is one alone."""


def _row_rules(column: Any, where: str, unchecked: list[str]) -> Iterator[RowRule]:
    options = dict(column.logicalTypeOptions or {})
    options.pop("timezone", None)
    limits = {} if column.logicalType == "string" else _LIMITS
    for name, (word, function) in limits.items():
        if name in options:
            limit = options.pop(name)
            yield RowRule(f"is {word} {limit}", _compared(function, limit))
    for name, word, function in (("minLength", "at least", "less"), ("maxLength", "at most", "greater")):
        if name in options:
            limit = options.pop(name)
            yield RowRule(f"has {word} {limit} characters", _long(function, limit))
    if "pattern" in options:
        pattern = str(options.pop("pattern"))
        yield RowRule(f"matches `{pattern}`", _unmatched(pattern))
    values = [each.value for each in column.enum or ()]
    if values:
        yield RowRule(f"is one of {', '.join(str(value) for value in values)}", _not_among(values))
    unchecked += [f"{where}: option `{name}` is not checked" for name in options]


_LIMITS = {
    "minimum": ("at least", "less"),
    "maximum": ("at most", "greater"),
    "exclusiveMinimum": ("greater than", "less_equal"),
    "exclusiveMaximum": ("less than", "greater_equal"),
}


def _compared(function: str, limit: Any) -> Callable[[pa.Array], pa.Array]:
    def broken(array: pa.Array) -> pa.Array:
        bound = pa.scalar(limit).cast(array.type, safe=False) if pa.types.is_temporal(array.type) else pa.scalar(limit)
        return getattr(pc, function)(array, bound)

    return broken


def _long(function: str, limit: int) -> Callable[[pa.Array], pa.Array]:
    def broken(array: pa.Array) -> pa.Array:
        return getattr(pc, function)(pc.utf8_length(array.cast(pa.utf8())), limit)

    return broken


def _unmatched(pattern: str) -> Callable[[pa.Array], pa.Array]:
    def broken(array: pa.Array) -> pa.Array:
        return pc.invert(pc.match_substring_regex(array.cast(pa.utf8()), pattern))

    return broken


def _not_among(values: list[Any]) -> Callable[[pa.Array], pa.Array]:
    def broken(array: pa.Array) -> pa.Array:
        among = pc.is_in(array.cast(pa.utf8()), value_set=pa.array([str(value) for value in values], pa.utf8()))
        return pc.and_(pc.is_valid(array), pc.invert(among))

    return broken


def _table_rule(quality: Any, where: str, columns: tuple[str, ...], shown: str, unchecked: list[str]) -> Iterator[TableRule]:
    name = quality.metric or quality.rule
    metric = _METRICS.get((name or "").lower())
    if (quality.type or "library") != "library" or metric is None:
        what = quality.name or name or quality.type
        unchecked.append(f"{where}: quality rule `{what}` is not checked: only rules of the library are")
        return
    arguments = quality.arguments or {}
    columns = tuple(arguments.get("properties", columns))
    holds, text = _bounds(quality)
    if holds is None:
        if (name or "").lower() not in ("validvalues", "nullcheck", "duplicatecount"):
            raise ConfigError(
                f"`{shown}`: the quality rule `{name}` of {where} says nothing that must be", hint="add `mustBe: 0`"
            )
        holds, text = (lambda found: found == 0), "0"
    invalid = None
    if metric == "invalid":
        invalid = _invalid(arguments)
        if invalid is None:
            raise ConfigError(f"`{shown}`: `{name}` of {where} needs `arguments` with `validValues` or `pattern`")
    elif metric == "missing":
        blanks = [value for value in arguments.get("missingValues", [None]) if value is not None]
        metric, invalid = "invalid", RowRule("is missing", lambda array: _missing(array, blanks))
    if metric != "rows" and not columns:
        raise ConfigError(f"`{shown}`: `{name}` of {where} names no property", hint="put it below a property, or add `arguments`")
    percent = quality.unit == "percent"
    yield TableRule(
        f"`{name}` of {where} must be {text}{' %' if percent else ''}",
        metric,  # type: ignore[arg-type]
        holds,
        columns,
        percent,
        invalid,
        only_warns=(quality.severity or "").lower() in ("warning", "warn", "info"),
    )


def _invalid(arguments: Mapping[str, Any]) -> RowRule | None:
    if "validValues" in arguments:
        return RowRule("is valid", _not_among(list(arguments["validValues"])))
    if "pattern" in arguments:
        return RowRule("is valid", _unmatched(str(arguments["pattern"])))
    return None


def _missing(array: pa.Array, blanks: list[Any]) -> pa.Array:
    among = pc.is_in(array.cast(pa.utf8()), value_set=pa.array([str(value) for value in blanks], pa.utf8()))
    return pc.or_(pc.is_null(array), pc.fill_null(among, False))


def _bounds(quality: Any) -> tuple[Callable[[float], bool] | None, str]:
    """What the measure must be, and how that reads."""
    checks: list[tuple[Callable[[float], bool], str]] = []
    for name, word, holds in (
        ("mustBe", "{}", lambda found, limit: found == limit),
        ("mustNotBe", "not {}", lambda found, limit: found != limit),
        ("mustBeGreaterThan", "greater than {}", lambda found, limit: found > limit),
        ("mustBeGreaterOrEqualTo", "at least {}", lambda found, limit: found >= limit),
        ("mustBeLessThan", "less than {}", lambda found, limit: found < limit),
        ("mustBeLessOrEqualTo", "at most {}", lambda found, limit: found <= limit),
        ("mustBeBetween", "between {0[0]} and {0[1]}", lambda found, limit: limit[0] <= found <= limit[1]),
        ("mustNotBeBetween", "not between {0[0]} and {0[1]}", lambda found, limit: not limit[0] <= found <= limit[1]),
    ):
        limit = getattr(quality, name)
        if limit is not None:
            checks.append((lambda found, holds=holds, limit=limit: holds(found, limit), word.format(limit)))  # type: ignore[misc]
    if not checks:
        return None, ""
    return (lambda found: all(check(found) for check, _ in checks)), " and ".join(text for _, text in checks)
