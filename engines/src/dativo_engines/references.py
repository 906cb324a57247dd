"""Which program, package, image or manifest a reference names."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from dativo_protocols import ConfigError

from dativo_engines._engine import Connector

FORMS = """\
`singer:tap-name` (a program on PATH), `singer:/path/to/tap` (a program), \
`singer:tap-name==1.2.3` (a package, installed into an environment of its own)"""
AIRBYTE_FORMS = """\
`airbyte:airbyte-source-name==1.2.3` (a package, installed into an environment of its own), \
`airbyte:name/source-name:1.2.3` (an image), `airbyte:./image.tar` (an image's archive, or the folder of its OCI layout), \
`airbyte:./manifest.yaml` (a low-code manifest), `airbyte:source-name` (a program on PATH), `airbyte:/path/to/source` \
(a program)"""

# A distribution's name, extras, and then a version or an address: PEP 508 as far as it tells a package from a program.
_REQUIREMENT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\]\s*)?(?:(?:===?|>=?|<=?|~=|!=)\s*\S|@\s*\S)")
_EXTRAS = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*\[[^\]]*\]$")

# A registry with a port, lower-case names, and what pins it.
_IMAGE = re.compile(
    r"^(?:[A-Za-z0-9.-]+(?::\d+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?P<pin>(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?)$"
)
_PATH = re.compile(r"^(?:/|\.\.?(?:/|$)|~)")


def is_reference(text: str) -> bool:
    """Whether this is `engine:…` rather than a recipe's name or path."""
    return bool(re.match(r"^[a-z][a-z0-9_-]*:(?!//)", text))


def is_requirement(text: str) -> bool:
    """Whether this names a package to install rather than a program."""
    return bool(_REQUIREMENT.match(text) or _EXTRAS.match(text))


def parse_reference(reference: str, *, environment: Mapping[str, str] | None = None) -> tuple[str, Connector]:
    """The engine's name and the connector, for `ENGINE:PROGRAM`; `FORMS` and `AIRBYTE_FORMS` list what a program can be.

    Whether the program or the package exists is found out when it is first run, and the engine's name by `load_engine`.

    Raises:
        ConfigError: It has none of the valid forms.
    """
    engine, colon, rest = reference.partition(":")
    rest = rest.strip()
    if not colon or not re.fullmatch(r"[a-z][a-z0-9_-]*", engine) or not rest:
        raise ConfigError(f"not a connector reference: `{reference}`", hint=f"valid are {FORMS}, {AIRBYTE_FORMS}")
    known = dict(environment or {})
    if engine == "airbyte":
        return engine, _airbyte(reference, rest, known)
    if is_requirement(rest):
        return engine, Connector(reference=reference, package=rest, environment=known)
    if not _is_program(rest):
        raise ConfigError(f"`{rest}` is neither a program nor a requirement in `{reference}`", hint=f"valid are {FORMS}")
    return engine, Connector(reference=reference, executable=_expanded(rest), environment=known)


def _airbyte(reference: str, rest: str, environment: dict[str, str]) -> Connector:
    """The first form that fits, of: manifest, archive or layout of an image, image, package, program."""
    path = Path(_expanded(rest))
    if path.suffix in (".yaml", ".yml"):
        return Connector(reference=reference, manifest=path.absolute(), environment=environment)
    if path.suffix == ".tar" or (path / "oci-layout").is_file():
        # Nobody who has only the file of an image counts on a Docker engine.
        return Connector(reference=reference, image=str(path.absolute()), runtime="sandbox", environment=environment)
    image = None if _PATH.match(rest) else _IMAGE.match(rest)
    if image and ("/" in rest or image["pin"]):
        return Connector(reference=reference, image=rest, environment=environment)
    if is_requirement(rest):
        return Connector(reference=reference, package=rest, environment=environment)
    if not _is_program(rest) or (os.sep in rest and not _PATH.match(rest)):
        raise ConfigError(
            f"`{rest}` is no package, image, manifest or program in `{reference}`", hint=f"valid are {AIRBYTE_FORMS}"
        )
    return Connector(reference=reference, executable=_expanded(rest), environment=environment)


def _is_program(text: str) -> bool:
    return os.sep in text or bool(re.fullmatch(r"[\w.+-]+", text))


def _expanded(text: str) -> str:
    return os.path.expanduser(text) if text.startswith("~") else text
