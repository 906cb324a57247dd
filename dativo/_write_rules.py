"""How each stream is written: what the job says, over what the source and the contract say."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import field

from dativo_protocols import Schema, StreamId, frozen
from dativo_protocols.errors import ConfigError
from dativo_sdk import ConfiguredStream, WriteMode

from dativo._job import Job, StreamConfig

__all__ = ["DELETE_MARKS", "WriteRules"]

DELETE_MARKS = ("_ab_cdc_deleted_at", "_sdc_deleted_at", "_deleted")
"""Properties by which sources mark deleted rows, unless the job names another."""


@frozen
class WriteRules:
    """A job's rules for one run.

    Attributes:
        can: The target's write modes.
        replaced: Streams to overwrite where the job does not say.
        versions: Whether the target can remove rows of older versions.
    """

    job: Job
    can: Collection[str]
    replaced: Collection[StreamId] = field(default=())
    versions: bool = True

    def configure(self, message: Schema, config: StreamConfig, promised_key: tuple[str, ...] = ()) -> ConfiguredStream:
        """How the stream that a `Schema` announces is written.

        Args:
            promised_key: The key that a contract names; the source's own beats it, and the job's both.

        Raises:
            ConfigError: It cannot be written so.
        """
        import pyarrow as pa

        stream, names = message.stream, pa.schema(message.data).names
        said = message.primary_key or promised_key
        key = said if config.primary_key is None else tuple(config.primary_key)
        mode = self._mode(stream, config, key)
        cursor = config.cursor or (message.cursor[0] if len(message.cursor) == 1 else None)
        mark = config.delete_mark or next((mark for mark in DELETE_MARKS if mark in names), None)
        deletes = config.deletes or self.job.target.deletes
        if deletes == "hard" and mark is not None and mode in ("append", "append_dedup"):
            raise ConfigError(
                f"stream `{stream}`: rows marked by `{mark}` cannot be removed from a table that is written with `{mode}`",
                hint="use `write: merge` or `scd2`, or `deletes: soft`",
                facts={"stream": str(stream)},
            )
        if deletes == "hard" and not self.versions and mode not in ("overwrite", "merge", "scd2"):
            raise ConfigError(
                f"stream `{stream}`: target `{self.job.target.connector}` cannot remove rows from a table that is written with"
                f" `{mode}`",
                hint="use `deletes: ignore`, `write: overwrite`, or a target with tables, such as `duckdb`",
                facts={"stream": str(stream)},
            )
        return ConfiguredStream(stream, mode, key, cursor=cursor if cursor in names else None, deletes=deletes, delete_mark=mark)

    def _mode(self, stream: StreamId, config: StreamConfig, key: tuple[str, ...]) -> WriteMode:
        facts = {"stream": str(stream)}
        usual: WriteMode = "merge" if key and "merge" in self.can else "append"
        mode = config.write or self.job.target.write or ("overwrite" if stream in self.replaced else usual)
        if mode in ("merge", "scd2") and not key:
            raise ConfigError(
                f"stream `{stream}` cannot be written with `{mode}`: it has no key",
                hint=f"name one with `source.streams.{stream}.primary_key`, or write it with `append` or `overwrite`",
                facts=facts,
            )
        if mode not in self.can:
            can = ", ".join(f"`{each}`" for each in sorted(self.can))
            raise ConfigError(
                f"stream `{stream}`: target `{self.job.target.connector}` cannot `{mode}`", hint=f"it can: {can}", facts=facts
            )
        return mode
