"""What of a committed state is handed to the connector, cut out of its exact text.

A Singer state is an object whose `bookmarks` say what belongs to which stream. Airbyte's is an array of states: one for each
stream, or a global one with what is shared and what belongs to each stream; of an old source, an object of its own making.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dativo_protocols import StreamId
from dativo_protocols.errors import ConfigError

from dativo._json_text import items, members, parse, remove_items, remove_members

__all__ = ["bookmark_names", "entry_streams", "finished_full_refresh", "is_array", "without_entries", "without_streams"]

DONE = ("initial_full_table_complete", "__ab_full_refresh_sync_complete", "__ab_no_cursor_state_message")
IDLE = ("version", "xmin")


def is_array(state: bytes) -> bool:
    """Whether this is an array of states, as Airbyte sources take it."""
    return state.lstrip(b" \t\r\n").startswith(b"[")


def without_streams(state: bytes, streams: Collection[str], *, all_streams: bool, known: Collection[str] = ()) -> bytes | None:
    """The state without the bookmarks of some streams; None when nothing is left to hand over.

    Removed are `bookmarks.<stream>`, and `currently_syncing` where it names one of them; every other byte stays. In a state
    without `bookmarks` whose members are all named like streams, these members are the bookmarks.

    Args:
        streams: Names under which bookmarks may stand.
        all_streams: These are all streams of the job.
        known: Names of all streams that the connector offers.

    Raises:
        ConfigError: The state has another form, so that nobody can say what belongs to which stream.
        StateError: The state is not JSON.
    """
    if not streams:
        return state
    if all_streams:
        return None
    parsed = parse(state)
    if isinstance(parsed, dict) and parsed and parsed.keys() <= set(known):
        return remove_members(state, [(stream,) for stream in streams if stream in parsed])
    bookmarks = parsed.get("bookmarks", {}) if isinstance(parsed, dict) else None
    if not isinstance(bookmarks, dict) or not ("bookmarks" in parsed or parsed.keys() <= {"currently_syncing"}):
        raise ConfigError(
            "the connector's state does not say what belongs to which stream, so streams written with `overwrite` cannot be"
            " read from the start while others go on",
            hint="split the job: one for the streams to overwrite, one for the others",
        )
    removed: list[tuple[str, ...]] = [("bookmarks", stream) for stream in streams if stream in bookmarks]
    if parsed.get("currently_syncing") in streams:
        removed.append(("currently_syncing",))
    return remove_members(state, removed)


def bookmark_names(state: bytes) -> list[str]:
    """The names of `bookmarks`, none where the state has no such object."""
    parsed = parse(state)
    bookmarks = parsed.get("bookmarks") if isinstance(parsed, dict) else None
    return list(bookmarks) if isinstance(bookmarks, dict) else []


def finished_full_refresh(state: bytes, streams: Collection[str]) -> list[str]:
    """Those of the streams whose bookmark says that a full refresh is finished, and nothing else.

    Handed back, such a bookmark makes some connectors send nothing.
    """
    parsed = parse(state)
    bookmarks = parsed.get("bookmarks") if isinstance(parsed, dict) else None
    if not isinstance(bookmarks, dict):
        return []
    return [stream for stream in streams if _is_finished(bookmarks.get(stream))]


def without_entries(state: bytes, streams: Collection[StreamId], *, all_streams: bool) -> bytes | None:
    """An array of states without what belongs to some streams, and without finished full refreshes; None when it is empty then.

    What a global state shares between streams stays, as does every byte of the other entries.

    Args:
        all_streams: These are all streams of the job, so that nobody needs a global state.

    Raises:
        StateError: The state is not JSON.
    """
    parse(state)
    text = state.decode("utf-8", "surrogateescape")
    start = text.index("[")
    if all_streams:
        text = remove_items(text, start, lambda entry: "global" in _mapping(entry))

    def unwanted(entry: Any) -> bool:
        return _stream(entry) in streams or _is_finished(_mapping(entry).get("stream_state"))

    for entry in reversed(items(text, start)):
        for part in members(text, entry.value):
            if part.key == "global":
                for inner in reversed([each for each in members(text, part.value) if each.key == "stream_states"]):
                    text = remove_items(text, inner.value, unwanted)
    text = remove_items(text, start, lambda entry: unwanted(_mapping(entry).get("stream")) or _says_nothing(entry))
    return text.encode("utf-8", "surrogateescape") if items(text, start) else None


def entry_streams(state: bytes) -> list[StreamId]:
    """The streams that an array of states knows.

    Raises:
        StateError: The state is not JSON.
    """
    found: list[StreamId] = []
    for entry in parse(state):
        states = _mapping(_mapping(entry).get("global")).get("stream_states")
        for each in (_mapping(entry).get("stream"), *(states if isinstance(states, list) else ())):
            stream = _stream(each)
            if stream is not None:
                found.append(stream)
    return found


def _says_nothing(entry: Any) -> bool:
    """A global state that shares nothing and has no stream left."""
    shared = _mapping(entry).get("global")
    return isinstance(shared, Mapping) and not shared.get("shared_state") and not shared.get("stream_states")


def _stream(state: Any) -> StreamId | None:
    descriptor = _mapping(_mapping(state).get("stream_descriptor"))
    name, namespace = descriptor.get("name"), descriptor.get("namespace")
    return StreamId(name, namespace if isinstance(namespace, str) else None) if isinstance(name, str) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_finished(bookmark: Any) -> bool:
    if not isinstance(bookmark, dict) or not any(bookmark.get(marker) is True for marker in DONE):
        return False
    return all(key in DONE or key in IDLE or value is None for key, value in bookmark.items())
