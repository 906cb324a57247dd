"""`dativo run`, away from a terminal."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

JOB = """\
name: small
source:
  connector: singer:./tap.py
  config: {token: secret-token}
target: {connector: jsonl, config: {path: out}}
"""


@pytest.fixture
def job(project, tap):
    project.write("jobs/small.yaml", JOB)
    return project


def test_it_ends_with_what_it_did(job):
    ran = job.dativo("run", "small")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "stream  write   rows in  written  quarantined  schema changes\n"
        "people  append        3        3            0  new table\n"
        "pets    append        2        2            0  new table\n"
        "total                 5        5            0\n"
        "\n"
        "status        succeeded\n"
        "time          <seconds>, 1 commit, <size> read\n"
        "state before  none\n"
        'state after   {"bookmarks": {"people": 3, "pets": 2}}\n'
        "run           <run>\n"
    )


def test_the_next_run_starts_where_the_last_ended(job):
    job.dativo("run", "small")

    report = json.loads(job.dativo("run", "small", "--json").raw_out)

    assert report["status"] == "succeeded"
    assert report["state_before"] == '{"bookmarks": {"people": 3, "pets": 2}}'
    assert report["rows_in"] == 0


def test_set_overrides_the_job(job):
    report = json.loads(job.dativo("run", "small", "--set", "source.config.streams={cats: 7}", "--json").raw_out)

    assert [(stream["stream"], stream["written"]) for stream in report["streams"]] == [("cats", 7)]


def test_a_state_from_a_file(job):
    job.write("state.json", '{"bookmarks": {"people": 1}}')

    report = json.loads(job.dativo("run", "small", "--state", "state.json", "--json").raw_out)

    assert report["state_before"] == '{"bookmarks": {"people": 1}}'
    assert report["rows_in"] == 4


def test_a_full_refresh_starts_without_a_state(job):
    job.dativo("run", "small")

    report = json.loads(job.dativo("run", "small", "--full-refresh", "--json").raw_out)

    assert report["rows_in"] == 5


def test_state_and_full_refresh_exclude_each_other(job):
    ran = job.dativo("run", "small", "--state", "-", "--full-refresh")

    assert ran.code == 2
    assert ran.err.startswith("error: `--state` and `--full-refresh` exclude each other\n")


def test_a_failed_run_commits_nothing_and_says_why(job):
    ran = job.dativo("run", "small", "--set", "source.config.fails=true")

    assert ran.code == 10
    assert ran.out.startswith(
        "stream  write   rows in  written  quarantined  rolled back  schema changes\n"
        "people  append        3        0            0            3\n"
    )
    assert "\nstatus        failed\n" in ran.out
    assert ran.err == (
        "error: `tap.py` failed: RuntimeError: the disk is on fire (exit code 1)\n"
        "  | INFO working\n"
        "  | RuntimeError: the disk is on fire\n"
    )


def test_a_failed_run_as_json(job):
    ran = job.dativo("run", "small", "--set", "source.config.fails=true", "--json")

    error = json.loads(ran.raw_err.splitlines()[-1])
    assert ran.code == error["exit_code"] == 10
    assert (error["kind"], error["facts"]["exit_code"]) == ("ConnectorError", 1)
    assert json.loads(ran.raw_out)["status"] == "failed"


def test_quarantined_rows_are_counted(job):
    ran = job.dativo("run", "small", "--set", "source.config.bad_row=2")

    assert ran.code == 0
    assert "people  append        3        2            1  new table\n" in ran.out


def test_progress_is_logged_away_from_a_terminal(job):
    slow = ("--set", "source.config.pause=0.2", "--log-every", "0.02", "--log-format", "json")

    lines = [json.loads(line) for line in job.dativo("run", "small", *slow).raw_err.splitlines()]

    events = [line for line in lines if line.get("event") == "progress"]
    assert {"time", "level", "message", "run_id", "phase", "streams"} <= events[-1].keys()
    assert "discovering" in {event["phase"] for event in events}


def test_what_the_connector_logs_is_shown_with_verbose(job):
    quiet = job.dativo("run", "small", "--set", "source.config.fails=true")
    verbose = job.dativo("run", "small", "--verbose", "--set", "source.config.fails=true")

    assert "<clock>" not in quiet.err
    assert "<clock> info    INFO working\n" in verbose.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(job, number):
    running = start_slow(job)
    tap = Path(job.folder, "pid").read_text()

    running.send_signal(number)
    out, err = running.communicate(timeout=30)

    assert running.returncode == 130
    assert b"\nstatus        interrupted\n" in out
    assert err.decode() == "\ninterrupted: stopping in order; a second signal stops at once\nerror: interrupted\n"
    assert not Path(f"/proc/{tap}").exists()


def test_a_second_signal_ends_it_at_once(job):
    running = start_slow(job, "source.config.stubborn=true")
    tap = Path("/proc", Path(job.folder, "pid").read_text())

    with running:
        running.send_signal(signal.SIGTERM)
        assert running.stderr.readline() + running.stderr.readline() == (
            b"\ninterrupted: stopping in order; a second signal stops at once\n"
        )
        running.send_signal(signal.SIGTERM)

    assert running.returncode == -signal.SIGTERM
    until(lambda: not tap.exists())


def test_a_run_of_the_same_job_is_refused(job):
    running = start_slow(job)
    try:
        second = job.dativo("run", "small", "--json")
    finally:
        running.kill()
        running.communicate()

    assert second.code == 75
    assert json.loads(second.raw_err)["facts"]["pid"] == running.pid


def test_a_run_waits_for_another(job):
    running = start_slow(job, "source.config.pause=0.3")

    second = job.dativo("run", "small", "--wait", "60")

    assert (running.wait(), second.code) == (0, 0)
    running.communicate()


def start_slow(job, *overrides):
    """A run whose tap has started and takes its time."""
    settings = [word for each in ("source.config.pause=30", "source.config.pid_file=pid", *overrides) for word in ("--set", each)]
    running = job.start("run", "small", *settings)
    pid = job.folder / "pid"
    until(lambda: running.poll() is not None or (pid.exists() and pid.read_text()))
    assert running.poll() is None
    return running


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
