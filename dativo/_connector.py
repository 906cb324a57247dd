"""Which program a job's connector is: a recipe or a reference, with the job's overrides."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dativo_engines import Connector
from dativo_engines.references import is_reference, parse_reference
from dativo_protocols.errors import ConfigError

from dativo._document import Document
from dativo._recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from dativo._job import SourceConfig

__all__ = ["ResolvedConnector", "resolve_connector", "resolve_reference"]


@dataclass(frozen=True, slots=True)
class ResolvedConnector:
    """A connector that was found.

    Attributes:
        name: The recipe's name, or the reference: the key of a tenant's configuration.
        engine: Entry-point name of the engine that runs it.
        connector: Which program to run.
        recipe: None for a reference.
        document: The recipe's `config` with its marks, or None.
    """

    name: str
    engine: str
    connector: Connector
    recipe: Recipe | None = None
    document: Document | None = None


def resolve_reference(reference: str, project: Path) -> ResolvedConnector:
    """The connector of a recipe's name or path, or of a reference.

    Raises:
        ConfigError: There is no such recipe, or it is no reference.
    """
    if is_reference(reference):
        engine, connector = parse_reference(reference)
        return ResolvedConnector(reference, engine, connector)
    recipe, document = load_recipe(reference, project)
    if "source" not in recipe.roles:
        raise document.error(("roles",), f"connector `{recipe.name}` is no source")
    settings = recipe.engines[recipe.default_engine]
    connector = Connector(
        reference=reference,
        executable=settings.executable,
        package=settings.package,
        arguments=tuple(settings.arguments),
        environment=dict(settings.environment),
        requirements=tuple(settings.requirements),
    )
    marks = {place[1:]: mark for place, mark in document.marks.items() if place[:1] == ("config",)}
    defaults = Document(document.name, dict(recipe.config), marks)
    return ResolvedConnector(recipe.name, recipe.default_engine, connector, recipe, defaults)


def resolve_connector(source: SourceConfig, project: Path, document: Document) -> ResolvedConnector:
    """The connector of a job's source, with what the job overrides.

    Raises:
        ConfigError: As `resolve_reference`, at the job's line.
    """
    try:
        found = resolve_reference(source.connector, project)
    except ConfigError as error:
        if "file" in error.facts:
            raise
        raise document.error(("source", "connector"), error.message, hint=error.hint) from None
    connector = found.connector
    if source.package is not None:
        connector = replace(connector, package=source.package)
    if source.executable is not None:
        own = os.sep in source.executable and source.package is None
        connector = replace(connector, executable=source.executable, package=None if own else connector.package)
    if source.arguments is not None:
        connector = replace(connector, arguments=tuple(source.arguments))
    if source.requirements is not None:
        connector = replace(connector, requirements=tuple(source.requirements))
    connector = replace(connector, environment={**connector.environment, **source.environment})
    return replace(found, connector=connector)
