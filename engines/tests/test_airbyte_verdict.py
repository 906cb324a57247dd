"""Whether a source has done what it was asked for."""

from __future__ import annotations

from typing import Any

import pytest
from dativo_engines import Redactor
from dativo_engines._running import Exit
from dativo_engines.airbyte._verdict import Verdict
from dativo_protocols import ConnectorError, Log, StreamId, StreamStatus, TraceError

USERS, ORDERS = StreamId("users"), StreamId("orders", "shop")
WELL = Exit(0, None, 2**20, 1.0)
BADLY = Exit(1, None, 2**20, 1.0)


def said(status: str, stream: StreamId = USERS) -> StreamStatus:
    return StreamStatus(stream, status)  # type: ignore[arg-type]


def failure(*messages: Any, ended: Exit = WELL, configured: tuple[StreamId, ...] = (USERS,)) -> ConnectorError | None:
    verdict = Verdict(configured, Redactor(["s3cr3t-value"]))
    for message in messages:
        verdict.hear(message)
    return verdict.failure("source-x", ended, ["Traceback (most recent call last):", "ValueError: from stderr"])


def failed(*messages: Any, **how: Any) -> ConnectorError:
    error = failure(*messages, **how)
    assert error is not None
    return error


def test_complete_and_exit_0_is_success() -> None:
    assert failure(said("STARTED"), said("RUNNING"), said("COMPLETE")) is None


def test_a_source_that_reports_no_statuses_succeeds_by_its_exit() -> None:
    assert failure() is None


def test_a_status_without_its_namespace_counts_where_the_name_is_unique() -> None:
    assert failure(said("COMPLETE", StreamId("orders")), configured=(ORDERS,)) is None
    others = (ORDERS, StreamId("orders", "archive"))
    assert failed(said("COMPLETE", StreamId("orders")), configured=others).facts["streams"] == ["shop.orders", "archive.orders"]


@pytest.mark.parametrize("last", ["STARTED", "RUNNING", "INCOMPLETE"])
def test_anything_but_complete_is_a_failure_that_names_the_stream(last: str) -> None:
    error = failed(said("STARTED"), said(last))
    assert error.message == "`source-x` left stream `users` incomplete, though it ended as if all were well"
    assert (error.facts["stream"], error.exit_code, error.again) == ("users", 10, True)


def test_a_stream_that_was_never_begun_is_incomplete_where_others_have_statuses() -> None:
    error = failed(said("COMPLETE"), configured=(USERS, ORDERS))
    assert "left stream `shop.orders` incomplete" in error.message
    assert "discover again" in (error.hint or "")


def test_incomplete_of_a_stream_nobody_configured_fails_too() -> None:
    assert "`extra`" in failed(said("COMPLETE"), said("INCOMPLETE", StreamId("extra"))).message


def test_a_signal_after_incomplete_names_both() -> None:
    error = failed(said("RUNNING"), said("INCOMPLETE"), ended=Exit(None, 15, 2**20, 1.0))
    assert "was ended by SIGTERM" in error.message
    assert error.message.endswith("; left stream `users` incomplete")
    assert (error.exit_code, error.again) == (10, True)


@pytest.mark.parametrize(
    ("kind", "code", "again"),
    [("config_error", 10, False), ("system_error", 10, True), ("transient_error", 75, True), (None, 10, True)],
)
def test_the_failure_type_decides_about_exit_code_and_retry(kind: Any, code: int, again: bool) -> None:
    error = failed(TraceError("The key is wrong.", "401", "Traceback …", kind, USERS), said("INCOMPLETE"), ended=BADLY)
    assert error.message == "`source-x` failed: The key is wrong (stream `users`)"
    assert (error.exit_code, error.again) == (code, again)
    assert (error.facts["failure_type"], error.facts["internal_message"]) == (kind or "system_error", "401")
    assert error.facts["exit_code"] == 1


def test_an_error_fails_a_source_that_exits_0() -> None:
    assert "no quota" in failed(TraceError("no quota"), said("COMPLETE")).message


def test_errors_of_streams_go_before_the_summary_that_closes_them() -> None:
    summary = TraceError("During the sync, the following streams did not sync successfully: users", None, None, "config_error")
    error = failed(TraceError("quota", None, None, "transient_error", USERS), summary, ended=BADLY)
    assert (error.message, error.exit_code) == ("`source-x` failed: quota (stream `users`)", 75)


def test_of_several_streams_the_error_that_stays_is_the_cause() -> None:
    transient = TraceError("quota", None, None, "transient_error", USERS)
    error = failed(transient, TraceError("no access", None, None, "config_error", ORDERS), configured=(USERS, ORDERS))
    assert error.message == "`source-x` failed: no access (stream `shop.orders`; also stream `users`)"
    assert error.facts["streams"] == ["users", "shop.orders"]
    assert not error.again


def test_a_message_that_says_nothing_gives_way_to_the_internal_one() -> None:
    vague = "Something went wrong in the connector. See the logs for more details."
    assert "failed: division by zero" in failed(TraceError(vague, "division by zero"), ended=BADLY).message


def test_secrets_are_masked() -> None:
    error = failed(TraceError("bad s3cr3t-value", "s3cr3t-value", "s3cr3t-value"), Log("error", "s3cr3t-value"), ended=BADLY)
    assert "s3cr3t-value" not in f"{error} {error.facts}"


def test_without_an_error_its_logs_and_stderr_tell_the_cause() -> None:
    assert "ValueError: from stderr" in failed(ended=BADLY).message
    verdict = Verdict((), Redactor())
    verdict.hear(Log("error", "cannot connect\nTraceback (most recent call last):\n  File x\nOSError: no route"))
    error = verdict.failure("source-x", BADLY, [])
    assert error is not None
    assert error.message == "`source-x` failed: OSError: no route (exit code 1)"


@pytest.mark.parametrize(("ended", "again"), [(Exit(2, None, 0, 0), False), (BADLY, True), (Exit(None, 9, 0, 0), True)])
def test_a_wrong_command_line_is_not_tried_again(ended: Exit, again: bool) -> None:
    assert failed(ended=ended).again is again


def test_what_the_runtime_knows_of_the_end_is_said_and_final() -> None:
    ended = Exit(137, None, 2**20, 1.0, "out of memory: its limit is 64 MiB", "raise its limit")
    error = failed(said("RUNNING"), ended=ended)
    assert "was ended by SIGKILL: out of memory: its limit is 64 MiB (exit code 137)" in error.message
    assert (error.hint, error.again) == ("raise its limit", False)
