"""Engines by name."""

from __future__ import annotations

from dativo_protocols import ConfigError
from dativo_sdk.host import entry_points

from dativo_engines._engine import Engine

GROUP = "dativo.engines"


def available_engines() -> list[str]:
    """Names of all installed engines, sorted."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def load_engine(name: str) -> type[Engine]:
    """The engine's class.

    Raises:
        ConfigError: No engine has this name, or it cannot be imported.
    """
    for point in entry_points(group=GROUP, name=name):
        try:
            engine: type[Engine] = point.load()
        except Exception as error:
            raise ConfigError(
                f"cannot load engine `{name}`: {error}", hint=f"reinstall `{point.value.partition(':')[0]}`"
            ) from error
        return engine
    raise ConfigError(f"no engine `{name}`", hint=f"available: {', '.join(f'`{known}`' for known in available_engines())}")
