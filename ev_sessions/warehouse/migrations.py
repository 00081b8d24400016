"""Brings a database that an older version of this program wrote to the present schema: all steps or none, a copy kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from ev_sessions.warehouse.copying import copy_into
from ev_sessions.warehouse.schema import SCHEMA_VERSION, record_version, require_not_newer, stored_version
from ev_sessions.warehouse.scripts import frugally, run_script, transaction

# A migration happens once, with nobody beside it.
_MEGABYTES = 1024


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: what takes the schema from the version before to `to_version`."""

    to_version: int
    name: str
    apply: Callable[[duckdb.DuckDBPyConnection], object]


def _scripted(to_version: int, name: str) -> Migration:
    """The migration that `sql/migrations/<to_version>.sql` does."""
    return Migration(to_version, name, lambda connection: run_script(connection, f"sql/migrations/{to_version}.sql", {}))


MIGRATIONS = (
    _scripted(2, "finality and maturity of days, months of savings"),
    _scripted(3, "quality rules, versions with their fields, reconciliation"),
)


def migrate(connection: duckdb.DuckDBPyConnection, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Apply the `migrations` that the database at `path`, open for writing, has not seen, in one transaction.

    A copy of the older database is kept beside it first, as `<name>.v<version>.<stamp>.backup.duckdb`.

    Raises:
        NotOurDatabase: it was not made by this program.
        DatabaseTooNew: a newer version of this program made it.
    """
    newest = max((migration.to_version for migration in migrations), default=SCHEMA_VERSION)
    found = stored_version(connection, path)
    require_not_newer(found, newest, path)
    missing = sorted((step for step in migrations if step.to_version > found), key=lambda step: step.to_version)
    if missing:
        copy_into(connection, path.with_name(f"{path.stem}.v{found}.{datetime.now(UTC):%Y%m%dT%H%M%S}.backup.duckdb"))
        _apply(connection, missing)


def _apply(connection: duckdb.DuckDBPyConnection, steps: Sequence[Migration]) -> None:
    def apply() -> None:
        with transaction(connection):
            for step in steps:
                step.apply(connection)
                record_version(connection, step.to_version)

    frugally(connection, _MEGABYTES, apply, threads=2)
