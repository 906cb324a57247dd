"""The target `postgres`: tables in a PostgreSQL database. What it keeps there, and how a commit works: `docs/postgres.md`."""

from dativo.targets.postgres._writer import PostgresWriter

__all__ = ["PostgresWriter"]
