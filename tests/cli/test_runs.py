"""`dativo runs`."""

from __future__ import annotations

import json

import pytest
from dativo_protocols import ConnectorError
from dativo_sdk import JobKey

from dativo._paths import store_path
from dativo._report import AttemptReport, ChangeReport, Report, StreamReport
from dativo._store import Store


@pytest.fixture
def history(project):
    """Two runs: one that failed, and before it one that did not."""
    good = Report(run_id="first-aaaa", tenant="acme", job="orders", started=1_795_000_000.0, state_after=b'{"n": 1}')
    bad = Report(run_id="second-bbb", tenant="acme", job="orders", started=1_795_003_600.0)
    with Store(store_path(project.folder)) as store:
        store.begin_run(good)
        store.record(JobKey("acme", "orders"), b'{"n": 1}', good.run_id)
        changes = [ChangeReport("table", None, None, None), ChangeReport("column", "age", None, "int64")]
        good.streams = [
            StreamReport("people", "merge", rows_in=1500, written=1498, quarantined=2, changes=changes),
            StreamReport("pets", "append", rows_in=7, written=7),
        ]
        good.status, good.ended, good.commits = "succeeded", good.started + 75, 2
        store.finish_run(good)
        store.begin_run(bad)
        bad.status, bad.exit_code, bad.ended = "failed", 10, bad.started + 3
        bad.error = ConnectorError("`tap` was killed", hint="look at its log")
        store.finish_run(bad)
    return project


def test_nothing_has_run(project):
    ran = project.dativo("runs")

    assert (ran.code, ran.raw_out.decode(), ran.err) == (0, "", "nothing has run in this project yet\n")
    assert not (project.folder / ".dativo").exists()


def test_the_newest_comes_first(history):
    ran = history.dativo("runs")

    assert ran.raw_out.decode() == (
        "run         job          started              status             time  rows in  written  quarantined\n"
        "second-bbb  acme/orders  2026-11-18 12:06:40  failed (10)       3.0 s        0        0            0\n"
        "first-aaaa  acme/orders  2026-11-18 11:06:40  succeeded    1 min 15 s    1,507    1,505            2\n"
    )


def test_a_job_and_a_limit(history):
    listed = json.loads(history.dativo("runs", "acme/orders", "--limit", "1", "--json").out)

    assert [run["run_id"] for run in listed["runs"]] == ["second-bbb"]


def test_one_run_by_the_start_of_its_id(history):
    ran = history.dativo("runs", "show", "first")

    assert ran.raw_out.decode() == (
        "run           first-aaaa\n"
        "job           acme/orders\n"
        "status        succeeded\n"
        "started       2026-11-18 11:06:40\n"
        "time          1 min 15 s\n"
        "commits       2\n"
        "state before  none\n"
        'state after   {"n": 1}\n'
        "\n"
        "stream  write   rows in  written  quarantined  schema changes\n"
        "people  merge     1,500    1,498            2  new table, + age int64\n"
        "pets    append        7        7            0\n"
        "total             1,507    1,505            2\n"
    )


def test_every_attempt_says_what_it_did_and_why_it_failed(history):
    away = AttemptReport(1, seconds=4.0, streams=[StreamReport("pets", rows_in=5, written=3, staged=2)])
    away.error = ConnectorError("the service is away\nfor long", retryable=True)
    again = AttemptReport(2, waited=12.0, seconds=61.0, streams=[StreamReport("pets", rows_in=4, written=3, quarantined=1)])
    report = Report(run_id="third", tenant="acme", job="orders", started=1_795_007_200.0, attempts=[away, again])
    report.sum_up()
    report.status, report.ended = "succeeded", report.started + 77
    with Store(store_path(history.folder)) as store:
        store.begin_run(report)
        store.finish_run(report)

    shown = history.dativo("runs", "show", "third").raw_out.decode()

    assert "\nstatus        succeeded (2 attempts)\n" in shown
    assert "\nattempt 1     4.0 s, 3 rows written, 2 rolled back; then the service is away\n" in shown
    assert "\nattempt 2     after 12 s, 1 min 01 s, 3 rows written, 1 quarantined\n" in shown
    assert shown.splitlines()[-1].split() == ["pets", "7", "6", "1"]


def test_a_status_other_than_complete_is_shown(history):
    report = Report(run_id="third", tenant="acme", job="orders", started=1_795_007_200.0)
    report.streams = [StreamReport("pets", status="COMPLETE"), StreamReport("people", status="INCOMPLETE")]
    with Store(store_path(history.folder)) as store:
        store.begin_run(report)
        store.finish_run(report)

    lines = history.dativo("runs", "show", "third").raw_out.decode().splitlines()

    assert lines[-4].endswith("the connector says")
    assert [line.split()[-1] for line in lines[-3:-1]] == ["COMPLETE", "INCOMPLETE"]


def test_a_very_long_name_leaves_room_for_the_figures(history):
    report = Report(run_id="third", tenant="acme", job="orders", started=1_795_007_200.0)
    report.streams = [StreamReport("x" * 300, "append", rows_in=3, written=3), StreamReport("pets", "append")]
    with Store(store_path(history.folder)) as store:
        store.begin_run(report)
        store.finish_run(report)

    lines = history.dativo("runs", "show", "third").raw_out.decode().splitlines()

    assert lines[-3].split()[0] == "x" * 30 + "…" + "x" * 29
    assert max(len(line) for line in lines[-4:]) < 120


def test_a_failed_run_shows_its_error(history):
    ran = history.dativo("runs", "show", "second")

    assert ran.raw_out.decode().endswith("error         `tap` was killed\nhint          look at its log\n")


def test_a_run_as_json_has_its_states(history):
    shown = json.loads(history.dativo("runs", "show", "first", "--json").out)

    assert (shown["state_before"], shown["state_after"]) == (None, {"n": 1})


def test_two_runs_begin_so(history):
    with Store(store_path(history.folder)) as store:
        store.begin_run(Report(run_id="first-zzzz", tenant="acme", job="orders", started=1_795_007_200.0))

    ran = history.dativo("runs", "show", "first")

    assert ran.code == 2
    assert ran.err == "error: more than one run begins with `first`\nhint: the newest are: `first-zzzz`, `first-aaaa`\n"


def test_no_run_begins_so(history):
    ran = history.dativo("runs", "show", "third")

    assert ran.code == 2
    assert ran.err == "error: there is no run `third`\nhint: `dativo runs` lists them\n"
