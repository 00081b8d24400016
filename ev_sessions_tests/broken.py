"""What damages a history of Dagster, as two programs did that made it at once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_AN_OLDER_VERSION = "5771160a95ad"


def stamp_once_more(path: Path) -> None:
    """Give the file of a history a second version."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO alembic_version VALUES (?)", [_AN_OLDER_VERSION])
