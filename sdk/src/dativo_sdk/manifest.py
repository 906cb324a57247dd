"""What a plugin says of itself without being run: who it is, how it is started, and what it may use.

Found, in this order, in

1. `dativo-plugin.yaml`, beside the plugin's file, in its package, or in a folder above it up to that of its project,
2. `[tool.dativo]` in the `pyproject.toml` of that folder,
3. the metadata of the installed package: its name, version, summary and license, and its entry points.

Readers are found by entry points of the group `dativo.readers`, writers by those of `dativo.targets`; what the entry point is
called is what jobs call the plugin.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from importlib import metadata, util
from pathlib import Path
from typing import Any, Literal, TypeAlias

from dativo_protocols import ConfigError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dativo_sdk._api_version import compatible
from dativo_sdk._config import faults
from dativo_sdk._installed import entry_points
from dativo_sdk._plugin import READERS, SUFFIXES, WRITERS

__all__ = ["FILE_NAME", "READERS", "WRITERS", "Manifest", "Permissions"]

FILE_NAME = "dativo-plugin.yaml"

Kind: TypeAlias = Literal["reader", "writer"]
Language: TypeAlias = Literal["python", "rust", "c", "c++", "go", "other"]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?B|B)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, **{f"{unit}b": 1000**power for power, unit in enumerate("kmgt", 1)}}
_UNITS |= {f"{unit}ib": 1024**power for power, unit in enumerate("kmgt", 1)}


class Permissions(BaseModel):
    """What the plugin needs of the machine it runs on. What it does not declare, it does not get in a sandbox.

    A text may name settings, `${config.path}`: `resolved` puts their values there.

    Attributes:
        network: Hosts it connects to, `api.example.com` (port 443) or `db.example.com:5432`; or `all`.
        read: Files and folders that it reads, besides its own.
        write: Files and folders that it changes.
        environment: Names of environment variables that it sees.
        secrets: Names of the settings that hold secrets.
        memory: In bytes; in the file also as `512 MiB`.
        processes: Processes and threads at once.
        cpu_seconds: Processor time of a run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: tuple[str, ...] | Literal["all"] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    memory: int | None = Field(default=None, gt=0)
    processes: int | None = Field(default=None, gt=0)
    cpu_seconds: float | None = Field(default=None, gt=0)

    @field_validator("memory", mode="before")
    @classmethod
    def _bytes(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        found = _SIZE.fullmatch(value.strip())
        if found is None:
            raise ValueError("a size is a number of bytes, or such as `512 MiB`")
        return int(float(found[1]) * _UNITS[(found[2] or "").lower()])

    def resolved(self, config: Mapping[str, Any]) -> Permissions:
        """With the values of the settings that it names; what names one that is not set is left out, of a list each element.

        Raises:
            ConfigError: A setting that is named holds no text, number or list of texts.
        """
        network = self.network if self.network == "all" else _resolved(self.network, config)
        return self.model_copy(
            update={"network": network, "read": _resolved(self.read, config), "write": _resolved(self.write, config)}
        )


class Manifest(BaseModel):
    """A plugin, described.

    Attributes:
        name: What it is called.
        api_version: Of the SDK that it was written against.
        entry: How it is started: `module:Class`, `path.py:Class`, a shared library or a program, relative to the manifest.
        checksums: `sha256:…` of files, by their paths relative to the manifest.
        root: The folder of the manifest; None where the package's metadata is all there is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    version: str = "0"
    api_version: str = "1.0"
    kind: Kind = "reader"
    entry: str = Field(min_length=1)
    language: Language = "python"
    description: str = ""
    license: str = ""
    permissions: Permissions = Permissions()
    checksums: dict[str, str] = {}
    root: Path | None = Field(default=None, exclude=True)

    @field_validator("checksums")
    @classmethod
    def _sha256(cls, value: dict[str, str]) -> dict[str, str]:
        for text in value.values():
            if re.fullmatch(r"sha256:[0-9a-f]{64}", text) is None:
                raise ValueError("a checksum is `sha256:` and 64 digits")
        return value

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """From a `dativo-plugin.yaml` or a `pyproject.toml` with a `[tool.dativo]`.

        Raises:
            ConfigError: It cannot be read, or says what a manifest cannot say: names each place.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"manifest `{path}` cannot be read: {error.strerror}") from error
        said = _project(data, path) if path.suffix == ".toml" else _yaml(data, path)
        if said is None:
            raise ConfigError(f"`{path}` has no table `tool.dativo`")
        return cls._validated({**said, "root": path.resolve().parent}, str(path))

    @classmethod
    def beside(cls, file: Path) -> Manifest | None:
        """The manifest of the plugin that is this file or folder; None where there is none up to the folder of its project."""
        start = file.resolve()
        for folder in (start, *start.parents) if start.is_dir() else start.parents:
            if (folder / FILE_NAME).is_file():
                return cls.load(folder / FILE_NAME)
            project = folder / "pyproject.toml"
            if project.is_file():
                return cls.load(project) if _project(project.read_bytes(), project) is not None else None
            if folder.name in ("site-packages", "dist-packages"):
                # What lies around these is another's.
                return None
        return None

    @classmethod
    def of_target(cls, target: str, kind: Kind = "reader") -> Manifest | None:
        """Of what `module:Class`, `path.py:Class`, the path of a shared library or the name of an entry point names.

        Nothing of the plugin is imported. None where nothing says anything of it.

        Raises:
            ConfigError: There is no such module or entry point, or its manifest is wrong.
        """
        place, colon, _ = target.rpartition(":")
        if not colon and not target.endswith(SUFFIXES):
            return cls.installed(target, kind)
        if not colon or place.endswith(".py"):
            return cls.beside(Path(place if colon else target))
        # Of the package alone: to find a module in it, Python would run it.
        package, *inner = place.split(".")
        spec = util.find_spec(package)
        if spec is None:
            raise ConfigError(f"there is no module `{package}`")
        places = [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.has_location and spec.origin else [])]
        inside = [_deepest(Path(each), inner) for each in places]
        return next((found for each in inside if (found := cls.beside(each)) is not None), None)

    @classmethod
    def installed(cls, name: str, kind: Kind = "reader") -> Manifest:
        """Of an installed plugin, by the name of its entry point.

        Raises:
            ConfigError: There is none, or several packages have one.
        """
        group = READERS if kind == "reader" else WRITERS
        found = list(entry_points(group, name))
        if not found:
            known = sorted({each.name for each in entry_points(group)})
            hint = f"there are {', '.join(f'`{each}`' for each in known)}" if known else "install the package that has it"
            raise ConfigError(f"there is no {kind} `{name}`", hint=hint)
        if len({each.value for each in found}) > 1:
            packages = sorted(each.package for each in found)
            raise ConfigError(f"several packages have a {kind} `{name}`: {', '.join(packages)}", hint="uninstall all but one")
        entry, distribution = found[0], found[0].dist
        packed = _packed(distribution, entry.module)
        if packed is not None:
            return cls.load(packed)
        about: Mapping[str, Any] = distribution.metadata.json
        return cls._validated(
            {
                "name": name,
                "version": distribution.version,
                "kind": kind,
                "entry": entry.value,
                "description": about.get("summary", ""),
                "license": about.get("license_expression") or about.get("license", ""),
            },
            f"the entry point `{name}`",
        )

    def compatible(self) -> ConfigError | None:
        """As `dativo_sdk.compatible`, without loading the plugin."""
        return compatible(self.api_version, name=f"`{self.name}`")

    def verify(self) -> None:
        """That the files of the plugin are those that its makers published, as far as they gave checksums.

        Raises:
            ConfigError: One is missing, or is another.
        """
        root = self.root or Path()
        for name, expected in self.checksums.items():
            path = root / name
            if not path.resolve().is_relative_to(root.resolve()):
                raise ConfigError(f"plugin `{self.name}`: `{name}` is outside of its folder")
            if not path.is_file():
                raise ConfigError(f"plugin `{self.name}`: its file `{name}` is missing", hint="install it anew")
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if f"sha256:{found}" != expected:
                raise ConfigError(
                    f"plugin `{self.name}`: its file `{name}` is not the one that was published",
                    hint="install it anew; where you changed it yourself, take its checksum out of the manifest",
                    facts={"file": name, "sha256": found},
                )

    @classmethod
    def _validated(cls, said: Mapping[str, Any], where: str) -> Manifest:
        try:
            return cls.model_validate(said)
        except ValidationError as error:
            raise ConfigError(f"manifest `{where}`: {faults(error)}") from None


def _yaml(data: bytes, path: Path) -> dict[str, Any]:
    import yaml

    try:
        said = yaml.safe_load(data)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(f"manifest `{path}` is no YAML{'' if mark is None else f': line {mark.line + 1}'}") from None
    if not isinstance(said, dict):
        raise ConfigError(f"manifest `{path}` is no mapping")
    return said


def _project(data: bytes, path: Path) -> dict[str, Any] | None:
    """What `[tool.dativo]` says, and for what it leaves out, `[project]`."""
    try:
        document = tomllib.loads(data.decode())
    except ValueError as error:
        raise ConfigError(f"`{path}` is no TOML: {error}") from None
    said = document.get("tool", {}).get("dativo")
    if not isinstance(said, dict):
        return None
    project = document.get("project", {})
    license_ = project.get("license")
    inherited = {key: project[key] for key in ("name", "version", "description") if isinstance(project.get(key), str)}
    return {**inherited, **({"license": license_} if isinstance(license_, str) else {}), **said}


def _packed(distribution: metadata.Distribution, module: str) -> Path | None:
    """The manifest that the package brings with it."""
    top = module.partition(".")[0]
    for file in distribution.files or ():
        if file.name == FILE_NAME and (len(file.parts) == 1 or file.parts[0] == top):
            return Path(str(distribution.locate_file(file)))
    return None


def _deepest(package: Path, inner: list[str]) -> Path:
    """The folder of the innermost package that is there."""
    for name in inner:
        if not (package / name).is_dir():
            break
        package = package / name
    return package


def _resolved(texts: tuple[str, ...], config: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(value for text in texts for value in _values(text, config))


def _values(text: str, config: Mapping[str, Any]) -> list[str]:
    found = re.search(r"\$\{config\.([^}]+)\}", text)
    if found is None:
        return [text]
    value: Any = config
    for part in found[1].split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return []
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, (str, int)) and not isinstance(each, bool) for each in values):
        raise ConfigError(f"manifest: the setting `{found[1]}` is no text")
    replaced = [f"{text[: found.start()]}{each}{text[found.end() :]}" for each in values]
    return [value for each in replaced for value in _values(each, config)]
