"""A first job for a connector, ready to paste."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dativo._hub_settings import Setting, required_settings
from dativo._recipe import Recipe

__all__ = ["example_job"]

DAY = "2026-01-01"
NOTHING: Mapping[str, Any] = {"integer": 1, "number": 1, "boolean": False, "array": [], "object": {}}


def example_job(recipe: Recipe, engine: str, schema: Mapping[str, Any] | None) -> str:
    """A job's YAML: what the recipe gives as an example, else the required settings of the schema; secrets as `${NAME}`.

    What cannot be known stands in angle brackets.
    """
    import yaml

    source: dict[str, Any] = {"connector": recipe.name}
    if engine != recipe.default_engine:
        source["engine"] = engine
    source |= recipe.engines[engine].example or {"config": _config(recipe, schema or {})}
    if not source.get("config"):
        source.pop("config", None)
    target = {"connector": "duckdb", "config": {"path": f"out/{recipe.name}.duckdb"}}
    text: str = yaml.safe_dump({"name": recipe.name, "source": source, "target": target}, sort_keys=False, width=120)
    return text


def _config(recipe: Recipe, schema: Mapping[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for setting in required_settings(schema):
        *parents, name = setting.path.split(".")
        if not parents and name in recipe.config:
            continue
        inner = config
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[name] = _value(recipe, setting)
    return config


def _value(recipe: Recipe, setting: Setting) -> Any:
    schema, name = setting.schema, setting.path.rpartition(".")[2]
    if "const" in schema:
        return schema["const"]
    if setting.secret or setting.path in recipe.secrets:
        variable = re.sub(r"[^A-Za-z0-9]+", "_", f"{recipe.name}_{name}").upper()
        return f"${{{variable}}}"
    if setting.default is not None:
        return setting.default
    if schema.get("enum"):
        return schema["enum"][0]
    if setting.types and setting.types[0] != "string":
        return NOTHING[setting.types[0]]
    if schema.get("format") == "date":
        return DAY
    return f"{DAY}T00:00:00Z" if schema.get("format") == "date-time" or "start_date" in name else f"<{name}>"
