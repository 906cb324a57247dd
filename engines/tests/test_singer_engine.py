"""spec, check and discover of taps of every kind, as real programs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dativo_engines import Connector, EngineOptions
from dativo_engines.singer import SingerEngine
from dativo_protocols import ConfigError, ConnectorError, StreamId

Script = Callable[..., str]

# Behaves as its configuration says, and notes each start.
TAP = """
import argparse, json, os, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--config", required=True)
parser.add_argument("--state")
parser.add_argument("--discover", action="store_true")
parser.add_argument("--catalog")
args = parser.parse_args()
config = json.load(open(args.config))
with open(os.path.dirname(__file__) + "/starts", "a") as log:
    log.write(json.dumps([sys.argv[1:], oct(os.stat(args.config).st_mode), os.path.abspath(args.config)]) + "\\n")
if args.discover:
    print("noise before", flush=True)
    entry = {"tap_stream_id": "t", "stream": "t", "schema": {"properties": {"id": {"type": "integer"}}}, "metadata": []}
    print(json.dumps({"streams": [entry]}, indent=1))
    print("noise after")
    sys.exit(config.get("discover_exit", 0))
if "die" in config:
    print("CRITICAL " + config["die"], file=sys.stderr)
    sys.exit(1)
streams = json.load(open(args.catalog))["streams"]
print("chatter")
for stream in streams:
    if stream["metadata"][0]["metadata"]["selected"]:
        print(json.dumps({"type": "SCHEMA", "stream": "t", "schema": stream["schema"], "key_properties": ["id"]}), flush=True)
        for number in range(config.get("records", 0)):
            print(json.dumps({"type": "RECORD", "stream": "t", "record": {"id": number}}), flush=True)
            time.sleep(config.get("pause", 0))
"""


def engine(program: str, tmp_path: Path, **options: Any) -> SingerEngine:
    made = EngineOptions(tmp_path / "cache", tmp_dir=tmp_path / "private", **options)
    return SingerEngine(Connector(f"singer:{program}", program), made)


def starts(tmp_path: Path) -> list[list[Any]]:
    return [json.loads(line) for line in (tmp_path / "starts").read_text().splitlines()]


def test_discover_ignores_noise(script: Script, tmp_path: Path) -> None:
    catalog = engine(script(TAP), tmp_path).discover({})
    assert [stream.id for stream in catalog.streams] == [StreamId("t")]
    assert list(catalog.streams[0].json_schema["properties"]) == ["id"]


def test_configuration_is_private_and_gone_afterwards(script: Script, tmp_path: Path) -> None:
    engine(script(TAP), tmp_path).discover({"password": "hidden"})
    [[arguments, mode, path]] = starts(tmp_path)
    assert mode == "0o100600"
    assert "hidden" not in " ".join(arguments)
    assert not os.path.exists(path)


def test_a_catalog_does_not_excuse_a_failure(script: Script, tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match="exit code 3"):
        engine(script(TAP), tmp_path).discover({"discover_exit": 3})


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (
            "import argparse; p = argparse.ArgumentParser(); p.add_argument('--config'); p.parse_args()",
            "does not know `--discover`",
        ),
        ("print('hello')", "holds no catalog"),
        ("pass", "it wrote nothing"),
        (
            'print(\'{"type": "SCHEMA", "stream": "s", "schema": {}}\', flush=True); import time; time.sleep(600)',
            "sent messages instead",
        ),
    ],
)
def test_a_tap_without_discovery_says_so(body: str, why: str, script: Script, tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match=why) as caught:
        engine(script(body), tmp_path).discover({})
    assert caught.value.facts["unsupported"] == "discover"


def test_check_ends_at_the_first_record_and_leaves_nothing(script: Script, tmp_path: Path) -> None:
    started = time.monotonic()
    status = engine(script(TAP), tmp_path).check({"records": 1000, "pause": 1})
    assert status.succeeded
    assert time.monotonic() - started < 8
    assert list((tmp_path / "private").glob("run-*")) == []


def test_check_succeeds_without_records(script: Script, tmp_path: Path) -> None:
    assert engine(script(TAP), tmp_path).check({}).succeeded


def test_failed_check_says_why_without_secrets(script: Script, tmp_path: Path) -> None:
    status = engine(script(TAP), tmp_path).check({"die": "login with hunter22 failed", "password": "hunter22"})
    assert not status.succeeded
    assert "login with *** failed" in status.message


def test_check_reads_a_tap_without_discovery(script: Script, tmp_path: Path) -> None:
    program = script('cat <<\'END\'\n{"type": "RECORD", "stream": "a", "record": {}}\nEND\n', interpreter="/bin/sh")
    assert engine(program, tmp_path).check({}).succeeded


def test_spec_comes_from_about(script: Script, tmp_path: Path) -> None:
    program = script(
        """
        import json, sys
        assert sys.argv[1:] == ["--about", "--format=json"]
        print("starting"); print(json.dumps({"name": "tap-x", "settings": {"type": "object", "required": ["key"]}}))
        """
    )
    spec = engine(program, tmp_path).spec()
    assert spec.config_schema == {"type": "object", "required": ["key"]}
    assert spec.raw["name"] == "tap-x"


def test_a_tap_without_about_has_an_empty_spec_that_says_so(script: Script, tmp_path: Path) -> None:
    spec = engine(script(TAP), tmp_path).spec()
    assert spec.config_schema == {}
    assert "no `--about`" in spec.raw["note"]


def test_a_hung_tap_is_ended(script: Script, tmp_path: Path) -> None:
    program = script("import time; time.sleep(600)")
    with pytest.raises(ConnectorError, match=r"said nothing for 0\.5 s") as caught:
        engine(program, tmp_path, stall_timeout_seconds=0.5).discover({})
    assert caught.value.retryable


def test_a_tap_that_logs_is_not_hung(script: Script, tmp_path: Path) -> None:
    program = script(
        """
        import sys, time
        for _ in range(12):
            print("waiting", file=sys.stderr, flush=True); time.sleep(0.2)
        print('{"streams": []}')
        """
    )
    assert engine(program, tmp_path, stall_timeout_seconds=1.5).discover({}).streams == ()


def test_a_missing_program_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no program `tap-nowhere` on PATH"):
        engine("tap-nowhere", tmp_path).check({})


def test_dates_from_yaml_become_text(script: Script, tmp_path: Path) -> None:
    import datetime

    program = script(
        """
        import json, sys
        print(json.dumps({"streams": [], "config": json.load(open(sys.argv[2]))}))
        """
    )
    catalog = engine(program, tmp_path).discover({"start": datetime.date(2020, 1, 2)})
    assert catalog.raw["config"] == {"start": "2020-01-02"}
