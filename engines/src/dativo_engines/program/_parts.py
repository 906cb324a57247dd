"""One process that reads one part after the other."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from dativo_protocols import ConnectorError, Message, StreamId, StreamStatus

from dativo_engines._engine import Connector, EngineOptions
from dativo_engines._running import Running
from dativo_engines._runtime import InputRuntime, TakingInput
from dativo_engines.airbyte._reading import AirbyteReading
from dativo_engines.airbyte._selection import ConfiguredCatalog

ON_STDIN = ("--partition", "-")


class PartsReading(AirbyteReading):
    """What a program of Dativo's SDK says of the parts that it is asked for; used by one thread at a time.

    It starts once for all of them.

    Args:
        config, catalog, state: What each part is read with.
    """

    resumes = False

    def __init__(
        self,
        connector: Connector,
        options: EngineOptions,
        *,
        config: Mapping[str, Any],
        catalog: ConfiguredCatalog,
        state: bytes | None,
    ) -> None:
        # No rows wait for states, which parts have none of: the end of a part would not come behind them.
        whole = json.loads(catalog.whole)
        for entry in whole["streams"]:
            entry["sync_mode"] = "full_refresh"
        catalog = replace(catalog, whole=json.dumps(whole).encode())
        super().__init__(connector, options, "read", config=config, catalog=catalog, state=state)
        self._streams = frozenset(catalog.streams)
        self._messages: Iterator[Message] | None = None

    def start(self, arguments: Sequence[str], files: Mapping[str, bytes], stop_timeout_seconds: float | None) -> Running:
        """With a pipe to its stdin."""
        self.rest()
        runtime = cast(InputRuntime, self.session.runtime)
        return runtime.start([*arguments, *ON_STDIN], files, stop_timeout_seconds=stop_timeout_seconds, takes_input=True)

    def part(self, token: bytes) -> Iterator[Message]:
        """The messages of one part; the next part can be asked for once they have all been taken.

        Raises:
            ConnectorError: The program failed, or ended before the part did.
        """
        if self._messages is None:
            self._messages = iter(self)
        self.asked()
        self._ask(token)
        complete: set[StreamId] = set()
        for message in self._messages:
            if isinstance(message, StreamStatus):
                (complete.add if message.status == "COMPLETE" else complete.discard)(message.stream)
                if complete >= self._streams:
                    self.rest()
                    return
            else:
                yield message
        raise ConnectorError(f"`{self.session.name}` ended before it had read a part", again=True)

    def finish(self) -> None:
        """Tells the program that there are no more parts; it may take its time to end."""
        cast(TakingInput, self.process).close_input()

    def _ask(self, token: bytes) -> None:
        line = b64encode(token) + b"\n"
        try:
            while line:
                line = line[os.write(cast(TakingInput, self.process).stdin, line) :]
        except BrokenPipeError:
            # It has ended: why, its messages say.
            return
