from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from dativo_protocols import StateError
from dativo_sdk import JobKey

from dativo._kept_config import KeptConfig

JOB = {"client": "c", "auth": {"secret": "s", "refresh": "r1"}, "start": "2026"}
NEW = {"client": "c", "auth": {"secret": "s", "refresh": "r2", "access": "a2"}, "start": "2026"}


@pytest.fixture
def kept(tmp_path: Path) -> KeptConfig:
    return KeptConfig(tmp_path / ".dativo" / "configs", JobKey("acme", "orders"))


def auth(**values: Any) -> dict[str, Any]:
    return {**JOB, "auth": {**JOB["auth"], **values}}  # type: ignore[dict-item]


def test_what_the_connector_changed_is_laid_over_the_jobs_configuration(kept: KeptConfig) -> None:
    assert kept.over(JOB) == JOB
    kept.keep(JOB, NEW, "r1")
    assert kept.over(JOB) == NEW
    assert kept.over({**JOB, "start": "2027", "more": 1}) == {**NEW, "start": "2027", "more": 1}


def test_a_key_that_the_job_has_changed_since_is_the_jobs(kept: KeptConfig) -> None:
    kept.keep(JOB, {**NEW, "client": "d"}, "r1")
    assert kept.over({**JOB, "client": "e"}) == {**NEW, "client": "e"}


def test_what_was_added_beside_a_key_goes_when_the_job_changes_that_key(kept: KeptConfig) -> None:
    """An access token belongs to the refresh token that it was got with."""
    kept.keep(JOB, NEW, "r1")
    assert kept.over(auth(refresh="r9")) == auth(refresh="r9")
    assert kept.over(auth(secret="t"))["auth"] == {"secret": "t", "refresh": "r2", "access": "a2"}


def test_a_key_that_the_connector_removed_is_removed(kept: KeptConfig) -> None:
    kept.keep(JOB, {"client": "c", "auth": JOB["auth"]}, "r1")
    assert kept.over(JOB) == {"client": "c", "auth": JOB["auth"]}
    assert kept.over({**JOB, "start": "2027"})["start"] == "2027"


def test_a_mapping_that_became_something_else_is_the_jobs(kept: KeptConfig) -> None:
    kept.keep(JOB, NEW, "r1")
    assert kept.over({**JOB, "auth": "key"}) == {**JOB, "auth": "key"}


def test_the_newest_change_is_the_one_that_counts(kept: KeptConfig) -> None:
    kept.keep(JOB, NEW, "r1")
    kept.keep(JOB, auth(refresh="r3"), "r2")
    assert kept.over(JOB) == auth(refresh="r3")
    assert len(list(kept.path.parent.iterdir())) == 1


def test_nobody_else_can_read_it_and_no_secret_of_the_job_is_in_it(kept: KeptConfig) -> None:
    kept.keep(JOB, NEW, "r1")
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.path.parent.stat().st_mode) == 0o700
    text = kept.path.read_text()
    assert ("r2" in text, '"r1"' in text.replace('"run_id": "r1"', "")) == (True, False)


def test_it_can_be_listed_without_values_and_forgotten(kept: KeptConfig) -> None:
    assert (kept.about(), kept.clear()) == (None, False)
    kept.keep(JOB, NEW, "r1")
    about = kept.about()
    assert about is not None
    assert (about.keys, about.run_id) == (["auth.refresh", "auth.access"], "r1")
    assert kept.clear()
    assert kept.over(JOB) == JOB


def test_a_damaged_file_says_how_to_go_on(kept: KeptConfig) -> None:
    kept.keep(JOB, NEW, "r1")
    for damaged in ("{", "[]", "{}"):
        kept.path.write_text(damaged)
        with pytest.raises(StateError, match="cannot read") as caught:
            kept.over(JOB)
        assert "dativo state config acme/orders --clear" in str(caught.value.hint)


def test_a_full_disk_leaves_the_file_before(kept: KeptConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.keep(JOB, NEW, "r1")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StateError, match="No space left"):
        kept.keep(JOB, auth(refresh="r3"), "r2")
    assert kept.over(JOB) == NEW
    assert len(list(kept.path.parent.iterdir())) == 1
