"""The Airbyte sources of the suite: unmodified, from the package index, each in an environment of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.airbyte import api

FAKER = "airbyte:airbyte-source-faker==7.2.1"
FILE = "airbyte:airbyte-source-file==0.5.39"
SMOKE_TEST = "airbyte:airbyte-source-smoke-test==0.1.2"
MANIFEST = Path(__file__).with_name("things.yaml")

THINGS = """\
id,name,price,flag
1,plain,1.10,true
2,"a ""quoted"", one
of two lines",,false
3,東京,1e3,
"""


@dataclass(frozen=True)
class Source:
    """One source.

    Attributes:
        reference: As a job names it.
        config, wrong: A configuration that works, and one that does not.
        keys: The streams it offers, with the primary key of each.
        rows: How many rows streams have.
        settings: Names of properties that `spec` must list.
        incremental: The stream that is read incrementally, or None.
        resumed: How many of its rows come again when it goes on from the state of its end.
        namespace: Of all its streams.
    """

    reference: str
    config: dict[str, Any]
    wrong: dict[str, Any]
    keys: dict[str, tuple[str, ...]]
    rows: dict[str, int]
    settings: tuple[str, ...]
    incremental: str | None = None
    resumed: int = 0
    namespace: str | None = None


@contextmanager
def faker(folder: Path) -> Iterator[Source]:
    """Users, products and purchases; once `count` of them are there, it sends no more."""
    config = {"count": 30, "seed": 1, "records_per_slice": 10, "parallelism": 1, "always_updated": False}
    keys = dict.fromkeys(("users", "products", "purchases"), ("id",))
    rows = {"users": 30, "products": 30}
    yield Source(FAKER, config, {"count": -1}, keys, rows, ("count", "seed", "always_updated"), incremental="users")


@contextmanager
def file(folder: Path) -> Iterator[Source]:
    """A CSV file: keys in random order, booleans in a column of strings, `"namespace": null`."""
    path = folder / "things.csv"
    path.write_text(THINGS)
    config = {"dataset_name": "things", "format": "csv", "url": str(path), "provider": {"storage": "local"}}
    wrong = config | {"url": str(folder / "none.csv")}
    yield Source(FILE, config, wrong, {"things": ()}, {"things": 3}, ("dataset_name", "format", "url"))


@contextmanager
def manifest(folder: Path) -> Iterator[Source]:
    """A low-code source of an API on this machine."""
    with api.serving() as served:
        wrong = served.config | {"api_key": "wr0ng-key"}
        keys = {"things": ("id",), "changes": ("id",)}
        rows = {"things": 8, "changes": 12}
        settings = ("url", "api_key")
        # The day of the cursor comes again: resume is inclusive.
        yield Source(f"airbyte:{MANIFEST}", served.config, wrong, keys, rows, settings, incremental="changes", resumed=1)


@contextmanager
def smoke_test(folder: Path) -> Iterator[Source]:
    """PyAirbyte's scenarios, all of them, in a namespace: one has no rows, one no key, one has many rows."""
    without_key = ("schema_with_no_primary_key",)
    keys = {name: () if name in without_key else ("id",) for name in SCENARIOS}
    wrong = {"all_fast_streams": False, "all_slow_streams": False}
    every = {"all_fast_streams": True, "all_slow_streams": True, "large_batch_record_count": 5000, "namespace": "smoke"}
    yield Source(SMOKE_TEST, every, wrong, keys, SCENARIOS, ("all_fast_streams", "scenario_filter"), namespace="smoke")


SCENARIOS = {
    "basic_types": 3, "timestamp_types": 3, "large_decimals_and_numbers": 3, "nested_json_objects": 2, "null_handling": 3,
    "column_naming_edge_cases": 1, "table_naming_edge_cases": 1, "CamelCaseStreamName": 1, "wide_table_50_columns": 2,
    "empty_stream": 0, "single_record_stream": 1, "unicode_and_special_strings": 4, "schema_with_no_primary_key": 3,
    "long_column_names": 1, "duplicate_primary_keys": 6, "time_types": 3, "union_types": 3, "array_of_primitives": 3,
    "large_string_values": 2, "sparse_records": 7, "special_number_values": 7, "large_batch_stream": 5000,
}  # fmt: skip

SOURCES = {"faker": faker, "file": file, "manifest": manifest, "smoke-test": smoke_test}


def parameters(*names: str) -> list[object]:
    """These sources, or all; those of one package stay on one worker, so that a cold cache is filled once."""
    return [
        pytest.param(SOURCES[name], id=name, marks=[pytest.mark.network, pytest.mark.xdist_group(f"airbyte-{name}")])
        for name in names or SOURCES
    ]
