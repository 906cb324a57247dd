"""What goes wrong in a reader or writer, as an error of Dativo's."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from dativo_protocols import ConfigError, ConnectorError, ContractError, DativoError, SandboxError

from dativo_engines._redaction import Redactor

OWN = (ConfigError, ConnectorError, ContractError, SandboxError)
"""What a reader may raise; anything else says that the reader failed."""


def reader_failure(
    name: str, error: BaseException, redactor: Redactor, log: Callable[[str, str], None], *, again: bool
) -> DativoError:
    """The error for a reader that raised this, masked; its traceback is logged where it is not one that readers may raise.

    Args:
        name: What the user calls the reader.
        again: Whether another attempt is worth it, where the error does not say.
    """
    if isinstance(error, OWN):
        error.message = redactor(error.message)
        error.hint = None if error.hint is None else redactor(error.hint)
        error.facts = {key: redactor(value) if isinstance(value, str) else value for key, value in error.facts.items()}
        return error
    trace = "".join(traceback.format_exception(error)).rstrip()
    for line in redactor(trace).splitlines():
        log("error", line)
    text = " ".join(str(error).split())
    cause = f"{type(error).__name__}: {text}" if text else type(error).__name__
    found = ConnectorError(
        f"`{name}` failed: {redactor(cause)[:1000]}",
        again=again,
        facts={"reader": name, "stack_trace": redactor(trace)},
    )
    if isinstance(error, DativoError):
        found.hint, found.retryable = error.hint and redactor(error.hint), error.retryable
    return found
