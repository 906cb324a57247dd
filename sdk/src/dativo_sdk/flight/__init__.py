"""A reader or a writer as a server that goes on running: Arrow Flight, over a Unix socket or TCP, with TLS and a token.

Needs pyarrow.

From the command line: `python -m dativo_sdk.flight TARGET LOCATION`, where `TARGET` is as in `dativo_sdk.program`. The token is
in the environment variable `DATIVO_FLIGHT_TOKEN`; `--certificate FILE --key FILE` are those of TLS.
"""

from dativo_sdk.flight._server import FlightServer, serve

__all__ = ["FlightServer", "serve"]
