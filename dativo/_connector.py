"""Which program a job's connector is: a recipe or a reference, with the job's overrides."""

from __future__ import annotations

import os
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dativo_engines import Connector, ContainerOptions, SandboxOptions
from dativo_engines.references import is_reference, parse_reference
from dativo_protocols import frozen
from dativo_protocols.errors import ConfigError

from dativo._document import Document, close_matches
from dativo._recipe import ContainerConfig, Recipe, Runtime, load_recipe
from dativo._sandbox_config import SandboxConfig, sandbox_options

if TYPE_CHECKING:
    from dativo._job import SourceConfig

__all__ = ["ResolvedConnector", "container_options", "resolve_connector", "resolve_reference"]

PACKAGES_ONLY = ("singer", "program")
"""Engines that know neither images nor manifests."""
OPENED = ("native", "flight", "adbc")
"""Engines that open a reader rather than start a program."""
IN_PARTS = ("native", "adbc", "program")
"""Engines whose readers may be read in parts."""
IN_PROCESS = ("native", "adbc")
"""Engines whose readers may be read in this process."""


@frozen
class ResolvedConnector:
    """A connector that was found.

    Attributes:
        name: The recipe's name, or the reference: the key of a tenant's configuration.
        engine: Entry-point name of the engine that runs it.
        connector: Which program to run, and how.
        recipe: None for a reference.
        document: The recipe's `config` with its marks, or None.
        container: What its image may use.
        sandbox: What its plugin may use.
    """

    name: str
    engine: str
    connector: Connector
    recipe: Recipe | None = None
    document: Document | None = None
    container: ContainerConfig = field(default_factory=ContainerConfig)
    sandbox: SandboxOptions = field(default_factory=SandboxOptions)


def resolve_reference(reference: str, project: Path) -> ResolvedConnector:
    """The connector of a recipe's name or path, or of a reference, as it is run where a job says nothing else.

    Raises:
        ConfigError: There is no such recipe, or it is no reference.
    """
    from dativo._job import SourceConfig

    source, document = SourceConfig(connector=reference), Document(reference, {})
    return _settled(_find(source, project, document), source, project, document)


def resolve_connector(source: SourceConfig, project: Path, document: Document) -> ResolvedConnector:
    """The connector of a job's source, with what the job overrides.

    Where there is both an image and a package, `source.runtime` decides, then what the job itself names, then the recipe's
    `runtime`; else it is the package: the same job runs the same way everywhere, whether or not a Docker engine answers.

    Raises:
        ConfigError: There is no such recipe, engine or form of the connector, or it is no reference; at the job's line.
    """
    try:
        found = _find(source, project, document)
    except ConfigError as error:
        if "file" in error.facts:
            raise
        raise document.error(("source", "connector"), error.message, hint=error.hint) from None
    return _settled(found, source, project, document)


def container_options(container: ContainerConfig) -> ContainerOptions:
    """For the engine: what is left out is its own choice."""
    named = container.model_dump(exclude_none=True)
    for size in ("memory", "tmp"):
        if size in named:
            named[f"{size}_bytes"] = named.pop(size)
    unlimited = {name: None for name in ("memory_bytes", "pids") if named.get(name) == 0}
    return ContainerOptions(**{**named, **unlimited})


def _find(source: SourceConfig, project: Path, document: Document) -> ResolvedConnector:
    if source.custom_reader is not None:
        return _custom(source, source.custom_reader, project, document)
    if is_reference(source.connector):
        engine, connector = parse_reference(source.connector)
        if source.engine not in (None, engine):
            raise document.error(("source", "engine"), f"the reference says that the engine is `{engine}`")
        return ResolvedConnector(source.connector, engine, connector)
    recipe, written = load_recipe(source.connector, project)
    if "source" not in recipe.roles:
        raise written.error(("roles",), f"connector `{recipe.name}` is no source")
    engine = source.engine or recipe.default_engine
    settings = recipe.engines.get(engine)
    if settings is None:
        hint = close_matches(engine, recipe.engines) or f"it has: {', '.join(f'`{one}`' for one in recipe.engines)}"
        raise document.error(("source", "engine"), f"connector `{recipe.name}` has no engine `{engine}`", hint=hint)
    connector = Connector(
        reference=source.connector,
        executable=settings.executable,
        package=settings.package,
        arguments=tuple(settings.arguments),
        environment=dict(settings.environment),
        requirements=tuple(settings.requirements),
        image=settings.image,
        manifest=None if settings.manifest is None else Path(settings.manifest),
        allow_custom_components=settings.allow_custom_components,
        reader=settings.reader,
        isolation=settings.isolation,
    )
    return ResolvedConnector(recipe.name, engine, connector, recipe, _defaults(recipe, written))


def _custom(source: SourceConfig, reader: str, project: Path, document: Document) -> ResolvedConnector:
    """The job's own reader, under the name, and with the configuration and the secrets, of the connector whose place it takes."""
    try:
        engine, connector = parse_reference(reader)
    except ConfigError as error:
        raise document.error(("source", "custom_reader"), error.message, hint=error.hint) from None
    if source.engine not in (None, engine):
        raise document.error(("source", "engine"), f"`custom_reader` says that the engine is `{engine}`")
    if is_reference(source.connector):
        return ResolvedConnector(source.connector, engine, connector)
    recipe, written = load_recipe(source.connector, project)
    return ResolvedConnector(recipe.name, engine, connector, recipe, _defaults(recipe, written))


def _defaults(recipe: Recipe, written: Document) -> Document:
    marks = {place[1:]: mark for place, mark in written.marks.items() if place[:1] == ("config",)}
    return Document(written.name, dict(recipe.config), marks)


def _settled(found: ResolvedConnector, source: SourceConfig, project: Path, document: Document) -> ResolvedConnector:
    own = found.recipe is not None and source.custom_reader is None
    settings = found.recipe.engines[found.engine] if found.recipe and own else None
    connector = _overridden(found.connector, source, project)
    named = source.image is not None or source.package is not None or source.executable is not None
    runtime = source.runtime or (settings.runtime if settings and not named else None)
    connector = _placed(connector, found.engine, runtime, document)
    _check_isolation(connector, found.engine, source, document)
    container = settings.container if settings else ContainerConfig()
    sandbox = settings.sandbox if settings else SandboxConfig()
    return replace(
        found,
        connector=connector,
        container=container.model_copy(update=source.container.model_dump(exclude_unset=True)),
        sandbox=sandbox_options(sandbox.model_copy(update=_said(source.sandbox)), project),
    )


def _said(sandbox: SandboxConfig) -> dict[str, Any]:
    """The keys that are written, as the model has them."""
    return {name: getattr(sandbox, name) for name in sandbox.model_fields_set}


def _overridden(connector: Connector, source: SourceConfig, project: Path) -> Connector:
    if source.image is not None:
        connector = replace(connector, image=source.image, package=None, executable=None)
    if source.package is not None or source.executable is not None:
        connector = replace(connector, image=source.image)
    if source.package is not None:
        connector = replace(connector, package=source.package)
    if source.executable is not None:
        own = os.sep in source.executable and source.package is None
        connector = replace(connector, executable=source.executable, package=None if own else connector.package)
    if source.manifest is not None:
        connector = replace(connector, manifest=(project / Path(source.manifest).expanduser()).absolute())
    if source.arguments is not None:
        connector = replace(connector, arguments=tuple(source.arguments))
    if source.requirements is not None:
        connector = replace(connector, requirements=tuple(source.requirements))
    if source.isolation is not None:
        connector = replace(connector, isolation=source.isolation)
    return replace(connector, environment={**connector.environment, **source.environment})


def _check_isolation(connector: Connector, engine: str, source: SourceConfig, document: Document) -> None:
    """Whether the engine can do what is asked of it."""
    if source.parallel > 1 and engine not in IN_PARTS:
        raise document.error(("source", "parallel"), f"engine `{engine}` reads everything at once", hint="leave `parallel` out")
    own = engine in IN_PROCESS
    if connector.isolation == "in_process" and not own:
        raise document.error(
            ("source", "isolation"),
            f"what engine `{engine}` runs is always a process of its own",
            hint="leave `isolation` out, or set it to `sandbox`" if engine == "program" else "leave `isolation` out",
        )
    if connector.isolation == "sandbox" and not own and engine != "program":
        raise document.error(
            ("source", "isolation"),
            f"engine `{engine}` has no sandbox of that kind",
            hint="an image runs in a sandbox with `runtime: sandbox`",
        )


def _placed(connector: Connector, engine: str, runtime: Runtime | None, document: Document) -> Connector:
    """With one way to run it left."""
    place = ("source", "runtime")
    if engine in OPENED:
        if runtime is not None or connector.image or connector.package or connector.manifest:
            raise document.error(place, f"engine `{engine}` runs neither packages nor images nor manifests")
        if connector.reader is None:
            hint = f"write a reference: `{engine}:…`"
            raise document.error(("source", "connector"), f"there is nothing for engine `{engine}` to open", hint=hint)
        return connector
    if engine in PACKAGES_ONLY and (runtime not in (None, "package") or connector.image or connector.manifest):
        raise document.error(place, f"engine `{engine}` runs programs and packages only, neither images nor manifests")
    program = connector.package is not None or connector.executable is not None
    if runtime == "package" or (runtime is None and program):
        if not program and connector.manifest is None:
            raise document.error(place, "the connector is an image, not a package", hint="name one with `source.package`")
        return replace(connector, image=None)
    if runtime is None:
        return connector
    if connector.image is None:
        raise document.error(place, f"the connector has no image that `{runtime}` could run", hint="name one with `source.image`")
    return replace(connector, package=None, executable=None, runtime=runtime)
