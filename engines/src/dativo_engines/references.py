"""Which program a reference names."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from dativo_protocols import ConfigError

from dativo_engines._engine import Connector

FORMS = """\
`singer:tap-name` (a program on PATH), `singer:/path/to/tap` (a program), \
`singer:tap-name==1.2.3` (a package, installed into an environment of its own)"""

# A distribution's name, extras, and then a version or an address: PEP 508 as far as it tells a package from a program.
_REQUIREMENT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\]\s*)?(?:(?:===?|>=?|<=?|~=|!=)\s*\S|@\s*\S)")
_EXTRAS = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*\[[^\]]*\]$")


def is_reference(text: str) -> bool:
    """Whether this is `engine:…` rather than a recipe's name or path."""
    return bool(re.match(r"^[a-z][a-z0-9_-]*:(?!//)", text))


def is_requirement(text: str) -> bool:
    """Whether this names a package to install rather than a program."""
    return bool(_REQUIREMENT.match(text) or _EXTRAS.match(text))


def parse_reference(reference: str, *, environment: Mapping[str, str] | None = None) -> tuple[str, Connector]:
    """The engine's name and the connector, for `ENGINE:PROGRAM`.

    Whether the program or the package exists is found out when it is first run, and the engine's name by `load_engine`.

    Raises:
        ConfigError: It has none of the valid forms.
    """
    engine, colon, rest = reference.partition(":")
    rest = rest.strip()
    if not colon or not re.fullmatch(r"[a-z][a-z0-9_-]*", engine) or not rest:
        raise ConfigError(f"not a connector reference: `{reference}`", hint=f"valid are {FORMS}")
    if is_requirement(rest):
        return engine, Connector(reference=reference, package=rest, environment=dict(environment or {}))
    if os.sep not in rest and not re.fullmatch(r"[\w.+-]+", rest):
        raise ConfigError(f"`{rest}` is neither a program nor a requirement in `{reference}`", hint=f"valid are {FORMS}")
    program = os.path.expanduser(rest) if rest.startswith("~") else rest
    return engine, Connector(reference=reference, executable=program, environment=dict(environment or {}))
