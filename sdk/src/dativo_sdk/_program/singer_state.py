"""A reader's states as a tap's: `{"bookmarks": {STREAM: STATE}, "shared": STATE}`, each state with its own bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dativo_protocols import CatalogStream, ConfigError

from dativo_sdk._json_members import members
from dativo_sdk._program.inputs import read_text
from dativo_sdk._saved_state import SavedState


def bookmarks(saved: SavedState) -> bytes:
    """The state that a STATE message holds."""
    from dativo_sdk._program.singer import singer_name

    said = [b"%b:%b" % (json.dumps(singer_name(stream)).encode(), data) for stream, data in saved.streams.items()]
    shared = b"" if saved.shared is None else b',"shared":%b' % saved.shared
    return (b'{"bookmarks":{%b}%b}' % (b",".join(said), shared)).replace(b"\n", b" ")


def read_bookmarks(file: str | None, streams: Sequence[CatalogStream]) -> SavedState | None:
    """What a tap's state file says of these streams; None where it says nothing.

    Raises:
        ConfigError: It is no state.
    """
    from dativo_sdk._program.singer import singer_name

    text = "" if file is None else read_text(file, "state")
    if not text.strip():
        return None
    known = {singer_name(stream.id): stream.id for stream in streams}
    try:
        top = dict(members(text.strip().removeprefix("[")))
        found = {known[name]: data.encode() for name, data in members(top.get("bookmarks", "{}")) if name in known}
    except ValueError:
        raise ConfigError(
            f"state file `{file}` is no state of a tap", hint='it looks like `{"bookmarks": {"stream": {…}}}`'
        ) from None
    shared = top.get("shared")
    state = SavedState(found, None if shared is None else shared.encode())
    return state if state != SavedState() else None
