"""The contracts of a run's streams, between the decoder and the writer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from dativo_protocols import ArrowSchemaExportable, Batch, Rejects, StreamId
from dativo_sdk import Naming

from dativo._job import ContractConfig, ResolvedJob, StreamConfig
from dativo._names import adopt

if TYPE_CHECKING:
    import pyarrow as pa

    from dativo.contracts._enforcer import Enforcer
    from dativo.contracts._odcs import Contract

__all__ = ["Gate", "Tables", "job_contract"]


class Tables(Protocol):
    """What is asked about the tables that there are: of a writer, or of one that was looked at."""

    def get_schema(self, stream: StreamId) -> ArrowSchemaExportable | None: ...


class Gate:
    """Holds each stream to its contract; streams that may change as they like pass untouched.

    Args:
        contract: The file that the job names, or None.
        tables: Asked for a stream's table as it is.
        report: Called with a line for what is only reported.
    """

    def __init__(
        self,
        config: ContractConfig,
        contract: Contract | None,
        tables: Tables,
        report: Callable[[str], None],
    ) -> None:
        self._config = config
        self._contract = contract
        self._tables = tables
        self._report = report
        self._enforcers: dict[StreamId, Enforcer | None] = {}

    def primary_key(self, stream: StreamId) -> tuple[str, ...]:
        """As the contract file says; empty where it does not."""
        terms = None if self._contract is None else self._contract.of(stream)
        return () if terms is None else terms.primary_key

    def announce(self, stream: StreamId, config: StreamConfig, schema: pa.Schema) -> pa.Schema:
        """The schema that the writer is to be told.

        Raises:
            ContractError: The stream breaks its contract.
        """
        if stream not in self._enforcers:
            self._enforcers[stream] = self._enforcer(stream, config, schema)
        enforcer = self._enforcers[stream]
        return schema if enforcer is None else enforcer.announce(schema)

    def take(self, batch: Batch) -> tuple[Batch, Rejects | None]:
        """The rows to write, and those for the quarantine.

        Raises:
            ContractError: The stream breaks its contract.
        """
        enforcer = self._enforcers.get(batch.stream)
        if enforcer is None:
            return batch, None
        import pyarrow as pa

        taken = enforcer.take(pa.record_batch(batch.data))
        left = Batch(batch.stream, taken.batch, taken.batch.num_rows, batch.nbytes)
        if taken.rejects is None:
            return left, None
        return left, Rejects(batch.stream, taken.rejects, taken.rejects.num_rows)

    def finish(self) -> None:
        """Before the last commit: looks at what all rows together must be.

        Raises:
            ContractError: A stream breaks its contract.
        """
        for enforcer in self._enforcers.values():
            if enforcer is not None:
                enforcer.finish()

    def _enforcer(self, stream: StreamId, config: StreamConfig, schema: pa.Schema) -> Enforcer | None:
        terms = None if self._contract is None else self._contract.of(stream)
        mode = config.contract or self._config.mode or ("evolve" if terms is None else "freeze")
        if terms is None and mode == "evolve":
            return None
        import pyarrow as pa

        from dativo.contracts._enforcer import Enforcer

        table = self._tables.get_schema(stream)
        expected = None
        if table is not None:
            columns = pa.schema(table)
            kept = self._tables.column_names(stream) if isinstance(self._tables, Naming) else {}
            names = adopt(schema.names, "column", columns.names, kept)
            original = {column: name for name, column in names.items()}
            expected = pa.schema([field.with_name(original.get(field.name, field.name)) for field in columns])
        warns = self._config.enforce == "warn"
        return Enforcer(stream, mode, expected, terms, warns=warns and terms is not None, report=self._report)


def job_contract(job: ResolvedJob, log: Callable[[str, str], None]) -> Contract | None:
    """The contract file that a job names; what of it cannot be checked is logged.

    Raises:
        ConfigError: It cannot be read.
    """
    file = job.job.contract.file
    if file is None:
        return None
    from dativo.contracts._odcs import read_contract

    contract = read_contract(job.project / file, file)
    for line in contract.unchecked:
        log("info", f"`{file}`: {line}")
    return contract
