"""`dativo state`."""

from __future__ import annotations

import json
import os
import time

import pytest
from dativo_sdk import JobKey

from dativo._kept_config import KeptConfig
from dativo._paths import configs_dir, store_path
from dativo._report import Report
from dativo._store import Store

JOB = """\
name: orders
tenant: acme
source: {connector: "singer:tap", config: {token: "${NOT_SET}"}}
target: {connector: jsonl, config: {path: out}}
"""

EXACT = b'{"bookmarks": {"orders": {"at": 1.10, "id": 12345678901234567890123}}}\n'


@pytest.fixture
def job(project):
    project.write("jobs/orders.yaml", JOB)
    return project


def test_a_state_is_kept_byte_for_byte(job):
    put = job.dativo("state", "set", "orders", "-", given=EXACT)
    shown = job.dativo("state", "show", "jobs/orders.yaml")

    assert put.out == (
        "the next run of `acme/orders` starts from state 1: "
        '{"bookmarks": {"orders": {"at": 1.10, "id": 12345678901234567890123}}}\n'
    )
    assert shown.raw_out == EXACT


def test_json_keeps_its_numbers(job):
    job.dativo("state", "set", "orders", "-", given=EXACT)

    ran = job.dativo("state", "show", "orders", "--json")

    assert b'"state": ' + EXACT.strip() in ran.raw_out
    assert json.loads(ran.raw_out)["origin"] == "set"


def test_looking_leaves_nothing_behind(job):
    ran = job.dativo("state", "show", "orders")

    assert (ran.code, ran.err) == (20, "error: job `acme/orders` has no state yet\n")
    assert not (job.folder / ".dativo").exists()


def test_history_and_rollback(job):
    job.write("first.json", '{"n": 1}')
    job.dativo("state", "set", "orders", "first.json")
    job.dativo("state", "set", "orders", "-", given=b'{"n": 2}')

    back = job.dativo("state", "rollback", "orders")
    listed = job.dativo("state", "history", "orders")

    assert back.out == 'the next run of `acme/orders` starts from state 3: {"n": 1}\n'
    assert listed.out == (
        "number  time                 origin               run  state\n"
        '     3  YYYY-MM-DD HH:MM:SS  rollback (next run)  -    {"n": 1}\n'
        '     2  YYYY-MM-DD HH:MM:SS  set                  -    {"n": 2}\n'
        '     1  YYYY-MM-DD HH:MM:SS  set                  -    {"n": 1}\n'
    )


def test_clear(job):
    job.dativo("state", "set", "orders", "-", given=b"{}")

    cleared = job.dativo("state", "clear", "orders")
    shown = job.dativo("state", "show", "orders")

    assert cleared.out == "the next run of `acme/orders` starts without a state\n"
    assert (shown.code, shown.err) == (20, "error: job `acme/orders` has no state: it was cleared at YYYY-MM-DD HH:MM:SS\n")
    assert json.loads(job.dativo("state", "show", "orders", "--json").out)["state"] is None


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (b"{", "the state is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (
            b"[1]",
            "the state is neither a JSON object nor an array of objects\n"
            'hint: a Singer state is an object, such as `{"bookmarks": {}}`, and an Airbyte state an array of them',
        ),
    ],
)
def test_what_is_no_state_is_refused(job, given, error):
    ran = job.dativo("state", "set", "orders", "-", given=given)

    assert ran.code == 2
    assert ran.err == f"error: {error}\n"


def test_a_state_file_that_is_not_there(job):
    ran = job.dativo("state", "set", "orders", "nowhere.json")

    assert (ran.code, ran.err) == (2, "error: cannot read state file `nowhere.json`: No such file or directory\n")


def test_a_job_whose_file_is_gone_is_found_in_the_store(job):
    job.dativo("state", "set", "orders", "-", given=b"{}")
    (job.folder / "jobs/orders.yaml").unlink()

    assert job.dativo("state", "show", "orders").out == "{}"
    assert job.dativo("state", "show", "acme/orders").out == "{}"


def test_a_name_that_two_tenants_use_is_refused(job):
    job.dativo("state", "set", "orders", "-", given=b"{}")
    job.write("jobs/orders.yaml", JOB.replace("acme", "beta"))
    job.dativo("state", "set", "orders", "-", given=b"{}")
    (job.folder / "jobs/orders.yaml").unlink()

    ran = job.dativo("state", "show", "orders")

    assert ran.code == 2
    assert ran.err == (
        "error: more than one job is named `orders`: `acme/orders`, `beta/orders`\nhint: write it as `tenant/job`\n"
    )


def test_a_running_job_keeps_its_state(job):
    with Store(store_path(job.folder)) as store:
        store.begin_run(Report(run_id="r1", tenant="acme", job="orders", started=time.time()))

    ran = job.dativo("state", "clear", "orders")

    assert ran.code == 75
    assert ran.err == (
        f"error: job `acme/orders` is running: run `r1`, process {os.getpid()}\n"
        "hint: its next checkpoint would replace the state; wait for it, or stop it\n"
    )


def test_what_the_connector_changed_is_listed_and_forgotten(project):
    kept = KeptConfig(configs_dir(project.folder), JobKey("acme", "orders"))
    kept.keep({"token": "old-secret"}, {"token": "new-secret", "more": 1}, "run-1")
    with Store(store_path(project.folder)) as store:
        store.set(JobKey("acme", "orders"), b"{}")

    listed = project.dativo("state", "config", "acme/orders")
    forgotten = project.dativo("state", "config", "acme/orders", "--clear")
    again = project.dativo("state", "config", "acme/orders", "--json")

    assert [line.split()[0] for line in listed.out.splitlines()[1:]] == ["token", "more"]
    assert "secret" not in listed.out
    assert forgotten.out == "the next run of `acme/orders` uses the job's own configuration\n"
    assert again.raw_out.decode() == '{"tenant": "acme", "job": "orders", "changed": null}\n'
