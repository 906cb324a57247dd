"""Packages of the extra `encryption`, loaded when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dativo_protocols.errors import ConfigError


def package(name: str, extra: str = "encryption") -> Any:
    """The module.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        missing = error.name or name
        raise ConfigError(
            f"encryption needs `{missing}`, which is not installed", hint=f"pip install 'dativo[{extra}]'"
        ) from error


def aesgcm(key: bytes) -> Any:
    """AES-GCM of `cryptography` with this key."""
    return package("cryptography.hazmat.primitives.ciphers.aead").AESGCM(key)
