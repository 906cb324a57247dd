"""Connectors that are servers: Arrow Flight, over a Unix socket or TCP."""

from dativo_engines.flight._engine import FlightEngine
from dativo_engines.flight._writer import open_flight_writer

__all__ = ["FlightEngine", "open_flight_writer"]
