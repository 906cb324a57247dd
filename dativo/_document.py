"""YAML files as plain data that still knows where each value was written."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import yaml
from dativo_protocols.errors import ConfigError

__all__ = ["Document", "Mark", "Place", "close_matches", "parse_scalar", "path_text", "read_document"]

Place: TypeAlias = tuple["str | int", ...]


class Mark(NamedTuple):
    """Where a value was written: the file's name and the 1-based line; line 0 for something without lines."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(slots=True)
class Document:
    """Data with the marks of its parts.

    Attributes:
        name: The file's name, for messages.
        data: Mappings, lists, strings, numbers, booleans and None only.
        marks: By path within `data`; the mark of a mapping's entry is that of its key.
    """

    name: str
    data: Any
    marks: dict[Place, Mark] = field(default_factory=dict)

    def mark(self, place: Place) -> Mark:
        """The mark of the value, or of the nearest thing around it that has one."""
        for length in range(len(place), -1, -1):
            if found := self.marks.get(place[:length]):
                return found
        return Mark(self.name, 0)

    def error(self, place: Place, what: str, *, hint: str | None = None) -> ConfigError:
        """A `ConfigError` that says file, line, path and what is wrong."""
        mark = self.mark(place)
        path = path_text(place)
        where = f"{mark}: `{path}`: " if path else f"{mark}: "
        facts: dict[str, object] = {"file": mark.file, "path": path}
        if mark.line:
            facts["line"] = mark.line
        return ConfigError(where + what, hint=hint, facts=facts)


def path_text(place: Place) -> str:
    """`source.streams.orders` for people; list positions as `[0]`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def close_matches(word: str, choices: Iterable[str]) -> str | None:
    """A hint that names the choices nearest to a word, or None."""
    found = difflib.get_close_matches(word, list(choices), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(f'`{choice}`' for choice in found)}?" if found else None


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars: `no`, `on` and `12:30` are text; dates stay text, because configurations are JSON in the end."""

    yaml_implicit_resolvers: Mapping[str, Any] = {}  # type: ignore[assignment]  # the base's own, filled in below


for tag, pattern, first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    ("float", r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)$", "-+.0123456789"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("merge", r"^(?:<<)$", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


def _int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0 if text.startswith(("0o", "0x")) else 10)


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(str(loader.construct_scalar(node)))


_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


def parse_scalar(text: str) -> Any:
    """A value as a job file would read it: `1`, `true`, `[a, b]`, `text`.

    Raises:
        ConfigError: It is not YAML.
    """
    return _parse(text, "value").data


def read_document(path: Path, name: str | None = None) -> Document:
    """Reads a YAML (or JSON) file.

    Raises:
        ConfigError: There is no such file, it is not UTF-8 or not YAML, or a mapping has a key twice.
    """
    name = name or str(path)
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"there is no file `{name}`", facts={"file": name}) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read `{name}`: {error}", facts={"file": name}) from None
    return _parse(text, name)


def _parse(text: str, name: str) -> Document:
    document = Document(name, None)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                document.data = _build(loader, node, (), document, frozenset())
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        where = Mark(name, line)
        raise ConfigError(f"{where}: not YAML: {error.problem or error.context}", facts={"file": name, "line": line}) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: not YAML: {error}", facts={"file": name}) from None
    return document


def _build(loader: _Loader, node: yaml.Node, place: Place, document: Document, open_nodes: frozenset[int]) -> Any:
    document.marks.setdefault(place, Mark(document.name, node.start_mark.line + 1))
    if id(node) in open_nodes:
        raise document.error(place, "a mapping cannot contain itself")
    if isinstance(node, yaml.MappingNode):
        own_keys = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        _refuse_twice(document, place, own_keys)
        loader.flatten_mapping(node)
        result: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise document.error(place, "a key must be text")
            inner = (*place, key.value)
            document.marks[inner] = Mark(document.name, key.start_mark.line + 1)
            result[key.value] = _build(loader, value, inner, document, open_nodes | {id(node)})
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*place, i), document, open_nodes | {id(node)}) for i, item in enumerate(node.value)]
    return loader.construct_object(node)


def _refuse_twice(document: Document, place: Place, keys: list[yaml.Node]) -> None:
    seen: set[str] = set()
    for key in keys:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                place = (*place, key.value)
                document.marks[place] = Mark(document.name, key.start_mark.line + 1)
                raise document.error(place, "given twice")
            seen.add(key.value)
