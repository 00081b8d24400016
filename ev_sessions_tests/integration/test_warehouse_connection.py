"""How the database file is opened: who waits for whom, who may read it, and what is said when it cannot be used."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import duckdb
import pytest

from ev_sessions.errors import EvSessionsError
from ev_sessions.tables import ALL_TABLES
from ev_sessions.warehouse.connection import Database, UnusableDatabaseName
from ev_sessions.warehouse.failures import (
    DatabaseDamaged,
    DatabaseDenied,
    DatabaseLocked,
    DatabaseMissing,
    DatabaseOutdated,
    DatabaseTooNew,
    NotOurDatabase,
)
from ev_sessions.warehouse.schema import SCHEMA_VERSION


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "state" / "ev_sessions.duckdb", lock_timeout_seconds=0)


def _touch_a_day(connection: duckdb.DuckDBPyConnection, day: str = "2026-03-01") -> None:
    connection.execute("INSERT INTO raw.touched_days VALUES (?, now(), 'run')", [day])


def _touched_days(database: Database) -> int:
    with database.reading() as connection:
        return len(connection.table("raw.touched_days"))


# Creation


def test_the_first_writer_creates_every_declared_table_and_writes_down_the_schema(database: Database) -> None:
    with database.writing() as connection:
        for table in ALL_TABLES:
            described = connection.execute(f"DESCRIBE {table.full_name}").fetchall()
            assert [(name, null == "NO") for name, _, null, *_ in described] == [
                (column.name, column.required) for column in table.columns
            ]
        written = connection.execute("SELECT version, written_by FROM raw.schema_info").fetchall()
    assert written == [(SCHEMA_VERSION, "ev-sessions 0.1.0")]


def test_what_was_committed_is_there_for_the_next_reader(database: Database) -> None:
    with database.writing() as connection:
        _touch_a_day(connection)
    assert _touched_days(database) == 1


def test_what_was_not_committed_when_the_work_failed_is_gone_and_the_file_is_free(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        connection.begin()
        _touch_a_day(connection)
        raise ZeroDivisionError
    assert _touched_days(database) == 0


def test_stamps_come_and_go_in_utc_whatever_the_machine_says(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    query = "SELECT current_setting('TimeZone')"
    with database.writing() as connection:
        assert connection.execute(query).fetchall() == [("UTC",)]
    with database.reading() as connection:
        assert connection.execute(query).fetchall() == [("UTC",)]


def test_folder_file_and_log_are_readable_by_their_owner_alone(database: Database) -> None:
    with database.writing() as connection:
        _touch_a_day(connection)
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in database.path.parent.iterdir()}
    assert found == {"ev_sessions.duckdb": 0o600, "ev_sessions.duckdb.wal": 0o600}
    assert stat.S_IMODE(database.path.parent.stat().st_mode) == 0o700


def test_the_process_may_make_public_files_again_afterwards(database: Database, tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        with database.writing():
            pass
        (tmp_path / "public").touch()
        assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o644
    finally:
        os.umask(mask)


def test_nothing_is_left_beside_a_new_database(database: Database) -> None:
    with database.writing():
        pass
    assert [path.name for path in database.path.parent.iterdir()] == ["ev_sessions.duckdb"]


def test_an_empty_duckdb_file_is_taken_over(database: Database) -> None:
    database.path.parent.mkdir()
    duckdb.connect(database.path).close()
    with database.writing() as connection:
        _touch_a_day(connection)
    assert _touched_days(database) == 1


def test_duckdbs_own_settings_reach_the_connection(database: Database) -> None:
    with Database(database.path, config={"threads": "1"}).writing() as connection:
        assert connection.execute("SELECT current_setting('threads')").fetchall() == [(1,)]


@pytest.mark.parametrize("name", ["raw.duckdb", "analytics.db"])
def test_a_file_named_like_a_schema_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnusableDatabaseName, match=r"EV_SESSIONS_DATABASE"), Database(tmp_path / name).writing():
        pass


# Locks

_HOLDER = """
import sys
from pathlib import Path
from ev_sessions.warehouse.connection import Database

database = Database(Path(sys.argv[1]))
with getattr(database, sys.argv[2])():
    print("open", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def _held_by_another_process(database: Database, how: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _HOLDER, str(database.path), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        try:
            yield holder
        finally:
            holder.kill()


def _opened(database: Database, how: str) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
    return database.writing() if how == "writing" else database.reading()


@pytest.mark.parametrize(("held", "wanted"), [("writing", "writing"), ("writing", "reading"), ("reading", "writing")])
def test_a_file_that_another_process_holds_is_refused_with_the_holders_name(database: Database, held: str, wanted: str) -> None:
    with database.writing():
        pass
    with (
        _held_by_another_process(database, held) as holder,
        pytest.raises(DatabaseLocked) as refused,
        _opened(database, wanted),
    ):
        pass
    assert str(holder.pid) in str(refused.value)
    assert "python" in str(refused.value)


def test_readers_of_several_processes_do_not_wait_for_each_other(database: Database) -> None:
    with database.writing():
        pass
    with _held_by_another_process(database, "reading"), database.reading(), database.reading() as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


@pytest.mark.parametrize(("held", "wanted"), [("writing", "writing"), ("writing", "reading"), ("reading", "writing")])
def test_within_one_process_too_a_writer_is_alone(database: Database, held: str, wanted: str) -> None:
    with database.writing():
        pass
    with _opened(database, held), pytest.raises(DatabaseLocked, match="this process"), _opened(database, wanted):
        pass


def test_a_writer_that_waits_gets_the_file_as_soon_as_it_is_free(database: Database) -> None:
    patient = Database(database.path, lock_timeout_seconds=60)
    started = threading.Event()

    def write() -> None:
        started.set()
        with patient.writing() as connection:
            _touch_a_day(connection, "2026-03-02")

    waiting = threading.Thread(target=write)
    with database.writing() as connection:
        waiting.start()
        assert started.wait(timeout=30)
        _touch_a_day(connection)
    waiting.join(timeout=60)
    assert _touched_days(database) == 2


def test_a_killed_writer_leaves_the_file_free_with_all_that_it_committed(database: Database) -> None:
    with database.writing() as connection:
        _touch_a_day(connection)
    with _held_by_another_process(database, "writing") as holder:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert _touched_days(database) == 1


# Files that cannot be used


def _refusal(database: Database, how: str) -> EvSessionsError:
    with pytest.raises(EvSessionsError) as refused, _opened(database, how):
        pass
    message = str(refused.value)
    assert "\n" not in message
    assert str(database.path) in message
    return refused.value


both_ways = pytest.mark.parametrize("how", ["reading", "writing"])


def test_a_reader_of_a_file_that_is_not_there_is_told_how_to_make_it(database: Database) -> None:
    refusal = _refusal(database, "reading")
    assert isinstance(refusal, DatabaseMissing)
    assert "ev-sessions run" in str(refusal)
    assert not database.path.parent.exists()


@both_ways
@pytest.mark.parametrize("content", [b"", b"hello", b"hello world" * 1000], ids=["empty", "short", "long"])
def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path, how: str, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    assert isinstance(_refusal(Database(path), how), NotOurDatabase)
    assert path.read_bytes() == content


@both_ways
def test_an_sqlite_file_is_refused_without_fetching_anything(tmp_path: Path, how: str) -> None:
    path = tmp_path / "ledger.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE t (i)")
    other.commit()
    other.close()
    assert isinstance(_refusal(Database(path), how), NotOurDatabase)


@both_ways
def test_somebody_elses_duckdb_file_is_refused_and_left_alone(tmp_path: Path, how: str) -> None:
    path = tmp_path / "theirs.duckdb"
    with duckdb.connect(path) as theirs:
        theirs.execute("CREATE TABLE customers AS SELECT 1 AS id")
    assert isinstance(_refusal(Database(path), how), NotOurDatabase)
    with duckdb.connect(path) as theirs:
        assert theirs.execute("SHOW ALL TABLES").fetchall()[0][2] == "customers"


@both_ways
def test_a_database_of_a_newer_schema_is_refused(database: Database, how: str) -> None:
    with database.writing() as connection:
        connection.execute("INSERT INTO raw.schema_info VALUES (?, 'ev-sessions 99.0', now())", [SCHEMA_VERSION + 1])
    refusal = _refusal(database, how)
    assert isinstance(refusal, DatabaseTooNew)
    assert "upgrade ev-sessions" in str(refusal)


def test_a_reader_of_an_older_schema_is_told_what_migrates_it(database: Database) -> None:
    with database.writing() as connection:
        connection.execute("UPDATE raw.schema_info SET version = ?", [SCHEMA_VERSION - 1])
    assert isinstance(_refusal(database, "reading"), DatabaseOutdated)


@both_ways
def test_a_file_of_a_newer_duckdb_is_refused(database: Database, how: str) -> None:
    with database.writing():
        pass
    _claim_storage_version(database.path, 999)
    refusal = _refusal(database, how)
    assert isinstance(refusal, DatabaseTooNew)
    assert "newer DuckDB" in str(refusal)


def _claim_storage_version(path: Path, version: int) -> None:
    """Rewrite the main header of a DuckDB file: checksum (8 bytes), `DUCK`, storage version, and so on; 4096 bytes in all."""
    with path.open("r+b") as file:
        header = bytearray(file.read(4096))
        struct.pack_into("<Q", header, 12, version)
        words = struct.unpack_from("<511Q", header, 8)
        checksum = 5381
        for word in words:
            checksum ^= word * 0xBF58476D1CE4E5B9 % 2**64
        struct.pack_into("<Q", header, 0, checksum)
        file.seek(0)
        file.write(header)


@both_ways
def test_a_damaged_file_is_told_apart_and_the_backup_is_named(database: Database, how: str) -> None:
    with database.writing():
        pass
    os.truncate(database.path, 4096 * 3 + 17)
    refusal = _refusal(database, how)
    assert isinstance(refusal, DatabaseDamaged)
    assert "ev-sessions restore" in str(refusal)


def test_a_path_that_cannot_be_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.duckdb").mkdir()
    assert isinstance(_refusal(Database(tmp_path / "folder.duckdb"), "writing"), DatabaseDenied)
    (tmp_path / "file").touch()
    assert isinstance(_refusal(Database(tmp_path / "file" / "x.duckdb"), "writing"), DatabaseDenied)


_WITHOUT_RIGHTS = """
import os, sys
from pathlib import Path
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.failures import DatabaseDenied

if os.geteuid() == 0:
    os.setuid(65534)
try:
    with getattr(Database(Path(sys.argv[1])), sys.argv[2])():
        pass
except DatabaseDenied as denied:
    print(denied)
"""


@both_ways
def test_a_file_without_rights_to_it_is_refused(tmp_path: Path, how: str) -> None:
    database = Database(tmp_path / "ev_sessions.duckdb")
    with database.writing():
        pass
    database.path.chmod(0)
    command = [sys.executable, "-c", _WITHOUT_RIGHTS, str(database.path), how]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Permission denied; mend the rights" in told.stdout


_ON_A_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.failures import DatabaseDiskFull

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
limit = path.stat().st_size + 4096
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with Database(path).writing() as connection:
        connection.execute("INSERT INTO raw.touched_days SELECT '2026-01-01', now(), uuid() FROM range(300000)")
except DatabaseDiskFull as full:
    print(full)
"""


def test_when_the_disk_is_full_one_line_says_so_and_nothing_is_lost(database: Database) -> None:
    with database.writing() as connection:
        _touch_a_day(connection)
    command = [sys.executable, "-c", _ON_A_FULL_DISK, str(database.path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "the disk is full; nothing was changed" in told.stdout
    assert _touched_days(database) == 1
