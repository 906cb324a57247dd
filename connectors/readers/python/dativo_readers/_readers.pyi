"""The readers in Rust (`connectors/readers/python`, over the crates `dativo-readers` and `dativo-sdk`)."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, type_check_only

from dativo_protocols import Batch, Catalog, ConnectionStatus, Estimate, Rejects, State
from dativo_sdk import Partition, ReadCatalog, SavedState

__all__ = ["Csv", "JsonLines", "Parquet", "Postgres"]

@type_check_only
class _Reader:
    """A `dativo_sdk.Reader`. No method holds the GIL while the reader works; batches are handed over without a copy."""

    name: ClassVar[str]
    version: ClassVar[str]
    __api_version__: ClassVar[str]
    modes: ClassVar[tuple[Literal["full_refresh", "incremental"], ...]]
    config_schema: ClassVar[dict[str, Any]]
    """The JSON Schema of its settings."""
    releases_gil: ClassVar[bool]

    def initialize(
        self, config: Mapping[str, Any] | bytes, catalog: ReadCatalog | None = None, state: SavedState | None = None
    ) -> None:
        """Opens the source.

        Args:
            config: The settings, or JSON of them.
            catalog: What to read; None reads everything.
            state: To go on from.

        Raises:
            ConfigError: A setting is wrong, or no file or table is as they say.
            ConnectorError: The source cannot be reached.
        """

    def get_schema(self) -> Catalog:
        """The streams; `CatalogStream.data` is their exact Arrow schema."""

    def read_batch(self, max_rows: int) -> Batch | Rejects | None:
        """The next rows, or None at the end.

        Raises:
            ConnectorError: The source cannot be read on.
            ContractError: A value does not fit, and the settings say that this is to fail.
        """

    def get_incremental_state(self) -> State | None:
        """The state that covers all that was given so far, where one does."""

    def close(self) -> None:
        """Ends its threads and connections. May be called twice, also without `initialize`."""

    def check(self) -> ConnectionStatus:
        """Whether everything that the settings name can be read."""

    def partitions(self, count: int, target_bytes: int) -> Sequence[Partition]:
        """Parts that together are all there is to read; none to read it whole."""

    def estimates(self) -> Sequence[Estimate]:
        """About how much there is to read."""

    @classmethod
    def main(cls, argv: Sequence[str] | None = None) -> int:
        """Runs it as a program, and gives the exit code; for the main thread, as it sets what SIGINT does."""

class Csv(_Reader):
    """CSV files."""

class JsonLines(_Reader):
    """JSON lines."""

class Parquet(_Reader):
    """Parquet files."""

class Postgres(_Reader):
    """Tables, views and queries of a PostgreSQL database."""
