"""Who wins: recipe, then tenant, then job, then command line; the later one beats the earlier one, key by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dativo_protocols.errors import ConfigError

from dativo._document import Document, Mark, Place, close_matches, parse_scalar, read_document

__all__ = ["apply_overrides", "merge", "tenant_config"]

COMMAND_LINE = "--set"


def merge(lower: Mapping[str, Any], higher: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings are merged key by key, at any depth; anything else is replaced as a whole, lists too."""
    result = dict(lower)
    for key, value in higher.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def apply_overrides(document: Document, overrides: Sequence[str]) -> Document:
    """The document with `path=value` put in, in order; values are YAML, and missing mappings on the way are made.

    A part of the path that holds a dot is quoted: `source.streams."a.b".mode=incremental`.

    Raises:
        ConfigError: Not of the form `path=value`, or the path leads through something that is not a mapping.
    """
    data = merge({}, document.data) if isinstance(document.data, Mapping) else document.data
    changed = Document(document.name, data, dict(document.marks))
    for override in overrides:
        path, separator, text = override.partition("=")
        place = _split(path)
        if not separator or not all(place):
            raise ConfigError(
                f"`{COMMAND_LINE} {path}` is not of the form `path=value`", hint="for example source.config.count=10"
            )
        changed.data = _put(changed, changed.data, place, parse_scalar(text), ())
        changed.marks[place] = Mark(f"{COMMAND_LINE} {path}", 0)
    return changed


def _put(document: Document, data: Any, rest: Place, value: Any, done: Place) -> Any:
    if not rest:
        return value
    if data is not None and not isinstance(data, Mapping):
        raise document.error(done, "not a mapping, so nothing can be set inside it")
    inner = dict(data or {})
    inner[str(rest[0])] = _put(document, inner.get(str(rest[0])), rest[1:], value, (*done, rest[0]))
    return inner


def _split(path: str) -> tuple[str, ...]:
    parts, part, quoted = [], "", False
    for character in path.strip():
        if character == '"':
            quoted = not quoted
        elif character == "." and not quoted:
            parts.append(part)
            part = ""
        else:
            part += character
    return (*parts, part)


def tenant_config(project: Path, tenant: str, connector: str) -> Document:
    """What `tenants/<tenant>.yaml` sets for a connector, under `config: {<connector>: {…}}`; nothing without such a file.

    Raises:
        ConfigError: The file is not of that form.
    """
    path = project / "tenants" / f"{tenant}.yaml"
    name = f"tenants/{tenant}.yaml"
    if not path.exists():
        return Document(name, {})
    document = read_document(path, name)
    data = document.data or {}
    if not isinstance(data, Mapping):
        raise document.error((), "not a mapping")
    for key in data:
        if key not in ("name", "config"):
            raise document.error(
                (key,), "unknown key", hint=close_matches(key, ("name", "config")) or "known keys: `name`, `config`"
            )
    configs = data.get("config") or {}
    if not isinstance(configs, Mapping):
        raise document.error(("config",), "not a mapping of connectors to their configuration")
    config = configs.get(connector) or {}
    if not isinstance(config, Mapping):
        raise document.error(("config", connector), "not a mapping")
    place: Place = ("config", connector)
    marks = {key[2:]: mark for key, mark in document.marks.items() if key[:2] == place}
    return Document(name, dict(config), marks)
