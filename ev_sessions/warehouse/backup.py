"""Backups: what the API said in former versions cannot be fetched again, so there is a copy, and a way back to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.copying import copy_into
from ev_sessions.warehouse.failures import (
    DatabaseDamaged,
    DatabaseDenied,
    DatabaseDiskFull,
    DatabaseMissing,
    DatabaseTooNew,
    NotOurDatabase,
    explained,
)
from ev_sessions.warehouse.files import made_aside, private_files, sync


def backup(database: Database, target: Path) -> None:
    """Copy the database into the new file `target`, in one consistent state, while others may read.

    Raises:
        TargetExists: there is such a file; it stays as it is.
        DatabaseDenied, DatabaseDiskFull: it cannot be written.
        CopyIncomplete, and whatever `Database.examining` raises.
    """
    with private_files(), database.examining() as connection, explained(target, DatabaseDenied, DatabaseDiskFull):
        copy_into(connection, target)


def restore(database: Database, source: Path) -> Path | None:
    """Put a copy of the backup `source` in the database's place.

    Returns:
        Where the database that stood there is kept (`<name>.<stamp>.replaced.duckdb` beside it); None: there was none.

    Raises:
        DatabaseMissing, NotOurDatabase, DatabaseTooNew, DatabaseDamaged: `source` cannot be used; nothing is changed.
        DatabaseLocked, DatabaseDenied, DatabaseDiskFull: the database cannot be replaced; nothing is changed.
    """
    kept = database.path.with_name(f"{database.path.stem}.{datetime.now(UTC):%Y%m%dT%H%M%S}.replaced.duckdb")
    if not source.exists():
        raise DatabaseMissing(f"there is no backup {source}; name a file that `ev-sessions backup` wrote")
    with explained(database.path), private_files(), made_aside(database.path) as made:
        with (
            Database(source, database.lock_timeout_seconds).examining() as connection,
            explained(database.path, DatabaseDenied, DatabaseDiskFull),
        ):
            copy_into(connection, made)
        with _nobody_else(database):
            replaced = _keep_aside(database.path, kept)
            sync(made)
            made.replace(database.path)
            sync(database.path.parent)
    return kept if replaced else None


@contextmanager
def _nobody_else(database: Database) -> Iterator[None]:
    """Hold the database's lock, with everything that is committed in the file itself. One that cannot be opened needs none."""
    with ExitStack() as held:
        if database.path.exists():
            try:
                held.enter_context(database.exclusively()).execute("CHECKPOINT")
            except (DatabaseDamaged, DatabaseTooNew, NotOurDatabase):
                held.close()
        yield


def _keep_aside(path: Path, kept: Path) -> bool:
    """Give the database a second name. Its log must go with it: DuckDB would replay it into whatever stands at `path` next."""
    log = path.with_name(f"{path.name}.wal")
    if log.exists():
        log.rename(kept.with_name(f"{kept.name}.wal"))
    if not path.exists():
        return False
    os.link(path, kept)
    return True
