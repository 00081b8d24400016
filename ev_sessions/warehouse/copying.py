"""Copies an open database into a new file: for backups, and before a migration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from ev_sessions.errors import PermanentError, TransientError
from ev_sessions.warehouse.files import made_aside, put_in_place
from ev_sessions.warehouse.scripts import frugally

_COPY = "ev_sessions_copy"
_MEGABYTES = 256


class TargetExists(PermanentError):
    """There is a file already where one was to be written."""


class CopyIncomplete(TransientError):
    """A copy does not hold what the original holds."""


def copy_into(connection: duckdb.DuckDBPyConnection, target: Path) -> None:
    """Copy the database of `connection`, as it is committed, compactly into the new file `target`, and count it over.

    Raises:
        TargetExists: there is such a file; it stays as it is.
        CopyIncomplete: a table of the copy has another number of rows; there is no `target` then.
    """
    if target.exists():
        raise TargetExists(f"{target} exists already; name a file that does not")
    with made_aside(target) as made:
        frugally(connection, _MEGABYTES, lambda: _copy(connection, made, target))
        try:
            put_in_place(made, target)
        except FileExistsError:
            raise TargetExists(f"{target} exists already; name a file that does not") from None


def _copy(connection: duckdb.DuckDBPyConnection, made: Path, target: Path) -> None:
    # What an earlier try left behind.
    made.unlink(missing_ok=True)
    path = str(made).replace("'", "''")
    connection.execute(f"ATTACH '{path}' AS {_COPY} (READ_WRITE)")
    try:
        connection.execute(f'COPY FROM DATABASE "{current_database(connection)}" TO {_COPY}')
        require_same_rows(row_counts(connection, current_database(connection)), row_counts(connection, _COPY), target)
    finally:
        connection.execute(f"DETACH {_COPY}")


def current_database(connection: duckdb.DuckDBPyConnection) -> str:
    """DuckDB's name for the database of `connection`."""
    (name,) = connection.execute("SELECT current_database()").fetchall()[0]
    return str(name)


def row_counts(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, int]:
    """The number of rows of every table (`schema.name`) of the attached `database`."""
    tables = connection.execute("SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = ?", [database])
    return {
        f"{schema}.{table}": len(connection.table(f'"{database}"."{schema}"."{table}"')) for schema, table in tables.fetchall()
    }


def require_same_rows(original: Mapping[str, int], copied: Mapping[str, int], target: Path) -> None:
    """Refuse the copy `target` unless it has the tables of the original, each with as many rows.

    Raises:
        CopyIncomplete: it has not.
    """
    wrong = sorted(table for table in original.keys() | copied.keys() if original.get(table) != copied.get(table))
    if wrong:
        raise CopyIncomplete(f"the copy {target} was not kept: {', '.join(wrong)} differ from the original; copy it again")
