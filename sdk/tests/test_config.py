"""Configurations as models."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from dativo_protocols import ConfigError
from dativo_sdk._config import config_schema, make_config
from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Login(BaseModel):
    user: str
    password: SecretStr


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")

    login: Login
    hosts: list[str] = Field(default_factory=list, description="Where to look")
    kind: Literal["a", "b"] = "a"
    token: str = Field(default="", json_schema_extra={"airbyte_secret": True})


class Plugin:
    Config = Config


def test_the_model_is_the_specification_and_marks_secrets() -> None:
    schema = config_schema(Plugin)
    assert schema["required"] == ["login"]
    assert schema["properties"]["hosts"]["description"] == "Where to look"
    assert schema["$defs"]["Login"]["properties"]["password"]["airbyte_secret"] is True
    assert schema["properties"]["token"]["airbyte_secret"] is True
    assert "airbyte_secret" not in schema["$defs"]["Login"]["properties"]["user"]


def test_the_plugin_gets_an_instance() -> None:
    made = make_config(Plugin, {"login": {"user": "me", "password": "hunter2"}})
    assert isinstance(made, Config)
    assert made.login.password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(made)


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({}, "login"),
        ({"login": {"user": "me", "password": ["hunter2"]}}, "login.password"),
        ({"login": {"user": "me", "password": "hunter2"}, "hosts": ["a", ["hunter2"]]}, "hosts[1]"),
        ({"login": {"user": "me", "password": "hunter2"}, "kind": "hunter2"}, "kind"),
        ({"login": {"user": "me", "password": "hunter2"}, "colour": "hunter2"}, "colour"),
    ],
)
def test_a_fault_names_its_path_and_no_value(config: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(Plugin, config)
    assert f"`{path}`: " in caught.value.message
    assert caught.value.facts == {"paths": [path]}
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_plugin_without_a_model_gets_what_the_user_wrote() -> None:
    assert make_config(object, {"a": 1}) == {"a": 1}
    assert config_schema(object)["additionalProperties"] is True
