"""The hub: which connectors there are, how one is found by a word, and what its settings are without running it.

A recipe says how a connector is run. What it can be configured with it says itself; that is noted, without its words, by package
or image and version: in `registry/specs/` for recipes shipped with Dativo, and in `specs/` of the cache for others once
`dativo connector test` has asked them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from dativo_protocols.errors import ConfigError

from dativo._document import close_matches
from dativo._hub_settings import skeleton
from dativo._recipe import ProgramConfig, Recipe

__all__ = ["known_schema", "note_path", "note_schema", "programs", "recipe_engine", "registry_folder", "search_recipes"]

EXACT, BEGINS, WITHIN, FACT, WORD, ALIKE = 100.0, 60.0, 40.0, 30.0, 20.0, 10.0
# Two letters that changed places in a word of eight: 0.875.
LIKENESS = 0.75


def search_recipes(recipes: Iterable[Recipe], text: str) -> list[Recipe]:
    """The recipes that every word of the text is said of, best first.

    A word is looked for in names, descriptions, roles, engines, packages and images; misspelt ones are found by likeness.
    """
    words = re.findall(r"[^\s,]+", text.lower())
    ranked = [(sum(scores), recipe) for recipe in recipes if all(scores := [_score(recipe, word) for word in words])]
    return [recipe for _, recipe in sorted(ranked, key=lambda found: (-found[0], found[1].name))]


def recipe_engine(recipe: Recipe, engine: str | None) -> tuple[str, ProgramConfig]:
    """The engine's name and settings; the default one for None.

    Raises:
        ConfigError: The recipe has no such engine.
    """
    name = engine or recipe.default_engine
    if name not in recipe.engines:
        hint = close_matches(name, recipe.engines) or f"it has: {', '.join(f'`{each}`' for each in recipe.engines)}"
        raise ConfigError(f"recipe `{recipe.name}` has no engine `{name}`", hint=hint, facts={"connector": recipe.name})
    return name, recipe.engines[name]


def programs(engine: ProgramConfig) -> list[tuple[str, str]]:
    """What the engine can run, as kind and name: `("package", "tap-x==1.0")`, `("reader", "csv")`."""
    kinds = ("package", "reader", "executable", "manifest", "image")
    found = [(kind, str(value)) for kind in kinds if (value := getattr(engine, kind, None)) is not None]
    # The program of a package is a detail of it.
    return [pair for pair in found if pair[0] != "executable" or engine.package is None]


def registry_folder() -> Path:
    """Where what is known of shipped connectors is noted."""
    package = Path(__file__).parent
    return next((each for each in (package / "registry", package.parent / "registry") if each.is_dir()), package / "registry")


def known_schema(engine: ProgramConfig, cache: Path) -> Mapping[str, Any] | None:
    """The skeleton of what the connector can be configured with, or None when nobody has asked it yet."""
    for program in _pinned(engine):
        for folder in (cache, registry_folder()):
            found = _read(note_path(folder, program))
            if found is not None:
                return found
    return None if engine.reader is None else _own_schema(engine.reader)


def _own_schema(reader: str) -> Mapping[str, Any] | None:
    """Of a reader that is installed with Dativo: asking it takes no time."""
    from dativo_engines.native import is_own
    from dativo_sdk.host import config_schema, load_class

    try:
        return skeleton(config_schema(load_class(reader))) if is_own(reader) else None
    except ConfigError:
        return None


def note_schema(engine: ProgramConfig, schema: Mapping[str, Any], cache: Path) -> None:
    """Notes what the connector said, for `known_schema`; a cache that cannot be written is no failure."""
    for program in _pinned(engine)[:1]:
        path = note_path(cache, program)
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = path.with_name(f"{path.name}.{os.getpid()}")
            temporary.write_text(json.dumps(skeleton(schema)), encoding="utf-8")
            temporary.replace(path)


def _pinned(engine: ProgramConfig) -> list[str]:
    """Packages and images of one version; what a path or a program on PATH says may be another thing tomorrow."""
    pins = {"package": r"==[\w.+!-]+$", "image": r"[:@][^/]+$"}
    return [name for kind, name in programs(engine) if kind in pins and re.search(pins[kind], name)]


def note_path(folder: Path, program: str) -> Path:
    """Where a program is noted; `airbyte-source-x==1.2` and `airbyte/source-x:1.2` are one connector and share a note."""
    return folder / "specs" / f"{re.sub(r'[^A-Za-z0-9._+-]+', '-', program)}.json"


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _score(recipe: Recipe, word: str) -> float:
    """How well a word of the question fits; 0 not at all."""
    name = recipe.name.lower()
    facts = {*recipe.roles, *recipe.engines}
    sources = " ".join(text for engine in recipe.engines.values() for _, text in programs(engine)).lower()
    text = re.findall(r"[a-z0-9]+", recipe.description.lower())
    if word == name:
        return EXACT
    if name.startswith(word):
        return BEGINS
    if word in name:
        return WITHIN
    if word in facts or word in text:
        return FACT
    if word in sources or any(each.startswith(word) for each in text):
        return WORD
    parts = {*re.split(r"[^a-z0-9]+", name), *text}
    whole, part = _likeness(word, name), max((_likeness(word, each) for each in parts), default=0.0)
    return ALIKE * (whole + part) if part >= LIKENESS or whole >= LIKENESS else 0.0


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()
