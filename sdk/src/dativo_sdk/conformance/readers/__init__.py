"""What every reader must do, in any language. A module of this package is one subject, as beside it for writers."""

from dativo_sdk.conformance.readers import configuration, lifecycle, partitions, program, reading, schemas, states  # noqa: F401
from dativo_sdk.conformance.readers._bench import ReaderBench
from dativo_sdk.conformance.readers._case import ReaderCase
from dativo_sdk.conformance.readers._check import READER_CHECKS, ReaderCheck, reader_check, run_reader_check

__all__ = ["READER_CHECKS", "ReaderBench", "ReaderCase", "ReaderCheck", "reader_check", "run_reader_check"]
