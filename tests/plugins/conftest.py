"""Plugins in their sandboxes; what this machine lacks for that is said by the tests that are skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dativo_engines.plugins import Means, _runtime, means
from dativo_protocols import SandboxError

from tests.plugins.host import Service, host
from tests.plugins.plugin import Plugin

Make = Callable[..., Plugin]


@pytest.fixture(scope="session")
def strict() -> Means:
    """What this machine has, which is enough for the strongest level."""
    found = means()
    if found.strongest != "strict":
        pytest.skip("; ".join(f"{error.message} ({error.hint})" for error in found.lacking("strict")))
    return found


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets this machine have less: `without("bwrap")`, `without("bwrap", "landlock")`."""

    def lose(*names: str) -> None:
        found = means()
        missing = {name: SandboxError(f"there is no `{name}` in this test", hint=f"install {name}") for name in names}
        less = Means(
            bwrap=None if "bwrap" in names else found.bwrap,
            landlock=0 if "landlock" in names else found.landlock,
            seccomp="seccomp" not in names and found.seccomp,
            missing={**found.missing, **missing},
        )
        monkeypatch.setattr(_runtime, "means", lambda: less)

    return lose


@pytest.fixture
def plugin(tmp_path: Path) -> Make:
    """Makes a plugin of some code."""

    def make(code: str, **options: Any) -> Plugin:
        file = tmp_path / "plugin.py"
        file.write_text(code)
        return Plugin(file, tmp_path, **options)

    return make


@pytest.fixture
def attacked(tmp_path: Path) -> Iterator[tuple[dict[str, Any], Service]]:
    """A host with what attackers look for, and the service that must hear nothing."""
    with host(tmp_path / "host") as made:
        yield made
