"""Recipes: what is known of a connector, so that a job only needs its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from dativo_engines import Isolation
from dativo_engines.references import native_reader
from dativo_protocols.errors import ConfigError
from pydantic import Field

from dativo._document import Document, close_matches, read_document
from dativo._model import Model, Size, validate
from dativo._sandbox_config import SandboxConfig

__all__ = ["ContainerConfig", "ProgramConfig", "Recipe", "Runtime", "list_recipes", "load_recipe", "recipe_folders"]

Runtime: TypeAlias = Literal["package", "docker", "sandbox"]


class ContainerConfig(Model):
    """What an image may use, whether it runs in a Docker container or in Dativo's own sandbox."""

    memory: Size | None = None
    """More ends the connector; 0 for no limit."""
    tmp: Size | None = None
    """Room for its temporary files, which are kept in memory."""
    cpus: Annotated[float, Field(gt=0)] | None = None
    """Processors, or parts of one."""
    pids: Annotated[int, Field(ge=0)] | None = None
    """Processes and threads at a time; 0 for no limit."""
    network: str | None = None
    """`bridge`, `none`, `host`, or a network of the Docker engine."""
    platform: str | None = None
    """Of the image, where there is more than one: `linux/amd64`."""
    pull: bool | None = None
    """False runs only an image that is there already."""


class ProgramConfig(Model):
    """How an engine that runs programs gets the connector's."""

    image: str | None = None
    """A container image, or the path of its OCI layout or `docker save` archive."""
    manifest: str | None = None
    """A declarative manifest, relative to the recipe."""
    runtime: Runtime | None = None
    """How it is run where a job does not say: left out, as a package or program where the recipe names one, else in Docker."""
    container: ContainerConfig = ContainerConfig()
    """What the image may use."""
    allow_custom_components: bool = False
    """Whether the manifest may bring Python code of its own."""
    package: str | None = None
    """A requirement to install into an isolated environment."""
    executable: str | None = None
    """The package's program, where it is not named like the package; without a package, a program on PATH or a path."""
    requirements: list[str] = Field(default_factory=list)
    """Further requirements for the environment."""
    reader: str | None = None
    """Of engine `native`: `module:Class`, `path.py:Class` or the path of a shared library, relative to the recipe, or the name of
    an entry point of `dativo.readers`. Of `flight` the location, of `adbc` the driver."""
    isolation: Isolation | None = None
    """Where a native reader runs where a job does not say."""
    sandbox: SandboxConfig = SandboxConfig()
    """What the reader may use in a sandbox."""
    arguments: list[str] = Field(default_factory=list)
    """Put before the protocol's own arguments."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Added to the clean environment the connector starts with."""
    example: dict[str, Any] = Field(default_factory=dict)
    """Keys of a job's `source`, for people to start from."""


class Recipe(Model):
    """A connector recipe, one YAML file in `connectors/`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """What jobs call it; the same as the file's name."""
    version: str
    """Of the connector."""
    description: str = ""
    """One line."""
    roles: tuple[Literal["source", "target"], ...] = ("source",)
    """What it can be in a job."""
    default_engine: str
    """Which of `engines` runs it."""
    engines: dict[str, ProgramConfig]
    """By engine name, how it gets its program."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Configuration that a job may override."""
    secrets: list[str] = Field(default_factory=list)
    """Configuration keys (or dotted paths) whose values are masked."""
    incremental: dict[str, Any] = Field(default_factory=dict)
    """What is known of the connector's cursors, for people."""
    notes: str = ""
    """What else people should know."""


def recipe_folders(project: Path) -> tuple[Path, ...]:
    """Where recipes are looked for, in order: the project's own, then those shipped with Dativo."""
    package = Path(__file__).parent
    return (project / "connectors", package / "connectors", package.parent / "connectors")


def list_recipes(project: Path) -> list[Recipe]:
    """All recipes by name; a project's own hides a shipped one of the same name."""
    found = {path.stem: path for folder in reversed(recipe_folders(project)) for path in _files(folder)}
    return [_load(path)[0] for _, path in sorted(found.items())]


def load_recipe(name: str, project: Path) -> tuple[Recipe, Document]:
    """The recipe of that name, or in the file of that path (ends in `.yaml` or `.yml`), and its text with marks.

    Raises:
        ConfigError: There is none, or it is not valid.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name).expanduser()
        return _load(path if path.is_absolute() else project / path, name)
    for folder in recipe_folders(project):
        path = folder / f"{name}.yaml"
        if path.parent == folder and path.is_file():
            return _load(path)
    known = sorted({path.stem for folder in recipe_folders(project) for path in _files(folder)})
    listed = f"recipes: {', '.join(f'`{each}`' for each in known)}; or a reference such as `singer:{name}`"
    raise ConfigError(
        f"there is no connector recipe `{name}`", hint=close_matches(name, known) or listed, facts={"connector": name}
    )


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.glob("*.yaml")))


def _load(path: Path, name: str | None = None) -> tuple[Recipe, Document]:
    document = read_document(path, name or f"connectors/{path.name}")
    recipe = validate(Recipe, document.data, document)
    if recipe.default_engine not in recipe.engines:
        hint = close_matches(recipe.default_engine, recipe.engines) or f"engines: {', '.join(recipe.engines)}"
        raise document.error(("default_engine",), f"the recipe has no engine `{recipe.default_engine}`", hint=hint)
    beside = {name: _beside(engine, name, path.parent) for name, engine in recipe.engines.items()}
    return recipe.model_copy(update={"engines": beside}), document


def _beside(engine: ProgramConfig, name: str, folder: Path) -> ProgramConfig:
    """With the paths that are relative to the recipe."""
    update: dict[str, Any] = {}
    if engine.manifest is not None:
        update["manifest"] = str((folder / engine.manifest).absolute())
    if engine.reader is not None and name == "native":
        update["reader"] = native_reader(engine.reader, engine.reader, folder)
    return engine.model_copy(update=update) if update else engine
