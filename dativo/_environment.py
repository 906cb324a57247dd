"""`${NAME}` in job files, and which values must not be shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote

from dativo._document import Document, Place

__all__ = ["secret_values", "substitute"]

VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

SECRET_KEY = re.compile(
    r"pass(word|wd|phrase|code)?$|passw|secret|token|credential|authorization|cookie|connection_?string|conn_?str"
    r"|(^|[_-])(dsn|pwd|pin|otp)$|key$",
    re.IGNORECASE,
)
PUBLIC_KEY = re.compile(
    r"(primary|replication|partition|sort|foreign|unique|cursor|natural|merge|order|public|state|bookmark|footer|quarantine)[_-]?key$"
    r"|[_-](url|uri|endpoint|type|path|file|name|format|method|ttl|seconds|location|header|prefix)$",
    re.IGNORECASE,
)
URL_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:([^/\s@]+)@")

SHORTEST_GUESS = 4


def substitute(document: Document, environment: Mapping[str, str], *, keep_missing: bool = False) -> tuple[Any, set[str]]:
    """The document's data with `${NAME}` and `${NAME:-default}` replaced in every string, and the values that came in.

    `$${` stands for `${`. The default is used when the variable is not set or empty. A whole string of one `${NAME}` stays a
    string: `"${COUNT}"` is `"10"`, never 10.

    Args:
        keep_missing: Leave what is not set as it is written, rather than fail.

    Raises:
        ConfigError: A variable is not set and has no default, or the reference is malformed.
    """
    values: set[str] = set()

    def text(value: str, place: Place) -> str:
        def one(match: re.Match[str]) -> str:
            if match.group(0) == "$${":
                return "${"
            inside = match.group(1)
            name, separator, default = inside.partition(":-")
            if not match.group(0).endswith("}") or not NAME.fullmatch(name):
                raise document.error(
                    place, f"`{match.group(0)}` is no reference to a variable", hint="write `$${` for a plain `${`"
                )
            found = environment.get(name)
            if separator and not found:
                return default
            if found is None:
                if keep_missing:
                    return match.group(0)
                raise document.error(
                    place, f"environment variable `{name}` is not set", hint=f"set it, or write `${{{name}:-default}}`"
                )
            if found:
                values.add(found)
            return found

        return VARIABLE.sub(one, value)

    def walk(value: Any, place: Place) -> Any:
        if isinstance(value, str):
            return text(value, place)
        if isinstance(value, Mapping):
            return {key: walk(item, (*place, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item, (*place, i)) for i, item in enumerate(value)]
        return value

    return walk(document.data, ()), values


def secret_values(configs: Iterable[Any], declared: Iterable[str] = (), substituted: Iterable[str] = ()) -> tuple[str, ...]:
    """The values that must not be shown, longest first.

    They are: what stands under a key that is declared (by its name or its dotted path), or whose name looks like a secret's, at
    any depth; passwords within URLs; and what came from the environment. Values under 4 characters are only masked where they
    are declared, and booleans and nulls never: masking every `1` of a log would hide the log, not the secret.
    """
    names = set(declared)
    found: set[str] = {value for value in substituted if len(value) >= SHORTEST_GUESS}

    def leaf(value: Any, certain: bool, guessed: bool) -> None:
        if value is None or isinstance(value, bool):
            return
        text = value if isinstance(value, str) else json.dumps(value)
        if (certain and text) or (guessed and len(text) >= SHORTEST_GUESS):
            found.add(text)
        for password in URL_PASSWORD.findall(text):
            found.update({password, unquote(password)})

    def walk(value: Any, path: str, certain: bool, guessed: bool) -> None:
        if isinstance(value, Mapping):
            for key, item in value.items():
                inner = f"{path}.{key}" if path else str(key)
                declared_here = str(key) in names or inner in names
                walk(item, inner, certain or declared_here, guessed or _looks_secret(str(key)))
        elif isinstance(value, list | tuple):
            for item in value:
                walk(item, path, certain, guessed)
        else:
            leaf(value, certain, guessed)

    for config in configs:
        walk(config, "", False, False)
    shapes = {shape for value in found for shape in (value, quote(value, safe=""), json.dumps(value)[1:-1])}
    return tuple(sorted(shapes, key=lambda value: (-len(value), value)))


def _looks_secret(key: str) -> bool:
    return bool(SECRET_KEY.search(key)) and not PUBLIC_KEY.search(key)
