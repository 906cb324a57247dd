from __future__ import annotations

from typing import Any

import pytest
from dativo_protocols import Catalog, CatalogStream, ConfigError, StreamId

from dativo._document import Document
from dativo._handover import handed_over, replaced_streams
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


ORDERS, USERS, GONE = (
    f'{{"type": "STREAM", "stream": {{"stream_descriptor": {{"name": "{name}"}}, "stream_state": {{"at": 1.10}}}}}}'
    for name in ("orders", "users", "gone")
)
FINISHED = ORDERS.replace('{"at": 1.10}', '{"__ab_full_refresh_sync_complete": true}')
MIXED = {"*": {}, "users": {"write": "overwrite"}}


def array(*entries: str) -> bytes:
    return f" [ {' , '.join(entries)} ]\n".encode()


def test_entries_of_overwritten_streams_are_left_out_and_all_others_stay() -> None:
    assert handed(MIXED, state=array(ORDERS, USERS, GONE)) == array(ORDERS, GONE)
    assert handed(MIXED, state=array(USERS, ORDERS)) == array(ORDERS)
    assert handed(None, state=array(ORDERS, USERS, GONE)) == array(ORDERS, USERS, GONE)


def test_streams_that_the_job_no_longer_reads_keep_their_state() -> None:
    assert handed({"users": {"write": "overwrite"}}, state=array(ORDERS, USERS, GONE)) == array(ORDERS, GONE)


@pytest.mark.parametrize("marker", ["__ab_full_refresh_sync_complete", "__ab_no_cursor_state_message"])
def test_a_source_is_not_told_that_its_full_refresh_is_finished(marker: str) -> None:
    finished = FINISHED.replace("__ab_full_refresh_sync_complete", marker)
    assert handed(None, state=array(finished, USERS)) == array(USERS)
    assert handed(None, state=array(finished)) is None


def test_a_full_refresh_in_the_middle_goes_on() -> None:
    page = ORDERS.replace('"at"', '"next_page_token"')
    assert handed({"*": {"mode": "full_refresh"}}, state=array(page)) == array(page)


def test_one_name_in_two_namespaces_is_two_streams() -> None:
    catalog = Catalog((CatalogStream(StreamId("orders", "a"), {}), CatalogStream(StreamId("orders", "b"), {})))
    a, b = (ORDERS.replace('"orders"', f'"orders", "namespace": "{name}"') for name in "ab")
    streams = {"*": {}, "a.orders": {"write": "overwrite"}}
    assert handed(streams, state=array(a, b), catalog=catalog) == array(b)


def cdc(*streams: str, shared: str = '{"lsn": 1.50}') -> str:
    states = ", ".join(
        f'{{"stream_descriptor": {{"name": "{name}", "namespace": null}}, "stream_state": {{}}}}' for name in streams
    )
    return f'{{"type": "GLOBAL", "global": {{"shared_state": {shared}, "stream_states": [{states}]}}}}'


def test_what_streams_share_stays_while_one_of_them_goes_on() -> None:
    assert handed(MIXED, state=array(cdc("orders", "users"))) == array(cdc("orders"))
    assert handed(MIXED, state=array(cdc("users"))) == array(cdc())
    assert handed(MIXED, state=array(cdc("users", shared="null"))) is None


def test_what_streams_share_goes_with_the_last_of_them() -> None:
    assert handed({"*": {"write": "overwrite"}}, state=array(cdc("orders", "users"))) is None
    assert handed({"orders": {"write": "overwrite"}}, state=array(cdc("orders"), GONE)) == array(GONE)


def test_a_bare_state_by_stream_names_is_told_apart() -> None:
    state = b'{"orders": {"at": 1.10}, "users": {"at": 2}}'
    assert handed(MIXED, state=state) == b'{"orders": {"at": 1.10}}'
    assert handed(None, state=state) == state


def replaced(streams: dict[str, Any] | None, *can: str, **target: Any) -> set[str]:
    source = {"connector": "c", "streams": streams}
    job = Job.model_validate({"name": "x", "source": source, "target": {"connector": "t", **target}})
    rules = StreamRules(job.source.streams)
    keyed = CatalogStream(StreamId("keyed"), {}, ("id",))
    plan = plan_read(rules, Catalog((*CATALOG.streams, keyed)), Document("job", {}))
    return {stream.name for stream in replaced_streams(job, rules, plan, can)}


def test_a_full_refresh_that_nobody_can_merge_is_overwritten() -> None:
    full = {"*": {"mode": "full_refresh"}, "users": {}}
    assert replaced(full, "append", "overwrite", "merge") == {"orders"}
    assert replaced(full, "append", "overwrite") == {"orders", "keyed"}


def test_what_the_job_says_is_written_so() -> None:
    assert replaced({"*": {"mode": "full_refresh", "write": "append"}}, "append", "overwrite") == set()
    assert replaced({"*": {"mode": "full_refresh"}}, "append", "overwrite", write="append") == set()
    assert replaced({"*": {"mode": "full_refresh"}}, "append") == set()


def test_an_empty_state_is_none() -> None:
    assert handed(None, state=b"{}") is handed(None, state=b"[]") is None
