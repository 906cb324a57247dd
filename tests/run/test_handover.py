from __future__ import annotations

from typing import Any

import pytest
from dativo_protocols import Catalog, CatalogStream, ConfigError, StreamId

from dativo._document import Document
from dativo._handover import handed_over
from dativo._job import Job
from dativo._selection import StreamRules, plan_read

STATE = b'{"bookmarks":{"db-orders":{"v":1.10},"users":{"initial_full_table_complete":true}}}'
CATALOG = Catalog(
    (
        CatalogStream(StreamId("orders"), {}, raw={"tap_stream_id": "db-orders"}),
        CatalogStream(StreamId("users"), {}, raw={"tap_stream_id": "users"}),
    )
)


def handed(
    streams: dict[str, Any] | None, *, state: bytes = STATE, catalog: Catalog | None = CATALOG, **target: Any
) -> bytes | None:
    source = {"connector": "c", "streams": streams}
    job = Job.model_validate({"name": "x", "source": source, "target": {"connector": "t", **target}})
    rules = StreamRules(job.source.streams)
    return handed_over(state, job, rules, plan_read(rules, catalog, Document("job", {})))


def test_unchanged_where_nothing_starts_over() -> None:
    assert handed(None) == STATE


def test_the_name_of_a_bookmark_may_be_the_taps_own() -> None:
    assert handed({"*": {}, "orders": {"write": "overwrite"}}) == (
        b'{"bookmarks":{"users":{"initial_full_table_complete":true}}}'
    )


def test_a_finished_full_refresh_is_not_handed_back() -> None:
    assert handed({"*": {}, "users": {"mode": "full_refresh"}}) == b'{"bookmarks":{"db-orders":{"v":1.10}}}'


@pytest.mark.parametrize("catalog", [CATALOG, None])
def test_no_state_where_everything_is_overwritten(catalog: Catalog | None) -> None:
    assert handed(None, catalog=catalog, write="overwrite") is None
    assert handed({"*": {"write": "overwrite"}}, catalog=catalog, state=b'{"any":1}') is None


def test_a_state_of_another_form_is_refused_where_modes_are_mixed() -> None:
    mixed = {"*": {}, "users": {"write": "overwrite"}}
    for catalog in (CATALOG, None):
        with pytest.raises(ConfigError, match="does not say what belongs to which stream"):
            handed(mixed, catalog=catalog, state=b'{"since": 1}')


def test_without_a_catalog_the_names_of_the_job_count() -> None:
    assert handed({"*": {}, "users": {"write": "overwrite"}}, catalog=None) == b'{"bookmarks":{"db-orders":{"v":1.10}}}'
