"""What a job can configure, checked before the driver is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from dativo_protocols.errors import ConfigError
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

__all__ = ["PostgresConfig"]

_PARTS = ("host", "port", "user", "password", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey")
# A peer that is gone without a word is noticed within about a minute, and not after the two hours that systems take by default.
_DEFAULTS = {
    "application_name": "dativo",
    "connect_timeout": "30",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


class PostgresConfig(BaseModel):
    """The configuration of the target.

    What neither `url` nor a key says, libpq takes from its environment: `PGHOST`, `PGPASSWORD`, `~/.pgpass`…

    Attributes:
        url: `postgresql://user:password@host:port/dbname?sslmode=require`, in the place of the keys below.
        schema_name: Where tables and Dativo's own tables are; key `schema`. Made when it is not there.
        lock_timeout_seconds: How long a commit waits for a table that somebody else has locked.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    url: SecretStr | None = None
    host: str | None = Field(None, min_length=1)
    port: int | None = Field(None, ge=1, le=65535)
    user: str | None = Field(None, min_length=1)
    password: SecretStr | None = None
    dbname: str | None = Field(None, min_length=1)
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = None
    sslrootcert: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    schema_name: str = Field("public", alias="schema", min_length=1)
    lock_timeout_seconds: float = Field(60, gt=0)

    @field_validator("schema_name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if "\0" in name or len(name.encode()) > 63:
            raise ValueError("a schema's name has at most 63 bytes, none of them 0")
        return name

    @field_validator("url")
    @classmethod
    def _is_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            _settings(url.get_secret_value())
        return url

    @model_validator(mode="after")
    def _is_said_once(self) -> PostgresConfig:
        both = [name for name in _PARTS if getattr(self, name) is not None]
        if self.url is not None and both:
            raise ValueError(f"`url` says where the database is: leave out `{both[0]}`")
        return self

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> PostgresConfig:
        """The checked configuration.

        Raises:
            ConfigError: An unknown key, or a value that cannot be; facts: `key`. Never says a value.
        """
        try:
            return cls(**config)
        except ValidationError as error:
            raise _explained(error) from None

    @property
    def conninfo(self) -> str:
        """What libpq connects with, the password included."""
        settings = _DEFAULTS | self._given | {"client_encoding": "UTF8"}
        return " ".join(f"{key}='{_escaped(value)}'" for key, value in settings.items())

    @property
    def secret(self) -> str | None:
        """The password, if it is configured."""
        return self._given.get("password")

    @property
    def place(self) -> str:
        """The database as errors name it: host, port, name; no user, no password."""
        given = self._given
        where = given.get("host") or given.get("hostaddr") or "the local server"
        port = f":{given['port']}" if "port" in given else ""
        return f"{where}{port}/{given.get('dbname') or given.get('user') or ''}".rstrip("/")

    @property
    def user_name(self) -> str | None:
        """Who connects, if it is configured."""
        return self._given.get("user")

    @property
    def _given(self) -> dict[str, str]:
        if self.url is not None:
            return _settings(self.url.get_secret_value())
        values = {name: getattr(self, name) for name in _PARTS}
        plain = {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in values.items()}
        return {name: str(value) for name, value in plain.items() if value is not None}


def _settings(url: str) -> dict[str, str]:
    """A connection URL's settings by libpq's names. Taken apart here, as libpq's own errors repeat parts of it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("it is no URL; characters such as `@`, `/`, `#` in a password are written `%40`, `%2F`, `%23`") from None
    if parts.scheme not in ("postgres", "postgresql"):
        raise ValueError("it begins with `postgresql://`")
    if parts.fragment or "@" in parts.path or "/" in parts.path[1:]:
        raise ValueError("characters such as `@`, `/`, `#` in a password are written `%40`, `%2F`, `%23`")
    found = {
        "host": unquote(parts.hostname or ""),
        "port": str(port or ""),
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "dbname": unquote(parts.path.removeprefix("/")),
    }
    settings = {key: value for key, value in found.items() if value}
    settings |= dict(parse_qsl(parts.query, keep_blank_values=True))
    if any("\0" in value for value in settings.values()):
        raise ValueError("it has a character 0")
    if any(not (key.isidentifier() and key.isascii()) for key in settings):
        raise ValueError("a parameter after `?` has no name that libpq knows")
    return settings


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _explained(error: ValidationError) -> ConfigError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    key = str(first["loc"][0]) if first["loc"] else "url"
    valid = ", ".join(f"`{field.alias or name}`" for name, field in PostgresConfig.model_fields.items())
    if first["type"] == "extra_forbidden":
        return ConfigError(f"unknown key `{key}` in the target's configuration", hint=f"valid keys: {valid}", facts={"key": key})
    message = first["msg"].removeprefix("Value error, ")
    return ConfigError(f"`{key}` in the target's configuration is wrong: {message[:1].lower()}{message[1:]}", facts={"key": key})
