from __future__ import annotations

import os
import signal

import pytest

from dativo._interruption import Interruption


def test_a_signal_that_is_held_back_is_told_and_acts_where_it_may() -> None:
    told: list[int] = []
    with Interruption(lambda: told.append(1)) as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        assert told == [1]
        with pytest.raises(KeyboardInterrupt), interruption.allowed:
            raise AssertionError("the signal comes first")


def test_a_second_signal_is_not_held_back() -> None:
    told: list[int] = []
    with Interruption(lambda: told.append(1)):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert told == [1]
