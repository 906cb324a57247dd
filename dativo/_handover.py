"""Which state a run starts from, and what of it the connector gets."""

from __future__ import annotations

from collections.abc import Callable, Collection

from dativo_protocols import StreamId
from dativo_sdk import JobKey, Writer

from dativo._bookmarks import (
    bookmark_names,
    entry_streams,
    finished_full_refresh,
    is_array,
    without_entries,
    without_streams,
)
from dativo._job import Job
from dativo._json_text import remove_members
from dativo._selection import ReadPlan, StreamRules
from dativo._store import Store

__all__ = ["handed_over", "replaced_streams", "starting_state"]

EMPTY = b"{}"


def starting_state(
    store: Store, key: JobKey, writer: Writer, committed: bytes | None, log: Callable[[str, str], None]
) -> bytes | None:
    """The state that the run starts from, after making target and store agree on it.

    The target's committed state wins, also when there is none: a new target must get every row. Only what a person put into the
    store since the last commit beats it, and exactly once: it is committed to the target first, with no rows, and noted as
    applied after that. A run killed between the two does it again, to the same effect; one killed later finds it in the target.
    A cleared state is committed as `{}`, since a commit without a state keeps the one before.

    Args:
        committed: What `writer.initialize` returned.
    """
    newest = store.current(key)
    if newest is not None and newest.pending:
        state = EMPTY if newest.state is None else newest.state
        log("info", f"starting from state {newest.seq}, as put by `{newest.origin}`")
        store.check()
        writer.commit(state)
        store.applied(key, newest.seq)
        return state
    known = EMPTY if newest is not None and newest.origin == "clear" else newest.state if newest is not None else None
    if committed is None:
        if known is not None:
            log("warning", "the target holds no state of this job: starting from the beginning")
    elif committed != known:
        # The run that committed it was killed before it could note it.
        store.record(key, committed, None)
    return committed


def replaced_streams(job: Job, rules: StreamRules, plan: ReadPlan, can: Collection[str]) -> frozenset[StreamId]:
    """Streams that are overwritten although nobody says so: read in full each time, they would be there twice.

    Those are streams for which the job has no write mode, and which have no key by which the target could merge them.

    Args:
        can: The target's write modes.
    """
    if "overwrite" not in can or job.target.write is not None:
        return frozenset()
    merged = "merge" in can
    unsaid = {stream for stream in plan.whole if (config := rules.find(stream)) is not None and config.write is None}
    return frozenset(stream for stream in unsaid if not (plan.whole[stream] and merged))


def handed_over(
    state: bytes | None, job: Job, rules: StreamRules, plan: ReadPlan, replaced: Collection[StreamId] = ()
) -> bytes | None:
    """The part of the state for the connector, or None to start it without one.

    Left out are the bookmarks of streams written with `overwrite`, which are read from their beginning, and those that only say
    that a full refresh is finished: of Singer taps where the job asks for full refreshes, of Airbyte sources always. Streams that
    the job does not read keep theirs, and every other byte is as it was committed.

    Args:
        replaced: As `replaced_streams` says.

    Raises:
        ConfigError: See `without_streams`.
        StateError: The state is not JSON.
    """
    if state is None or state.strip() in (EMPTY, b"[]"):
        return None
    if is_array(state):
        return _array_handed_over(state, job, rules, plan, replaced)
    overwritten, refreshed, others = set[str](), set[str](), 0
    for stream, names in _streams(state, rules, plan).items():
        config = rules.find(stream)
        if config is None:
            continue
        if stream in replaced or _starts_over(stream, job, rules):
            overwritten |= names
        else:
            others += 1
            if config.mode == "full_refresh":
                refreshed |= names
    if plan.catalog is None:
        # Streams that have no bookmark yet, and that nobody has discovered, are known from the job alone.
        configs = (
            [job.target.write] if rules.streams is None else [one.write or job.target.write for one in rules.streams.values()]
        )
        if all(write == "overwrite" for write in configs):
            return None
        if any(write == "overwrite" for write in configs):
            others += 1
            overwritten |= {name for name in rules.names() if _starts_over(StreamId(name), job, rules)}
    known = {name for names in plan.bookmarks.values() for name in names}
    left = without_streams(state, overwritten, all_streams=not others, known=known)
    if left is None:
        return None
    return remove_members(left, [("bookmarks", name) for name in finished_full_refresh(left, refreshed)])


def _array_handed_over(
    state: bytes, job: Job, rules: StreamRules, plan: ReadPlan, replaced: Collection[StreamId]
) -> bytes | None:
    in_state = entry_streams(state)
    read = list(plan.catalog.selected) if plan.catalog is not None else in_state
    starting_over = {stream for stream in {*read, *in_state} if stream in replaced or _starts_over(stream, job, rules)}
    return without_entries(state, starting_over, all_streams=starting_over.issuperset(read))


def _starts_over(stream: StreamId, job: Job, rules: StreamRules) -> bool:
    config = rules.find(stream)
    return config is not None and (config.write or job.target.write) == "overwrite"


def _streams(state: bytes, rules: StreamRules, plan: ReadPlan) -> dict[StreamId, frozenset[str]]:
    if plan.catalog is not None:
        return {stream: plan.bookmarks[stream] for stream in plan.catalog.selected}
    return {StreamId(name): frozenset([name]) for name in bookmark_names(state)}
