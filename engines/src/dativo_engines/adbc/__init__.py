"""Any database that has an ADBC driver, as a reader of its tables and of queries."""

from dativo_engines.adbc._engine import AdbcEngine
from dativo_engines.adbc._reader import AdbcReader

__all__ = ["AdbcEngine", "AdbcReader"]
