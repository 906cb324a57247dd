"""Secrets are masked in whatever a connector says."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"

SECRET_NAME = re.compile(
    r"passw|pwd$|secret|token|credential|passphrase|private_?key|(api|access|account|encryption|auth)_?key|^auth$|signature", re.I
)
URL_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^\s:/@]*:([^\s@/]+)@", re.I)

# Shorter ones would turn up inside ordinary words and numbers.
WHOLE_WORD_LENGTH = 4


def _escaped(text: str) -> Iterator[str]:
    """The ways in which a text shows up in logs."""
    yield text
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]
    for encoded in (quote(text), quote(text, safe=""), quote_plus(text)):
        yield encoded
        yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)


def _base64(text: str) -> Iterator[str]:
    """What base64 of any text around `text` must contain, at each of the three alignments."""
    data = text.encode()
    for before in range(3):
        # The first and last characters mix in neighbouring bytes: only those that are this text's alone are looked for.
        encoded = base64.b64encode(b"\0" * before + data)
        start = (before * 8 + 5) // 6
        end = (before + len(data)) * 8 // 6
        core = encoded[start:end].decode()
        if len(core) >= 6:
            yield core
            yield core.translate(str.maketrans("+/", "-_"))


class Redactor:
    """Replaces secrets by `***`: as they are, escaped as in JSON, Python or URLs, in base64 or hex, and line by line.

    Args:
        secrets: The values. One shorter than four characters is masked only where it stands as a word of its own.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._lock = threading.Lock()
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Masks these as well from now on; other threads may be masking or adding meanwhile."""
        with self._lock:
            self._add(set(secrets))

    def _add(self, secrets: set[str]) -> None:
        self._secrets |= secrets
        texts: set[str] = set()
        words: set[str] = set()
        for secret in self._secrets:
            lines = [line.strip() for line in secret.splitlines()] if "\n" in secret else []
            for text in (secret, secret.strip(), *(line for line in lines if len(line) >= 8 and not line.startswith("-----"))):
                if len(text) >= WHOLE_WORD_LENGTH:
                    texts.update(_escaped(text))
                    texts.update(_base64(text))
                    texts.update((text.encode().hex(), text.encode().hex().upper()))
                elif text:
                    words.add(text)
        parts = [re.escape(text) for text in sorted(texts, key=len, reverse=True)]
        parts += [rf"(?<!\w){re.escape(word)}(?!\w)" for word in sorted(words, key=len, reverse=True)]
        self.longest = max(map(len, texts), default=0)
        self._pattern = re.compile("|".join(parts)) if parts else None

    def __call__(self, text: str) -> str:
        pattern = self._pattern
        return pattern.sub(MASK, text) if pattern else text


def secret_settings(config: Any, values: Collection[str] = (), place: str = "") -> Iterator[str]:
    """Dotted names of the settings that look like secrets, or whose value is one of these."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from secret_settings(value, values, f"{place}.{key}" if place else str(key))
    elif isinstance(config, (list, tuple)):
        yield from dict.fromkeys(name for value in config for name in secret_settings(value, values, place))
    elif isinstance(config, str) and (config in values or next(secrets_in(config, place.rpartition(".")[2]), None) is not None):
        yield place


def secrets_in(config: Any, name: str = "") -> Iterator[str]:
    """Values of a configuration that look like secrets: by their name, or as the password of a URL.

    A second net: the host names the secrets it resolved, but a password written into the file itself is nobody's secret yet.
    """
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from secrets_in(value, str(key))
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from secrets_in(value, name)
    elif isinstance(config, str) and config:
        if SECRET_NAME.search(name) and not name.lower().endswith(("_url", "_uri", "_type", "_method", "_path", "_file")):
            yield config
        yield from (match[1] for match in URL_PASSWORD.finditer(config))
