"""Attempts: what failed in a way that may pass by itself is tried again, after a wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dativo_protocols.errors import ConfigError, DativoError

if TYPE_CHECKING:
    from tenacity import RetryCallState

    from dativo._job import RetryConfig

__all__ = ["attempted"]


def attempted(
    once: Callable[[int, float], None], retry: RetryConfig, *, wait: Callable[[float, int, DativoError], float]
) -> None:
    """Calls `once` until it succeeds, fails for good, or has had all its attempts.

    Tried again is what fails with an error that says `again`, except for a `ConfigError`: what the user wrote does not mend
    itself.

    Args:
        once: Called with the attempt's number, from 1, and the seconds waited before it.
        wait: Waits, and returns for how long; called with the seconds, the number of the attempt to come, and why the one before
            it failed. What it raises ends everything.

    Raises:
        DativoError: That of the last attempt.
        BaseException: Whatever else `once` or `wait` raises, at once.
    """
    try:
        once(1, 0.0)
    except DativoError as error:
        if retry.attempts == 1 or not _may_pass(error):
            raise
        failed: DativoError | None = error
    else:
        return
    # Imported only now: it takes longer than everything else that a run does before it reads.
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

    number, waited = 1, 0.0

    def next_attempt() -> None:
        nonlocal failed, number
        if failed is not None:
            first, failed = failed, None
            raise first
        number += 1
        once(number, waited)

    def pause(state: RetryCallState) -> None:
        nonlocal waited
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, DativoError) and state.next_action is not None:
            waited = wait(state.next_action.sleep, number + 1, error)

    growing = wait_exponential(multiplier=retry.wait, max=retry.max_wait) + wait_random(0, retry.wait)
    Retrying(
        stop=stop_after_attempt(retry.attempts),
        wait=lambda state: min(growing(state), retry.max_wait),
        retry=retry_if_exception(_may_pass),
        before_sleep=pause,
        sleep=lambda seconds: None,
        reraise=True,
    )(next_attempt)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, DativoError) and error.again and not isinstance(error, ConfigError)
