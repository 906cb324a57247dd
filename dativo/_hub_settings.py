"""Settings: what a connector's JSON Schema says it can be configured with, as a list, and stripped to its facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dativo_protocols import frozen

__all__ = ["Setting", "required_settings", "secret_settings", "settings", "skeleton", "variants"]

# Singer SDKs and Airbyte's CDK mark secrets each in their own way.
SECRET_MARKS = ("airbyte_secret", "secret", "writeOnly")
MOST_CHOICES = 20
DEEPEST = 6


@frozen
class Setting:
    """One value of a configuration.

    Attributes:
        path: Its dotted path.
        types: JSON types, without `null`.
        required: Whether a configuration without it is refused; inside an optional object, whether that object needs it.
        secret: Whether its value must not be shown.
        default: What the connector takes for it, or None.
        variant: For one of several forms of an object, the name of the form.
        schema: Its own schema.
    """

    path: str
    types: tuple[str, ...]
    required: bool
    secret: bool
    default: Any
    variant: str | None
    schema: Mapping[str, Any]


def settings(schema: Mapping[str, Any]) -> Iterator[Setting]:
    """All settings, objects with known properties opened, every variant of one of several forms; required ones first."""
    yield from _walk(schema, "", None, True, 0)


def required_settings(schema: Mapping[str, Any]) -> list[Setting]:
    """The settings without which no configuration is taken, of the first variant where there are several forms."""
    firsts: dict[str, str | None] = {}
    found = []
    for setting in settings(schema):
        parent = setting.path.rpartition(".")[0]
        if setting.required and firsts.setdefault(parent, setting.variant) == setting.variant:
            found.append(setting)
    return found


def secret_settings(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Dotted paths of all secrets, each once, in order."""
    return tuple(dict.fromkeys(setting.path for setting in settings(schema) if setting.secret))


def variants(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The forms an object may have: its `oneOf` or `anyOf` with properties; none where it has one form only."""
    found = [*(schema.get("oneOf") or ()), *(schema.get("anyOf") or ())]
    return [each for each in found if isinstance(each, Mapping) and isinstance(each.get("properties"), Mapping)]


def skeleton(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema's facts, without its words: names, types, what is required, secret or fixed, defaults and choices.

    It is a JSON Schema again, and gives the same `settings`.
    """
    return _strip(schema, 0)


def _walk(schema: Mapping[str, Any], path: str, variant: str | None, needed: bool, depth: int) -> Iterator[Setting]:
    required = set(schema.get("required") or ())
    known = schema.get("properties") or {}
    for name in sorted(known, key=lambda name: name not in required):
        prop = known[name] if isinstance(known[name], Mapping) else {}
        inner = f"{path}{name}"
        wanted = needed and name in required
        forms = variants(prop) if depth < DEEPEST else []
        if forms:
            for number, form in enumerate(forms, 1):
                yield from _walk(form, f"{inner}.", _title(form, number), wanted, depth + 1)
            # Properties that all forms share may stand beside them.
            yield from _walk(prop, f"{inner}.", variant, wanted, depth + 1)
        elif prop.get("properties") and depth < DEEPEST:
            yield from _walk(prop, f"{inner}.", variant, wanted, depth + 1)
        else:
            secret = any(prop.get(mark) is True for mark in SECRET_MARKS)
            yield Setting(inner, _types(prop), wanted, secret, prop.get("default"), variant, prop)


def _title(form: Mapping[str, Any], number: int) -> str:
    return str(form.get("title") or next(filter(None, map(_constant, form["properties"].values())), number))


def _constant(prop: Any) -> Any:
    return prop.get("const") if isinstance(prop, Mapping) else None


def _types(prop: Mapping[str, Any]) -> tuple[str, ...]:
    kind = prop.get("type")
    kinds = [kind] if isinstance(kind, str) else list(kind or ())
    if not kinds:
        for each in (*(prop.get("anyOf") or ()), *(prop.get("oneOf") or ())):
            kinds += _types(each) if isinstance(each, Mapping) else ()
    return tuple(dict.fromkeys(str(each) for each in kinds if each != "null"))


def _strip(schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
    kept: dict[str, Any] = {key: schema[key] for key in ("type", "const", "format", "default") if schema.get(key) is not None}
    if any(schema.get(mark) is True for mark in SECRET_MARKS):
        kept["secret"] = True
    if isinstance(schema.get("enum"), list) and len(schema["enum"]) <= MOST_CHOICES:
        kept["enum"] = schema["enum"]
    if depth >= DEEPEST:
        return kept
    if isinstance(schema.get("properties"), Mapping):
        kept["properties"] = {
            name: _strip(prop, depth + 1) if isinstance(prop, Mapping) else {} for name, prop in schema["properties"].items()
        }
    if isinstance(schema.get("required"), list) and schema["required"]:
        kept["required"] = sorted(schema["required"])
    if isinstance(schema.get("items"), Mapping):
        kept["items"] = _strip(schema["items"], depth + 1)
    for key in ("oneOf", "anyOf"):
        if isinstance(schema.get(key), list):
            kept[key] = [
                ({"title": each["title"]} if each.get("title") else {}) | _strip(each, depth + 1)
                for each in schema[key]
                if isinstance(each, Mapping)
            ]
    return kept
