from __future__ import annotations

from pathlib import Path

import pytest
from dativo_protocols import ConfigError

from dativo._job import Job, load_job
from dativo._model import duration_seconds, size_bytes

JOB = """\
name: orders
source:
  connector: singer:tap-x
  config: {start: 2026-01-01, at: 12:30, country: no, half: 0.50, password: hunter22}
  streams:
    "*":
    orders: {mode: incremental}
target: {connector: duckdb}
"""


@pytest.fixture
def job(project: Path) -> Path:
    (project / "jobs").mkdir()
    path = project / "jobs" / "orders.yaml"
    path.write_text(JOB)
    return path


def error_of(text: str, job: Path, **options: object) -> ConfigError:
    job.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_job("orders", **options)  # type: ignore[arg-type]
    return caught.value


def test_a_job_is_found_by_name_and_by_path(job: Path) -> None:
    assert load_job("orders").job == load_job("jobs/orders.yaml").job == load_job(job).job


def test_dates_times_and_words_stay_text(job: Path) -> None:
    config = load_job("orders").source_config
    assert (config["start"], config["at"], config["country"], config["half"]) == ("2026-01-01", "12:30", "no", 0.5)


def test_an_unknown_job_names_its_neighbours(job: Path) -> None:
    with pytest.raises(ConfigError, match="there is no job `order`") as caught:
        load_job("order")
    assert caught.value.hint == "did you mean `orders`?"


def test_an_unknown_key_names_file_line_path_and_the_nearest_key(job: Path) -> None:
    error = error_of(JOB.replace("mode: incremental", "mod: incremental"), job)
    assert error.message == "jobs/orders.yaml:7: `source.streams.orders.mod`: unknown key"
    assert error.hint == "did you mean `mode`?"
    assert error.facts == {"file": "jobs/orders.yaml", "path": "source.streams.orders.mod", "line": 7}


def test_every_mistake_is_named(job: Path) -> None:
    error = error_of(JOB.replace("target: {connector: duckdb}", "target: {}\ncheckpoint: {rows: 0, bytes: many}"), job)
    assert error.message.splitlines() == [
        "jobs/orders.yaml:8: `target.connector`: missing",
        "jobs/orders.yaml:9: `checkpoint.rows`: input should be greater than 0",
        "jobs/orders.yaml:9: `checkpoint.bytes`: not a size: write bytes, or a number with a unit such as `128MB` or `1GiB`",
    ]


def test_a_wrong_word_lists_the_right_ones(job: Path) -> None:
    error = error_of(JOB + "on_bad_value: skip\n", job)
    assert error.message == "jobs/orders.yaml:9: `on_bad_value`: not one of `quarantine`, `null`, `fail`"


def test_null_is_a_choice_of_on_bad_value(job: Path) -> None:
    job.write_text(JOB + "on_bad_value: null\n")
    assert load_job("orders").job.on_bad_value == "null"


def test_a_key_given_twice_is_refused(job: Path) -> None:
    assert error_of(JOB + "name: again\n", job).message == "jobs/orders.yaml:9: `name`: given twice"


def test_broken_yaml_says_where(job: Path) -> None:
    assert error_of(JOB + "a: [", job).message.startswith("jobs/orders.yaml:9: not YAML")


def test_an_unknown_target_names_the_nearest(job: Path) -> None:
    error = error_of(JOB.replace("duckdb", "duckbd"), job)
    assert (error.message, error.hint) == (
        "jobs/orders.yaml:8: `target.connector`: there is no target `duckbd`",
        "did you mean `duckdb`?",
    )


def test_an_unknown_recipe_names_the_line(job: Path) -> None:
    error = error_of(JOB.replace("singer:tap-x", "tap-jsonll"), job)
    assert error.message == "jobs/orders.yaml:3: `source.connector`: there is no connector recipe `tap-jsonll`"
    assert error.hint == "did you mean `tap-jsonl` or `jsonl`?"


def test_variables_are_replaced_anywhere_and_masked(job: Path) -> None:
    job.write_text(JOB.replace("singer:tap-x", '"singer:${TAP:-tap-y}"').replace("hunter22", '"${PW}/$${PW}"'))
    found = load_job("orders", environment={"PW": "s3cret!"})
    assert found.connector.connector.executable == "tap-y"
    assert found.source_config["password"] == "s3cret!/${PW}"
    assert "s3cret!" in found.secrets


def test_a_variable_that_is_not_set_is_named(job: Path) -> None:
    error = error_of(JOB.replace("hunter22", '"${PW}"'), job, environment={})
    assert error.message == "jobs/orders.yaml:4: `source.config.password`: environment variable `PW` is not set"


def test_inspecting_needs_no_variables(job: Path) -> None:
    job.write_text(JOB.replace("hunter22", '"${PW}"'))
    assert load_job("orders", environment={}, purpose="inspect").key == ("default", "orders")


def test_secrets_are_masked_by_name_at_any_depth_and_in_urls(job: Path) -> None:
    extra = "auth: {api_key: abcd1234, primary_key: order_id}, url: 'pg://u:pa%40ss@h/d', pin_code: '12'"
    job.write_text(JOB.replace("half: 0.50", extra) + "secrets: [pin_code]\n")
    secrets = load_job("orders").secrets
    assert {"hunter22", "abcd1234", "pa%40ss", "pa@ss", "12"} <= set(secrets)
    assert "order_id" not in secrets


def test_secrets_are_in_no_representation(job: Path) -> None:
    assert "hunter22" not in repr(load_job("orders"))


def test_the_command_line_beats_job_tenant_and_recipe(job: Path, project: Path) -> None:
    (project / "connectors").mkdir()
    (project / "connectors" / "own.yaml").write_text(
        "name: own\nversion: '1'\ndefault_engine: singer\nengines: {singer: {executable: tap-own}}\n"
        "config: {a: recipe, b: recipe, c: recipe, d: recipe, deep: {x: 1, y: 1}}\n"
    )
    (project / "tenants").mkdir()
    (project / "tenants" / "acme.yaml").write_text("config: {own: {b: tenant, c: tenant, d: tenant, deep: {y: 2}}}\n")
    job.write_text("name: o\ntenant: acme\nsource: {connector: own, config: {c: job, d: job}}\ntarget: {connector: duckdb}\n")
    config = load_job("orders", overrides=["source.config.d=5"]).source_config
    assert config == {"a": "recipe", "b": "tenant", "c": "job", "d": 5, "deep": {"x": 1, "y": 2}}


def test_a_mistake_on_the_command_line_is_said_to_be_there(job: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--set target\.writ: `target\.writ`: unknown key"):
        load_job("orders", overrides=["target.writ=merge"])


def test_a_quoted_part_of_a_path_may_hold_dots(job: Path) -> None:
    found = load_job("orders", overrides=['source.streams."a.b".mode=full_refresh'])
    assert found.job.source.streams is not None
    assert found.job.source.streams["a.b"].mode == "full_refresh"


def test_an_executable_with_a_path_replaces_the_recipes_package(job: Path) -> None:
    job.write_text(JOB.replace("singer:tap-x", "tap-jsonl"))
    connector = load_job("orders", overrides=["source.executable=./bin/tap"]).connector.connector
    assert (connector.executable, connector.package) == ("./bin/tap", None)


@pytest.mark.parametrize(("text", "size"), [("128MB", 128_000_000), ("1GiB", 1 << 30), ("1.5kB", 1500), ("7", 7), (7, 7)])
def test_sizes(text: object, size: int) -> None:
    assert size_bytes(text) == size


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1.5h", 5400), ("250ms", 0.25), (3, 3)])
def test_durations(text: object, seconds: float) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["1 QB", "-1", "", None, True])
def test_no_sizes(text: object) -> None:
    with pytest.raises(ValueError, match="not a size"):
        size_bytes(text)


def test_defaults_are_those_of_the_documentation() -> None:
    job = Job.model_validate({"name": "x", "source": {"connector": "a"}, "target": {"connector": "b"}})
    assert (job.tenant, job.on_bad_value, job.nested, job.extra, job.memory) == (
        "default",
        "quarantine",
        "json",
        "keep",
        512 << 20,
    )
    assert (job.checkpoint.rows, job.checkpoint.bytes, job.checkpoint.seconds) == (1_000_000, 1 << 30, 60)
