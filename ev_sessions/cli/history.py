"""Dagster's history on SQLite, written without waiting for the disk after every event.

Dagster opens its files anew for each of the hundreds of events of a run, and each time SQLite waits twice until the disk has
everything: when it commits, and when the last connection closes, which empties the write-ahead log. That was half of the
time of a run of 30 days. What is given up: a power failure may take the last events of the history with it. A killed process
loses none of them, the files stay whole, and sessions are not in them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event
from sqlalchemy.engine import Engine


@contextmanager
def unhurried_commits() -> Iterator[None]:
    """While inside, connections that Dagster opens commit without waiting, and none of them is the last one to close.

    A history that was moved to another database is left alone.
    """
    spare: dict[str, sqlite3.Connection] = {}

    def ease(connection: object, _: object) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        connection.execute("PRAGMA synchronous = NORMAL")
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        if path not in spare:
            spare[path] = sqlite3.connect(path, check_same_thread=False)
        # A connection counts from its first look at the log, which a new file does not have yet.
        spare[path].execute("SELECT count(*) FROM sqlite_master").fetchall()

    event.listen(Engine, "connect", ease)
    try:
        yield
    finally:
        event.remove(Engine, "connect", ease)
        for connection in spare.values():
            connection.close()
