"""Backups, the way back to them, and migrations: nothing is lost, and nothing stands half done."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import duckdb
import pytest

from ev_sessions.warehouse.backup import backup, restore
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.copying import CopyIncomplete, TargetExists, require_same_rows
from ev_sessions.warehouse.failures import DatabaseLocked, DatabaseMissing, DatabaseTooNew, NotOurDatabase
from ev_sessions.warehouse.migrations import MIGRATIONS, Migration, migrate
from ev_sessions.warehouse.schema import SCHEMA_VERSION


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A database with one touched day."""
    database = Database(tmp_path / "live" / "ev_sessions.duckdb", lock_timeout_seconds=0)
    _touch(database, "2026-03-01")
    return database


def _touch(database: Database, day: str) -> None:
    with database.writing() as connection:
        connection.execute("INSERT INTO raw.touched_days VALUES (?, now(), 'run')", [day])


def _touched(path: Path) -> list[str]:
    with Database(path, lock_timeout_seconds=0).reading() as connection:
        days = connection.execute("SELECT session_day FROM raw.touched_days ORDER BY session_day").fetchall()
    return [day.isoformat() for (day,) in days]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Backup


def test_a_backup_is_a_database_of_its_own_for_its_owner_alone(database: Database, tmp_path: Path) -> None:
    target = tmp_path / "it's a backup.duckdb"
    backup(database, target)
    _touch(database, "2026-03-02")
    assert _touched(target) == ["2026-03-01"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert _names(tmp_path) == [target.name, "live"]


def test_a_backup_keeps_types_and_the_obligation_to_have_a_value(database: Database, tmp_path: Path) -> None:
    backup(database, tmp_path / "copy.duckdb")
    described = "DESCRIBE raw.sessions"
    with database.reading() as connection:
        original = connection.execute(described).fetchall()
    with Database(tmp_path / "copy.duckdb").reading() as connection:
        assert connection.execute(described).fetchall() == original


def test_a_backup_does_not_overwrite_anything(database: Database, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(TargetExists, match="name a file that does not"):
        backup(database, tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_database_of_an_older_schema_can_be_backed_up(database: Database, tmp_path: Path) -> None:
    with database.writing() as connection:
        connection.execute("UPDATE raw.schema_info SET version = 0")
    backup(database, tmp_path / "copy.duckdb")
    with duckdb.connect(tmp_path / "copy.duckdb") as connection:
        assert connection.execute("SELECT version FROM raw.schema_info").fetchall() == [(0,)]


@pytest.mark.parametrize("copied", [{"raw.users": 1, "raw.vehicles": 1}, {"raw.users": 1}, {"raw.users": 1, "x": 2}])
def test_a_copy_that_lacks_rows_or_tables_is_refused(tmp_path: Path, copied: dict[str, int]) -> None:
    with pytest.raises(CopyIncomplete, match=r"raw\.vehicles.*copy it again"):
        require_same_rows({"raw.users": 1, "raw.vehicles": 2}, copied, tmp_path / "copy.duckdb")


# Restore


def test_a_restored_backup_stands_in_place_and_what_stood_there_is_kept(database: Database, tmp_path: Path) -> None:
    backup(database, tmp_path / "copy.duckdb")
    _touch(database, "2026-03-02")
    kept = restore(database, tmp_path / "copy.duckdb")
    assert _touched(database.path) == ["2026-03-01"]
    assert kept is not None
    assert _touched(kept) == ["2026-03-01", "2026-03-02"]
    assert _names(database.path.parent) == sorted([database.path.name, kept.name])


def test_where_no_database_stood_a_backup_is_put_there(database: Database, tmp_path: Path) -> None:
    elsewhere = Database(tmp_path / "new" / "ev_sessions.duckdb")
    assert restore(elsewhere, database.path) is None
    assert _touched(elsewhere.path) == ["2026-03-01"]


def test_a_damaged_database_can_be_replaced_and_its_log_does_not_reach_the_new_one(database: Database, tmp_path: Path) -> None:
    backup(database, tmp_path / "copy.duckdb")
    os.truncate(database.path, 4096 * 3 + 17)
    log = database.path.with_name(f"{database.path.name}.wal")
    log.write_bytes(_log_with_a_foreign_table(tmp_path))
    kept = restore(database, tmp_path / "copy.duckdb")
    assert kept is not None
    assert _names(database.path.parent) == sorted([database.path.name, kept.name, f"{kept.name}.wal"])
    with database.reading() as connection:
        assert connection.execute("SELECT table_name FROM duckdb_tables() WHERE table_name = 'foreign_table'").fetchall() == []


def _log_with_a_foreign_table(folder: Path) -> bytes:
    with duckdb.connect(folder / "foreign.duckdb") as connection:
        connection.execute("CREATE TABLE foreign_table (i INTEGER)")
        return (folder / "foreign.duckdb.wal").read_bytes()


def test_a_database_that_is_in_use_is_not_replaced(database: Database, tmp_path: Path) -> None:
    backup(database, tmp_path / "copy.duckdb")
    with database.reading(), pytest.raises(DatabaseLocked):
        restore(database, tmp_path / "copy.duckdb")
    assert _names(database.path.parent) == [database.path.name]


def test_a_source_that_is_missing_foreign_or_newer_is_refused_and_nothing_changes(database: Database, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with duckdb.connect(tmp_path / "theirs.duckdb") as theirs:
        theirs.execute("CREATE TABLE customers (i INTEGER)")
    backup(database, tmp_path / "newer.duckdb")
    with duckdb.connect(tmp_path / "newer.duckdb") as newer:
        newer.execute("UPDATE raw.schema_info SET version = 99")
    for name, refusal in {
        "nothing": DatabaseMissing,
        "notes.txt": NotOurDatabase,
        "theirs.duckdb": NotOurDatabase,
        "newer.duckdb": DatabaseTooNew,
    }.items():
        with pytest.raises(refusal, match=name):
            restore(database, tmp_path / name)
    assert _touched(database.path) == ["2026-03-01"]
    assert _names(database.path.parent) == [database.path.name]


# Migration


def _add_column(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("ALTER TABLE raw.touched_days ADD COLUMN reason VARCHAR")


def _fill_column(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("UPDATE raw.touched_days SET reason = 'unknown'")


def _fail(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("SELECT error('the migration cannot go on')")


NEXT, AFTER_NEXT = SCHEMA_VERSION + 1, SCHEMA_VERSION + 2
FILL, ADD = Migration(AFTER_NEXT, "fill reason", _fill_column), Migration(NEXT, "add reason", _add_column)


def test_missing_migrations_are_applied_in_order_and_a_copy_of_the_older_database_is_kept(database: Database) -> None:
    with database.exclusively() as connection:
        migrate(connection, database.path, [FILL, ADD])
        assert connection.execute("SELECT reason FROM raw.touched_days").fetchall() == [("unknown",)]
        versions = connection.execute("SELECT version FROM raw.schema_info ORDER BY migrated_at").fetchall()
        assert versions == [(SCHEMA_VERSION,), (NEXT,), (AFTER_NEXT,)]
    (copy,) = database.path.parent.glob(f"ev_sessions.v{SCHEMA_VERSION}.*.backup.duckdb")
    assert _touched(copy) == ["2026-03-01"]


def test_a_migration_that_was_applied_is_not_applied_again(database: Database) -> None:
    with database.exclusively() as connection:
        migrate(connection, database.path, [ADD])
        migrate(connection, database.path, [ADD])
    assert len(list(database.path.parent.glob("*.backup.duckdb"))) == 1


def test_a_migration_that_fails_leaves_the_older_database_as_it_was(database: Database) -> None:
    with pytest.raises(duckdb.Error, match="cannot go on"), database.exclusively() as connection:
        migrate(connection, database.path, [ADD, Migration(AFTER_NEXT, "fail", _fail)])
    assert _touched(database.path) == ["2026-03-01"]
    with database.reading() as connection:
        assert "reason" not in {name for name, *_ in connection.execute("DESCRIBE raw.touched_days").fetchall()}


def test_the_migrations_that_ship_lead_up_to_the_present_schema() -> None:
    assert [step.to_version for step in MIGRATIONS] == list(range(2, SCHEMA_VERSION + 1))
