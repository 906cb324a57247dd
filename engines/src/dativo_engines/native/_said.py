"""What a reader says of itself, as its program would: described in one place, wherever it runs."""

from __future__ import annotations

from tempfile import TemporaryFile
from typing import TypeVar

from dativo_protocols import Catalog, ConnectionStatus, ConnectorError, Spec

Answer = TypeVar("Answer", Spec, ConnectionStatus, Catalog)


def heard(kind: type[Answer], lines: bytes) -> Answer:
    """The message of that kind among lines that a program said, or would have said.

    Raises:
        ConnectorError: There is none.
    """
    from dativo_protocols import AirbyteDecoder

    with TemporaryFile() as file:
        file.write(lines)
        file.seek(0)
        found = [message for message in AirbyteDecoder(file.fileno(), threads=1) if isinstance(message, kind)]
    if not found:
        raise ConnectorError("the reader describes itself in a way that cannot be read")
    return found[-1]
