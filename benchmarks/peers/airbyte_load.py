"""PyAirbyte loads what an Airbyte source says into DuckDB: `airbyte_load.py SOURCE_PROGRAM OUT_FOLDER`."""

import os
import sys
from pathlib import Path

os.environ |= {"AIRBYTE_OFFLINE_MODE": "1", "DO_NOT_TRACK": "1"}

import airbyte

program, folder = Path(sys.argv[1]), Path(sys.argv[2])
source = airbyte.get_source(program.name, config={}, local_executable=program, streams="*")
cache = airbyte.caches.DuckDBCache(db_path=folder / "airbyte.duckdb")
source.read(cache=cache, force_full_refresh=True)
