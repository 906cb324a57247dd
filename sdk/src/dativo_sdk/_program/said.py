"""What a program would say, without one."""

from __future__ import annotations

from collections.abc import Callable

from dativo_sdk._program.airbyte import AirbyteVoice
from dativo_sdk._program.output import Output


class _Lines(Output):
    """Memory in the place of stdout."""

    def __init__(self) -> None:
        self.data = bytearray()

    def line(self, data: bytes) -> None:
        self.data += data


def said(say: Callable[[AirbyteVoice], None]) -> bytes:
    """The lines.

    Args:
        say: Says them; no rows.
    """
    output = _Lines()
    say(AirbyteVoice(output, arrow=True))
    return bytes(output.data)
