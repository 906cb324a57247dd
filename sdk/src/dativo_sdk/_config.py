"""A plugin's configuration: a pydantic model that is its specification, or any mapping."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dativo_protocols import ConfigError

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

ANYTHING: Mapping[str, Any] = {"type": "object", "additionalProperties": True}
"""The specification of a plugin that has no model."""


def config_schema(plugin: type[Any]) -> dict[str, Any]:
    """The JSON Schema of what the plugin can be configured with; secrets have `airbyte_secret: true`.

    A secret is a `SecretStr` (or another field that pydantic keeps to itself), or what its field says is one by
    `json_schema_extra={"airbyte_secret": True}`.
    """
    model = getattr(plugin, "Config", None)
    if model is None:
        # Of a plugin in another language, which checks its configuration itself.
        said = getattr(plugin, "config_schema", None)
        return copy.deepcopy(said if isinstance(said, dict) else dict(ANYTHING))
    schema: dict[str, Any] = model.model_json_schema()
    _mark(schema)
    return schema


def make_config(plugin: type[Any], given: Mapping[str, Any]) -> Any:
    """What `initialize` gets: an instance of the plugin's `Config`, or the mapping itself where it has none.

    Raises:
        ConfigError: The model refuses it; the message has the path of each fault, and no value.
    """
    model = getattr(plugin, "Config", None)
    if model is None:
        return dict(given)
    # Loaded with the model.
    from pydantic import ValidationError

    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise ConfigError(f"config: {faults(error)}", facts={"paths": [_path(each["loc"]) for each in _listed(error)]}) from None


def faults(error: ValidationError) -> str:
    """Each place and what is wrong there; never a value, which may be a secret."""
    return "; ".join(f"`{_path(each['loc'])}`: {each['msg']}" for each in _listed(error))


def _listed(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_input=False, include_context=False)


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "config"


def _mark(schema: Any) -> None:
    if isinstance(schema, dict):
        if schema.get("writeOnly") is True and schema.get("format") == "password":
            schema["airbyte_secret"] = True
        for value in schema.values():
            _mark(value)
    elif isinstance(schema, list):
        for value in schema:
            _mark(value)
