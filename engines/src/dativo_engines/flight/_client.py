"""A connection to a Flight server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dativo_protocols import ConfigError, ConnectorError, frozen
from dativo_sdk.flight.wire import dumped, error_from_json

if TYPE_CHECKING:
    import pyarrow as pa

TOKEN = "DATIVO_FLIGHT_TOKEN"
CERTIFICATES = "DATIVO_FLIGHT_CERTIFICATES"
"""Keys of the connector's environment: what it says to the server, and the file of certificates by which a server is known."""

ANSWER_SECONDS = 60.0


# As OpenSSL words it, wherever gRPC puts that.
_UNTRUSTED = re.compile(r"certificate verify failed: ([^.;:]+)|(?i:hostname verification check failed)")


class LostError(ConnectorError):
    """The connection is lost, or there was none: another one may bring what this one did not."""


@frozen
class Received:
    """A batch and what the server says of it."""

    data: pa.RecordBatch
    about: Mapping[str, Any]


class FlightClient:
    """Connects when it is first asked something.

    Args:
        location: `grpc+unix:///path`, `grpc://host:port` or `grpc+tls://host:port`.
        environment: Of the connector.

    Raises:
        ConfigError: The certificates cannot be read.
    """

    def __init__(self, location: str, environment: Mapping[str, str]) -> None:
        from pyarrow import flight

        self._location = location
        options: dict[str, Any] = {}
        if CERTIFICATES in environment:
            try:
                options["tls_root_certs"] = Path(environment[CERTIFICATES]).read_bytes()
            except OSError as error:
                raise ConfigError(f"cannot read the certificates `{environment[CERTIFICATES]}`: {error.strerror}") from None
        token = environment.get(TOKEN)
        self._headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        self._client = flight.FlightClient(location, **options)

    def ask(self, action: str, body: Mapping[str, Any] | None = None, seconds: float | None = ANSWER_SECONDS) -> bytes:
        """What the server answers to an action.

        Args:
            action: Its name.
            body: Goes as JSON.
            seconds: How long it may take; None waits for ever.

        Raises:
            LostError: It cannot be reached.
            DativoError: It says that it failed.
        """
        from pyarrow import flight

        options = flight.FlightCallOptions(timeout=seconds, headers=self._headers)
        with _failures(self._location, seconds):
            request = flight.Action(action, dumped(body or {}))
            answer = b"".join(result.body.to_pybytes() for result in self._client.do_action(request, options))
        raised(answer)
        return answer

    def get(self, ticket: str) -> Iterator[Received]:
        """The batches of one ticket, as they come; leaving the iteration early cancels the call.

        Raises:
            LostError: The connection is lost.
        """
        from pyarrow import flight

        reader = None
        try:
            with _failures(self._location):
                reader = self._client.do_get(flight.Ticket(ticket.encode()), flight.FlightCallOptions(headers=self._headers))
            while True:
                with _failures(self._location):
                    try:
                        chunk = reader.read_chunk()
                    except StopIteration:
                        return
                metadata = chunk.app_metadata
                about = {} if metadata is None else json.loads(metadata.to_pybytes())
                yield Received(chunk.data, about)
        finally:
            if reader is not None:
                reader.cancel()

    def put(self, about: Mapping[str, Any], data: Any, seconds: float | None = None) -> None:
        """Hands a batch over, and waits until the server has taken it.

        Raises:
            LostError: The connection is lost.
        """
        import pyarrow as pa
        from pyarrow import flight

        batch = pa.record_batch(data)
        descriptor = flight.FlightDescriptor.for_command(dumped(about))
        with _failures(self._location, seconds):
            options = flight.FlightCallOptions(timeout=seconds, headers=self._headers)
            writer, _ = self._client.do_put(descriptor, batch.schema, options)
            writer.write_batch(batch)
            writer.close()

    def close(self) -> None:
        """Ends the connection. May be called twice."""
        self._client.close()

    def __enter__(self) -> FlightClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def raised(answer: bytes) -> None:
    """Raises the error that an answer is, if it is one."""
    if answer.startswith(b'{"error"'):
        raise error_from_json(json.loads(answer)["error"])


class _failures:
    """A context in which Flight's errors are Dativo's."""

    def __init__(self, location: str, seconds: float | None = None) -> None:
        self._location = location
        self._seconds = seconds

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        from pyarrow import ArrowException, flight

        if isinstance(error, (flight.FlightUnauthenticatedError, flight.FlightUnauthorizedError)):
            raise ConfigError(
                f"the server at `{self._location}` refuses the token", hint=f"set `{TOKEN}` in the source's `environment`"
            ) from error
        if isinstance(error, flight.FlightTimedOutError) and self._seconds is not None:
            raise LostError(
                f"the server at `{self._location}` said nothing for {self._seconds:g} s",
                hint="does it hang? Where it may need longer, raise `source.timeouts.stall_seconds`",
                retryable=True,
            ) from error
        if isinstance(error, (ArrowException, OSError)):
            # Servers word their errors as they like: the first line says what it is.
            text = (str(error).splitlines() or [type(error).__name__])[0][:500]
            refused = _UNTRUSTED.search(text)
            if refused is not None:
                reason = (refused[1] or "it is of another host").strip()
                trouble = "has expired" if "expired" in reason else f"is not trusted: {reason}"
                raise ConfigError(
                    f"the server at `{self._location}`: its certificate {trouble}",
                    hint=f"set `{CERTIFICATES}` in `environment` to the file of the certificates that it is known by",
                ) from error
            raise LostError(
                f"the server at `{self._location}` cannot be reached, or broke off: {text}",
                hint="is it running, and is this where it listens?",
                retryable=True,
            ) from error
