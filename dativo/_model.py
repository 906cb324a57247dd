"""What the models of jobs and recipes share: sizes, durations, and errors that say where."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from dativo_protocols.errors import ConfigError
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema

from dativo._document import Document, Place, close_matches

__all__ = ["Duration", "Model", "Size", "duration_seconds", "size_bytes", "validate"]

SIZE = r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([kKMGT]i?)?B?\s*$"
DURATION = r"^\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)?\s*$"
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Model(BaseModel):
    """Unknown keys are errors."""

    # Not `use_attribute_docstrings`: it reads the sources at every start. `dativo._schemas` does, once.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def size_bytes(value: object) -> int:
    """Bytes, from a number or text: `128MB` is 128,000,000, `1GiB` is 1,073,741,824.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = re.match(SIZE, value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("not a size: write bytes, or a number with a unit such as `128MB` or `1GiB`")
    unit = match.group(2) or ""
    base = 1024 if unit.endswith("i") else 1000
    return int(float(match.group(1)) * base ** (" kMGT".index(unit[0].replace("K", "k")) if unit else 0))


def duration_seconds(value: object) -> float:
    """Seconds, from a number or text: `90s`, `5m`, `1.5h`, `500ms`, `1d`.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    match = re.match(DURATION, value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("not a duration: write seconds, or a number with a unit such as `90s` or `5m`")
    return float(match.group(1)) * UNITS[match.group(2) or "s"]


Size = Annotated[
    int,
    BeforeValidator(size_bytes),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": SIZE}]}),
]
Duration = Annotated[
    float,
    BeforeValidator(duration_seconds),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": DURATION}]}),
]

Checked = TypeVar("Checked", bound=Model)


def validate(model: type[Checked], data: object, document: Document) -> Checked:
    """The model made of the data.

    Raises:
        ConfigError: One line for each thing that is wrong, with file, line, path and, for a misspelt name, what was meant.
    """
    if not isinstance(data, Mapping):
        raise document.error((), "not a mapping")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = [_explain(model, item, document) for item in error.errors(include_url=False)]
    first = found[0]
    hints = list(dict.fromkeys(each.hint for each in found if each.hint))
    raise ConfigError("\n".join(each.message for each in found), hint="; ".join(hints) or None, facts=first.facts)


def _explain(model: type[Model], item: Any, document: Document) -> ConfigError:
    place = _place(item["loc"], document)
    name = str(place[-1]) if place else ""
    if item["type"] == "extra_forbidden":
        known = _keys(model, place[:-1])
        hint = close_matches(name, known) or (f"known keys: {', '.join(f'`{key}`' for key in known)}" if known else None)
        return document.error(place, "unknown key", hint=hint)
    if item["type"] == "missing":
        return document.error(place, "missing")
    if item["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", item["ctx"]["expected"])
        return document.error(place, f"not one of {', '.join(f'`{choice}`' for choice in choices)}")
    what = str(item["ctx"]["error"]) if item["type"] == "value_error" else item["msg"]
    return document.error(place, what[:1].lower() + what[1:])


def _place(location: tuple[Any, ...], document: Document) -> Place:
    """pydantic's location, without the names of union branches that are no keys of the document."""
    data: Any = document.data
    place: Place = ()
    for i, part in enumerate(location):
        last = i == len(location) - 1
        if (isinstance(data, Mapping) and part in data) or (isinstance(data, list) and isinstance(part, int)):
            data = data[part]
            place = (*place, part)
        elif last and isinstance(data, Mapping):
            place = (*place, part)
    return place


def _keys(model: type[Model], place: Place) -> list[str]:
    """The keys that the model knows at a place."""
    here: Any = model
    for part in place:
        if isinstance(here, type) and issubclass(here, Model):
            field = here.model_fields.get(str(part))
            here = _inner(field.annotation) if field else None
        else:
            here = _inner(get_args(here)[1]) if get_origin(here) is dict else None
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, Model) else []


def _inner(annotation: Any) -> Any:
    """What is left of a type without `None` and without annotations."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, types.UnionType):
            annotation = next(each for each in get_args(annotation) if each is not type(None))
        else:
            return annotation
