"""The one error tree of Dativo, grouped by what the caller should do.

```
DativoError
├── ConfigError       exit 2    what the user wrote is wrong: mend it, then run again
├── ConnectorError    exit 10   the source failed, or broke its protocol
├── TargetError       exit 20   the target failed or refused
├── ContractError     exit 30   the data broke what the job promises about it
├── StateError        exit 20   the stored state cannot be read or written
└── SandboxError      exit 2    the connector cannot be confined as asked: install what is missing, or ask for less
```

Any of them with `retryable=True` exits 75 (temporary, try again).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

__all__ = [
    "ConfigError",
    "ConnectorError",
    "ContractError",
    "DativoError",
    "SandboxError",
    "StateError",
    "TargetError",
]

TEMPORARY = 75


class DativoError(Exception):
    """What went wrong, where, and what to do next.

    Attributes:
        message: One sentence, no final period.
        facts: Where it happened and with what, for example `stream`, `line`, `exit_code`. Never a secret, never a row value.
        hint: What the user can do, or None.
        retryable: Whether the same call may succeed later with nothing changed.
        again: Whether a run is to make another attempt of its own, which says less: a cause that is not known to pass may be
            worth one more attempt, and still be an error in the end.
    """

    code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retryable: bool = False,
        again: bool | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retryable = retryable
        self.again = retryable if again is None else again
        self.facts: dict[str, object] = dict(facts or {})

    @property
    def exit_code(self) -> int:
        """The process exit code this error ends a run with."""
        return TEMPORARY if self.retryable else self.code

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class ConfigError(DativoError):
    """The job, the configuration or the command line is wrong."""

    code = 2


class ConnectorError(DativoError):
    """The connector failed, was killed, or broke its protocol."""

    code = 10


class TargetError(DativoError):
    """The target failed or refused the data."""

    code = 20


class ContractError(DativoError):
    """The data broke a promise of the job, and the job says to fail."""

    code = 30


class StateError(DativoError):
    """The stored state cannot be read or written."""

    code = 20


class SandboxError(DativoError):
    """The connector cannot be confined as the job demands."""

    code = 2
