"""A program that lands and derives one answer again and again, each time in a process killed at another statement.

    python -m ev_sessions_tests.killed_writer DATABASE PART

It prints a line for each death: what was being written, and a digest of all tables as the death has left them. The last death of
each write comes right after its commit.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

import duckdb

from ev_sessions.days import DayRange
from ev_sessions.limits import Limits
from ev_sessions.settings import ReportDate
from ev_sessions.tables import ALL_TABLES
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.derive import derive
from ev_sessions.warehouse.landing import land

DAYS = DayRange(date(2026, 3, 2), date(2026, 3, 8))
NOW = datetime(2026, 3, 10, tzinfo=UTC)

IN_BETWEEN, AT_COMMIT = signal.SIGKILL, signal.SIGTERM
STEP = 12

Write = Callable[[duckdb.DuckDBPyConnection], object]


class MortalConnection:
    """A connection whose process dies just before its `lifetime`-th statement, and at its commit at the latest.

    Without a lifetime it dies right after its commit. The signal tells the parent whether the commit was reached.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, lifetime: int | None) -> None:
        self._connection = connection
        self._lifetime = lifetime
        self._statements = 0

    def execute(self, *statement: Any) -> duckdb.DuckDBPyConnection:  # noqa: ANN401 - as DuckDB's own
        """Run a statement, or die."""
        self._statements += 1
        if self._statements == self._lifetime:
            os.kill(os.getpid(), IN_BETWEEN)
        return self._connection.execute(*statement)

    def commit(self) -> None:
        """Die, before or after."""
        if self._lifetime is None:
            self._connection.commit()
        os.kill(os.getpid(), AT_COMMIT)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever DuckDB has
        return getattr(self._connection, name)


def main(path: Path, part: Path) -> None:
    """Land, then derive: each killed in between again and again, then before its commit, then after it."""
    for name, write in writes(part).items():
        lifetime = 1
        while death(path, write, lifetime) == IN_BETWEEN:
            report(name, path)
            lifetime += STEP
        report(name, path)
        death(path, write, None)
        report(name, path)


def writes(part: Path) -> Mapping[str, Write]:
    """What is written, by name."""

    def land_part(connection: duckdb.DuckDBPyConnection) -> object:
        zones: dict[str, str] = {}
        return land(
            connection, [part], run_id="run", landed_at=NOW, zones=zones, default_time_zone="UTC", hold_share=1, limits=Limits()
        )

    def derive_days(connection: duckdb.DuckDBPyConnection) -> object:
        report_date = ReportDate.SESSION_END
        return derive(connection, DAYS, run_id="run", report_date=report_date, lookback_days=14, limits=Limits(), derived_at=NOW)

    return {"land": land_part, "derive": derive_days}


def death(path: Path, write: Write, lifetime: int | None) -> int:
    """Write in a process of its own; the signal that it died of."""

    def try_to() -> None:
        with Database(path).writing() as connection:
            write(cast("duckdb.DuckDBPyConnection", MortalConnection(connection, lifetime)))

    return os.WTERMSIG(in_a_fork(try_to))


def report(name: str, path: Path) -> None:
    """Print the name and a digest of all tables, seen by a process of its own: this one must not have DuckDB's threads."""

    def look() -> None:
        with Database(path).reading() as connection:
            rows = [connection.execute(f"FROM {table.full_name} ORDER BY ALL").fetchall() for table in ALL_TABLES]
        (digest,) = duckdb.execute("SELECT md5(?)", [repr(rows)]).fetchall()[0]
        sys.stdout.write(f"{name} {digest}\n")
        sys.stdout.flush()

    if in_a_fork(look):
        raise SystemExit(f"the database cannot be read after: {name}")


def in_a_fork(work: Callable[[], None]) -> int:
    """Do `work` in a copy of this process; how that ended, as `os.waitpid` says it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - nothing of it may reach the parent's code
            sys.stderr.write(f"{error}\n")
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
