"""`ev-sessions backup` and `ev-sessions restore`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import typer

from ev_sessions.errors import PermanentError
from ev_sessions.settings import Settings
from ev_sessions.warehouse import backup
from ev_sessions.warehouse.connection import Database


class NoSuchFolder(PermanentError):
    """A backup was to go where there is no folder: most likely a slip, or a disk that is not mounted."""


def back_up(environ: Mapping[str, str], target: Path) -> None:
    """Copy the database to `target` and say so. Raises what `ev_sessions.warehouse.backup.backup` does."""
    if not target.parent.exists():
        raise NoSuchFolder(f"there is no folder {target.parent}; make it, or mount it, first")
    database = _database(environ)
    backup.backup(database, target)
    typer.echo(f"{database.path} is copied to {target}")


def put_back(environ: Mapping[str, str], source: Path) -> None:
    """Put `source` in the database's place and say so. Raises what `ev_sessions.warehouse.backup.restore` does."""
    database = _database(environ)
    kept = backup.restore(database, source)
    typer.echo(f"{source} is now the database {database.path}" + (f"; the former one is kept as {kept}" if kept else ""))


def _database(environ: Mapping[str, str]) -> Database:
    settings = Settings.from_env(environ)
    return Database(settings.database_path, settings.lock_timeout_seconds)
