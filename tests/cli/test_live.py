"""What the live display says of a run that waits."""

from __future__ import annotations

import math

from dativo._progress import Progress, ProgressSnapshot, StreamProgress
from dativo.cli._figures import percent
from dativo.cli._live import waits


def test_the_next_attempt_is_counted_down():
    now = ProgressSnapshot(retry_at=112.0, reason="attempt 2 of 3: away")

    assert waits(now, 100.0) == ["waiting 12 s, attempt 2 of 3: away"]


def test_rate_limits_are_shown_while_they_last():
    streams = {"a": StreamProgress(limited_until=142.0), "b": StreamProgress(limited_until=math.inf), "c": StreamProgress()}
    now = ProgressSnapshot(streams=streams)

    assert waits(now, 100.0) == [
        "stream `a` waits 42 s: the source's rate limit is reached",
        "stream `b` waits: the source's rate limit is reached",
    ]
    assert len(waits(now, 150.0)) == 1


def test_an_estimate_is_never_all_before_the_connector_says_so():
    progress = Progress()
    progress.estimate("a", 100)
    progress.add("a", rows=100)
    assert percent(progress.snapshot().streams["a"].share) == "99 %"

    progress.status("a", "COMPLETE", None)
    assert percent(progress.snapshot().streams["a"].share) == "100 %"


def test_another_attempt_counts_anew():
    progress = Progress()
    progress.add("a", rows=5)
    progress.retrying(10.0, "away")
    progress.attempt(2)

    now = progress.snapshot()
    assert (now.rows, now.attempt, now.retry_at, now.phase) == (0, 2, None, "starting")
