"""Which tables we may write to: those without features that a writer has to take care of and we do not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from dativo_protocols.errors import TargetError
from deltalake import DeltaTable

from dativo.targets.delta._types import has_local_times

__all__ = ["check_protocol", "upgraded"]

_KNOWN = {"appendOnly", "invariants", "timestampNtz", "checkConstraints", "changeDataFeed", "generatedColumns"}
_IMPLIED = {2: ["appendOnly", "invariants"], 3: ["checkConstraints"], 4: ["changeDataFeed", "generatedColumns"]}


def check_protocol(delta: DeltaTable, table: str) -> None:
    """Refuses tables whose features we would break.

    Raises:
        TargetError: Names the feature.
    """
    protocol = delta.protocol()
    configuration = delta.metadata().configuration
    schema = delta.schema().to_json()
    problem = None
    unknown = {*(protocol.writer_features or ()), *(protocol.reader_features or ())} - _KNOWN
    if protocol.min_writer_version in (5, 6) or unknown:
        problem = ", ".join(f"`{name}`" for name in sorted(unknown)) or f"writer version {protocol.min_writer_version}"
    elif configuration.get("delta.enableChangeDataFeed", "").lower() == "true":
        problem = "a change data feed"
    elif any(key.startswith("delta.constraints.") for key in configuration) or "delta.invariants" in schema:
        problem = "constraints"
    elif "delta.generationExpression" in schema:
        problem = "generated columns"
    if problem is not None:
        raise TargetError(
            f"Delta table `{table}` has {problem}: Dativo cannot write to it",
            hint="load into another table, or drop the feature",
            facts={"table": table, "problem": problem},
        )


def upgraded(delta: DeltaTable | None, schema: pa.Schema) -> Mapping[str, Any] | None:
    """The protocol that the table needs for a stored schema, or None when it has it already."""
    local = has_local_times(schema)
    if delta is None:
        if not local:
            return {"minReaderVersion": 1, "minWriterVersion": 2}
        features = ["timestampNtz"]
        return {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}
    protocol = delta.protocol()
    if not local or "timestampNtz" in (protocol.writer_features or ()):
        return None
    readers, writers = list(protocol.reader_features or ()), list(protocol.writer_features or ())
    for version in range(2, protocol.min_writer_version + 1 if protocol.min_writer_version < 7 else 2):
        writers += _IMPLIED.get(version, [])
    both = {"readerFeatures": [*readers, "timestampNtz"], "writerFeatures": [*writers, "timestampNtz"]}
    return {"minReaderVersion": 3, "minWriterVersion": 7, **both}


def fields_of(delta: DeltaTable) -> list[dict[str, Any]]:
    """The table's columns in Delta's JSON."""
    fields: list[dict[str, Any]] = json.loads(delta.schema().to_json())["fields"]
    return fields
