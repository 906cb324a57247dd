"""What somebody may have meant who named something that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggestion(name: str, known: Iterable[str], what: str) -> str:
    """A hint: the names that are close, else all there are.

    Args:
        what: They are, in the plural.
    """
    names = list(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    shown = ", ".join(f"`{text}`" for text in (close or names[:20]))
    return f"did you mean {shown}" if close else f"the {what} are {shown}" if shown else f"the connector offers no {what}"
