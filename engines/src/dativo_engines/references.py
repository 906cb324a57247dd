"""Which program, package, image or manifest a reference names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
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
NATIVE_FORMS = """\
`native:module:Class`, `native:./reader.py:Class` (a class in a Python file), `native:./reader.so` (a shared library), \
`native:name` (an entry point of the group `dativo.readers`)"""
FLIGHT_FORMS = "`flight:grpc+unix:///path/of/socket`, `flight:grpc://host:port`, `flight:grpc+tls://host:port`"
ADBC_FORMS = "`adbc:postgresql` (an installed package `adbc_driver_postgresql`), `adbc:/path/of/driver.so`"

# A distribution's name, extras, and then a version or an address: PEP 508 as far as it tells a package from a program.
_REQUIREMENT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\]\s*)?(?:(?:===?|>=?|<=?|~=|!=)\s*\S|@\s*\S)")
_EXTRAS = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*\[[^\]]*\]$")

# A registry with a port, lower-case names, and what pins it.
_IMAGE = re.compile(
    r"^(?:[A-Za-z0-9.-]+(?::\d+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?P<pin>(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?)$"
)
_CLASS = re.compile(r"^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*$")
_LOCATION = re.compile(r"^grpc(?:\+unix:///.+|(?:\+tcp|\+tls)?://[^/]+)$")
_PATH = re.compile(r"^(?:/|\.\.?(?:/|$)|~)")


def is_reference(text: str) -> bool:
    """Whether this is `engine:…` rather than a recipe's name or path."""
    return bool(re.match(r"^[a-z][a-z0-9_-]*:(?!//)", text))


def is_requirement(text: str) -> bool:
    """Whether this names a package to install rather than a program."""
    return bool(_REQUIREMENT.match(text) or _EXTRAS.match(text))


def parse_reference(reference: str, *, environment: Mapping[str, str] | None = None) -> tuple[str, Connector]:
    """The engine's name and the connector, for `ENGINE:PROGRAM`; `FORMS` and its likes list what a program can be.

    Whether the program or the package exists is found out when it is first run, and the engine's name by `load_engine`.

    Raises:
        ConfigError: It has none of the valid forms.
    """
    engine, colon, rest = reference.partition(":")
    rest = rest.strip()
    if not colon or not re.fullmatch(r"[a-z][a-z0-9_-]*", engine) or not rest:
        forms = f"{FORMS}, {AIRBYTE_FORMS}, {NATIVE_FORMS}, `program:/path/to/program`, {FLIGHT_FORMS}, {ADBC_FORMS}"
        raise ConfigError(f"not a connector reference: `{reference}`", hint=f"valid are {forms}")
    known = dict(environment or {})
    if engine == "airbyte":
        return engine, _airbyte(reference, rest, known)
    if engine in OPENED:
        return engine, Connector(reference=reference, reader=OPENED[engine](reference, rest), environment=known)
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


def native_reader(reference: str, rest: str, folder: Path | None = None) -> str:
    """What a native reader is, its path absolute.

    Args:
        reference: As it was written, for errors.
        rest: Without the engine's name.
        folder: Where relative paths start; None takes the current one.

    Raises:
        ConfigError: It has none of the valid forms.
    """
    path, colon, name = rest.rpartition(":")
    if rest.endswith((".so", ".dylib")):
        return str(_placed(rest, folder))
    if colon and path.endswith(".py") and _CLASS.match(name):
        return f"{_placed(path, folder)}:{name}"
    if colon and _CLASS.match(path) and _CLASS.match(name):
        return rest
    if not colon and re.fullmatch(r"[A-Za-z0-9][\w.-]*", rest):
        return rest
    raise ConfigError(f"`{rest}` is no reader in `{reference}`", hint=f"valid are {NATIVE_FORMS}")


def _flight(reference: str, rest: str) -> str:
    if not _LOCATION.match(rest):
        raise ConfigError(f"`{rest}` is no location of a Flight server in `{reference}`", hint=f"valid are {FLIGHT_FORMS}")
    return rest


def _adbc(reference: str, rest: str) -> str:
    if os.sep in rest:
        return str(_placed(rest, None))
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", rest):
        raise ConfigError(f"`{rest}` is no ADBC driver in `{reference}`", hint=f"valid are {ADBC_FORMS}")
    return rest


OPENED: Mapping[str, Callable[[str, str], str]] = {"native": native_reader, "flight": _flight, "adbc": _adbc}
"""Engines that open something else than a program."""


def _placed(path: str, folder: Path | None) -> Path:
    return ((folder or Path.cwd()) / _expanded(path)).resolve()


def _is_program(text: str) -> bool:
    return os.sep in text or bool(re.fullmatch(r"[\w.+-]+", text))


def _expanded(text: str) -> str:
    return os.path.expanduser(text) if text.startswith("~") else text
