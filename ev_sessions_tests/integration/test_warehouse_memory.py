"""Work in little memory, and in more where little does not do."""

from pathlib import Path

import duckdb

from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.scripts import frugally, transaction


def limits(connection: duckdb.DuckDBPyConnection) -> tuple[object, ...]:
    return connection.execute("SELECT current_setting('memory_limit'), current_setting('threads')").fetchall()[0]


def test_work_runs_within_the_limit_which_is_gone_afterwards(tmp_path: Path) -> None:
    with Database(tmp_path / "x.duckdb").writing() as connection:
        connection.execute("SET memory_limit = '2 GiB'; SET threads = 2")
        assert frugally(connection, 100, lambda: limits(connection)) == ("95.3 MiB", 1)
        assert limits(connection) == ("2.0 GiB", 2)


def test_work_that_needs_more_is_rolled_back_and_done_once_more_without_the_limit(tmp_path: Path) -> None:
    tries = []

    def insert_and_use_much(connection: duckdb.DuckDBPyConnection) -> int:
        tries.append(limits(connection))
        with transaction(connection):
            connection.execute("INSERT INTO kept VALUES (1)")
            # A list of 16 million numbers is one value: no part of it can go to disk.
            return int(connection.execute("SELECT len(list(i)) FROM range(16_000_000) AS r(i)").fetchall()[0][0])

    with Database(tmp_path / "x.duckdb").writing() as connection:
        connection.execute("CREATE TABLE kept (n INTEGER)")
        assert frugally(connection, 50, lambda: insert_and_use_much(connection)) == 16_000_000
        assert len(tries) == 2
        assert connection.execute("SELECT count(*) FROM kept").fetchall() == [(1,)]
