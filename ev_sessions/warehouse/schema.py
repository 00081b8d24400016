"""The database's tables, made from the declarations in `ev_sessions.tables`, and the version of their shape."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import duckdb

from ev_sessions.tables import ALL_TABLES, Column, Table
from ev_sessions.warehouse.failures import DatabaseTooNew, NotOurDatabase
from ev_sessions.warehouse.scripts import transaction

# Raise it with every change of a table that is already in somebody's database, and add a migration.
SCHEMA_VERSION = 3

_SCHEMA_INFO = """
    CREATE TABLE raw.schema_info (version BIGINT NOT NULL, written_by VARCHAR NOT NULL, migrated_at TIMESTAMPTZ NOT NULL)
"""


def create_schema(connection: duckdb.DuckDBPyConnection) -> None:
    """Create every table in an empty database, in one transaction."""
    with transaction(connection):
        for schema in sorted({table.schema for table in ALL_TABLES}):
            connection.execute(f"CREATE SCHEMA {schema}")
        for table in ALL_TABLES:
            connection.execute(create_statement(table))
        create_schema_info(connection)


def create_schema_info(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the table by which a database is known as ours, and of which version."""
    connection.execute(_SCHEMA_INFO)
    record_version(connection, SCHEMA_VERSION)


def create_statement(table: Table) -> str:
    """The DDL of one table. Keys are kept by the writer and proved by checks; an index would cost memory and load time."""
    columns = ", ".join(_definition(column) for column in table.columns)
    return f"CREATE TABLE {table.full_name} ({columns})"


def record_version(connection: duckdb.DuckDBPyConnection, schema_version: int) -> None:
    """Write down that the database now has the shape `schema_version`."""
    connection.execute(
        "INSERT INTO raw.schema_info VALUES (?, ?, ?)",
        [schema_version, f"ev-sessions {version('ev-sessions')}", datetime.now(UTC)],
    )


def is_empty(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the database holds no table and no view at all."""
    return not _relations(connection)


def stored_version(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """The version of the schema that the database at `path` has.

    Raises:
        NotOurDatabase: it was not made by this program.
    """
    if ("raw", "schema_info") not in _relations(connection):
        raise NotOurDatabase(f"the database {path} holds tables that are not ours; set EV_SESSIONS_DATABASE to another path")
    row = connection.execute("SELECT max(version) FROM raw.schema_info").fetchone()
    if row is None or row[0] is None:
        raise NotOurDatabase(f"the database {path} does not say which schema it has; set EV_SESSIONS_DATABASE to another path")
    return int(row[0])


def require_not_newer(found: int, newest: int, path: Path) -> None:
    """Refuse a schema that is newer than the `newest` one known.

    Raises:
        DatabaseTooNew: it is.
    """
    if found > newest:
        raise DatabaseTooNew(
            f"the database {path} has schema {found}, this program knows {newest}; upgrade ev-sessions, "
            "or set EV_SESSIONS_DATABASE to another path"
        )


def _definition(column: Column) -> str:
    return f'"{column.name}" {column.type}{" NOT NULL" if column.required else ""}'


def _relations(connection: duckdb.DuckDBPyConnection) -> set[tuple[str, str]]:
    rows = connection.execute(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = current_database()"
    )
    return set(rows.fetchall())
