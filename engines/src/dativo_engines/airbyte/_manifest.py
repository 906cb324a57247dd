"""Low-code sources: a manifest, run by the program that reads manifests."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dativo_protocols import ConfigError, Spec, frozen

from dativo_engines._engine import Connector

RUNNER_PACKAGE = "airbyte-source-declarative-manifest==6.5.2"
RUNNER_VERSION = (6, 5, 2)
# The last release of that package refuses manifests of later versions, and knows nothing of Python code beside a manifest.
LATER_PACKAGE = "airbyte-cdk==7.39.1"
RUNNER_PROGRAM = "source-declarative-manifest"

MANIFEST_KEY = "__injected_declarative_manifest"
COMPONENTS_KEY = "__injected_components_py"
CHECKSUMS_KEY = "__injected_components_py_checksums"
COMPONENTS_FILE = "components.py"


@frozen
class Manifest:
    """A manifest that may be run.

    Attributes:
        path: Its file.
        document: As parsed; dates are text.
        components: The Python code beside it, or None.
    """

    path: Path
    document: dict[str, Any]
    components: bytes | None = None

    def spec(self) -> Spec | None:
        """What the manifest itself says that it can be configured with; None when it says nothing."""
        own = self.document.get("spec")
        schema = own.get("connection_specification") if isinstance(own, dict) else None
        if not isinstance(own, dict) or not isinstance(schema, dict):
            return None
        return Spec(schema, {**own, "connectionSpecification": schema})

    def runner(self, connector: Connector) -> Connector:
        """The connector as a program or image that reads manifests."""
        if self.components is not None:
            connector = replace(connector, environment={"AIRBYTE_ENABLE_UNSAFE_CODE": "true", **connector.environment})
        if connector.package or connector.executable or connector.image:
            return connector
        later = self.components is not None or _version(self.document) > RUNNER_VERSION
        return replace(connector, package=LATER_PACKAGE if later else RUNNER_PACKAGE, executable=RUNNER_PROGRAM)

    def inject(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration as the program wants it."""
        injected = {**config, MANIFEST_KEY: self.document}
        if self.components is not None:
            injected[COMPONENTS_KEY] = self.components.decode()
            injected[CHECKSUMS_KEY] = {"md5": hashlib.md5(self.components, usedforsecurity=False).hexdigest()}
        return injected


def without_manifest(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration that came back from the program, as the user knows it."""
    return {key: value for key, value in config.items() if key not in (MANIFEST_KEY, COMPONENTS_KEY, CHECKSUMS_KEY)}


def load_manifest(connector: Connector) -> Manifest | None:
    """The connector's manifest; None when it has none.

    Raises:
        ConfigError: There is no such file, it is no manifest, or it names Python classes that nobody allowed.
    """
    if connector.manifest is None:
        return None
    path = connector.manifest
    document = _parsed(path)
    custom = sorted(set(_custom_components(document)))
    if custom and not connector.allow_custom_components:
        raise ConfigError(
            f"manifest `{path}` names Python classes of its own: {', '.join(f'`{name}`' for name in custom[:5])}",
            hint="if you trust their code, allow it with `allow_custom_components: true` in the connector's recipe",
            facts={"manifest": str(path), "components": custom},
        )
    beside = path.with_name(COMPONENTS_FILE)
    return Manifest(path, document, beside.read_bytes() if custom and beside.is_file() else None)


def _version(document: Mapping[str, Any]) -> tuple[int, ...]:
    """Of the framework that the manifest was written for; the oldest where it does not say."""
    return tuple(int(part) for part in re.findall(r"\d+", str(document.get("version", "")))[:3])


def _parsed(path: Path) -> dict[str, Any]:
    import yaml

    facts = {"manifest": str(path)}
    try:
        document = yaml.load(path.read_bytes(), Loader=_loader())
    except OSError as error:
        raise ConfigError(f"cannot read manifest `{path}`: {error.strerror}", hint="check the path", facts=facts) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"manifest `{path}` is not YAML: {' '.join(str(error).split())}", facts=facts) from None
    if not isinstance(document, dict) or document.get("type") != "DeclarativeSource":
        raise ConfigError(f"`{path}` is no manifest of a low-code source: it does not say `type: DeclarativeSource`", facts=facts)
    if not document.get("streams") and not document.get("dynamic_streams"):
        raise ConfigError(f"manifest `{path}` has no streams", facts=facts)
    return document


def _loader() -> type[Any]:
    """YAML's safe subset, with dates left as the text that is written: the manifest travels as JSON."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return Loader


def _custom_components(node: object) -> Iterator[str]:
    """Classes that the manifest names, wherever they stand: the low-code framework imports them."""
    if isinstance(node, dict):
        kind, name = node.get("type"), node.get("class_name")
        if isinstance(name, str):
            yield name
        elif isinstance(kind, str) and kind.startswith("Custom"):
            yield kind
        for value in node.values():
            yield from _custom_components(value)
    elif isinstance(node, list):
        for value in node:
            yield from _custom_components(value)
