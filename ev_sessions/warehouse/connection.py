"""Opens and closes the database file: the waiting for its lock, its rights, its first creation.

A connection is held for as long as one piece of work takes and no longer. While any connection of this process is open, the
file must not be opened by other means (`open()`, a copy): closing such a handle drops the process's lock on the file.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from uuid import uuid4

import duckdb

from ev_sessions.errors import PermanentError
from ev_sessions.warehouse.failures import DatabaseLocked, DatabaseMissing, DatabaseOutdated, explain, explained
from ev_sessions.warehouse.files import made_aside, private_files, put_in_place
from ev_sessions.warehouse.migrations import migrate
from ev_sessions.warehouse.schema import SCHEMA_VERSION, create_schema, is_empty, require_not_newer, stored_version
from ev_sessions.warehouse.scripts import read_script, run_sql
from ev_sessions.warehouse.views import bring_up_to_date

# A file of another kind must be refused, not make DuckDB fetch the extension that could read it.
_NO_EXTENSIONS = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}

# DuckDB calls a database as its file; these names would hide the schemas or DuckDB's own databases.
_RESERVED_STEMS = frozenset({"raw", "analytics", "main", "temp", "system", "memory"})

# Waiters ask again after a random pause within these bounds (s), so that they do not stay in step.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 0.2
_random = SystemRandom()


class UnusableDatabaseName(PermanentError):
    """The database file cannot have this name."""


@dataclass(frozen=True)
class Database:
    """One DuckDB file. `config` holds DuckDB's own settings, for example `memory_limit`.

    Both ways of opening it wait up to `lock_timeout_seconds` for others and raise, each with one line:
    DatabaseLocked, DatabaseMissing (reading), NotOurDatabase, DatabaseTooNew, DatabaseOutdated (reading), DatabaseDamaged,
    DatabaseDenied, DatabaseDiskFull, UnusableDatabaseName.
    """

    path: Path
    lock_timeout_seconds: float = 120
    config: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection; sessions run in UTC. Any number of readers may be open at once, no writer beside them."""
        with self.examining() as connection:
            found = stored_version(connection, self.path)
            if found < SCHEMA_VERSION:
                raise DatabaseOutdated(
                    f"the database {self.path} has schema {found}, this program reads {SCHEMA_VERSION}; "
                    "the next `ev-sessions run` migrates it and keeps a copy"
                )
            yield connection

    @contextmanager
    def examining(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """As `reading`, but the tables may be those of an older version: for what copies them as they are."""
        with explained(self.path):
            if not self.path.exists():
                raise DatabaseMissing(f"no database at {self.path} yet; run `ev-sessions run --from DAY --to DAY` first")
            connection = self._connect(read_only=True, name="reader")
            try:
                require_not_newer(stored_version(connection, self.path), SCHEMA_VERSION, self.path)
                yield connection
            finally:
                connection.close()

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The one read-write connection; sessions run in UTC. Creates the file, or migrates an older one, where needed.

        Views that another version of this program made are made anew. Files made meanwhile are readable by their owner alone.
        What was not committed when it closes is rolled back.
        """
        with explained(self.path), private_files():
            if not self.path.exists():
                self._create()
            with self.exclusively() as connection:
                if is_empty(connection):
                    create_schema(connection)
                    self.path.chmod(0o600)
                migrate(connection, self.path)
                bring_up_to_date(connection, SCHEMA_VERSION)
                yield connection

    @contextmanager
    def exclusively(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The file, locked, whatever is in it: for `writing` and for putting another file in its place."""
        # DuckDB refuses two connections of one process that differ in a setting: that keeps a second writer of this
        # process waiting, as the file's lock does with those of others.
        with explained(self.path):
            connection = self._connect(read_only=False, name=f"writer-{uuid4()}")
            try:
                yield connection
            finally:
                connection.close()

    def _connect(self, *, read_only: bool, name: str) -> duckdb.DuckDBPyConnection:
        config: dict[str, str | bool | int | float | list[str]] = {
            **_NO_EXTENSIONS,
            **self.config,
            "custom_user_agent": f"ev_sessions-{name}",
        }
        give_up = time.monotonic() + self.lock_timeout_seconds
        while True:
            try:
                connection = duckdb.connect(self.path, read_only=read_only, config=config)
            except duckdb.Error as error:
                if not isinstance(explain(error, self.path), DatabaseLocked) or time.monotonic() >= give_up:
                    raise
                time.sleep(_random.uniform(_SHORTEST_PAUSE, _LONGEST_PAUSE))
            else:
                connection.execute("SET TimeZone = 'UTC'")
                run_sql(connection, _macros())
                return connection

    def _create(self) -> None:
        """Make the file beside its place and link it there whole: nobody meets a half-made one, none is overwritten."""
        if self.path.stem in _RESERVED_STEMS:
            raise UnusableDatabaseName(
                f"the database cannot be called {self.path.name}, since {self.path.stem} is the name of a schema; "
                "set EV_SESSIONS_DATABASE to another name"
            )
        with made_aside(self.path) as path:
            with Database(path).exclusively() as connection:
                create_schema(connection)
            try:
                put_in_place(path, self.path)
            except FileExistsError:
                return  # another process was faster; its tables are the same


def _macros() -> str:
    return read_script("sql/macros.sql", ratio=read_script("models/ratio.sql", macro="TEMP MACRO ratio"))
