"""Questions about what has been read and what stands: for the checks and the summary. What is unread: `warehouse.unread`.

Each takes a connection (a read-only one will do) and the session days that it is about. The answers hold counts and days,
never ids: they go into Dagster's events.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

import duckdb

from ev_sessions.days import DayRange
from ev_sessions.warehouse.coverage import coverage
from ev_sessions.warehouse.scripts import read_script, run_sql


@dataclass(frozen=True, slots=True)
class DayCoverage:
    """How many vehicles were to be read for a session day, and what came of it.

    `due`: existed on the day. `read`: an answer covers the day, whatever failed after it. `failed`: tried, never answered.
    `held`: the last answer lost too many rows at once and waits for confirmation. `mismatched`: the newest answer differs
    from the API's own total.
    """

    session_day: date
    due: int
    read: int
    failed: int
    held: int
    mismatched: int

    @property
    def unread(self) -> int:
        """Vehicles due that no answer covers, tried or not."""
        return self.due - self.read


@dataclass(frozen=True, slots=True)
class DayCount:
    """How many of what was asked for stand on a session day; days with none are left out of an answer."""

    session_day: date
    count: int


@dataclass(frozen=True, slots=True)
class DuplicateKeys:
    """Broken keys of raw.sessions that a session day shows; the row beside may stand on another day.

    `doubled`: sessions that stand twice. `shared`: ids that two vehicles have.
    """

    session_day: date
    doubled: int
    shared: int


@dataclass(frozen=True, slots=True)
class RowsOutsideWindow:
    """What stands, or was refused, outside the windows asked for.

    `uncovered`: rows of raw.sessions on days that no landed read of their vehicle covers. `quarantined`: records kept out
    because they lay outside the window that they came with, of the windows that touch the days.
    """

    uncovered: tuple[DayCount, ...]
    quarantined: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the derived days of a range.

    Sums are None where no value is known, ratios also where their denominator is not above 0. `counterfactual_eur` is a
    claim of the platform. `vehicle_days_*` and `read_coverage` say how far the range was read, `cost_coverage` and
    `savings_coverage` which share of the energy has a cost, and savings.
    """

    days: int
    final_days: int
    sessions: int
    quarantined: int
    flagged_sessions: int
    energy_kwh: Decimal | None
    cost_eur: Decimal | None
    savings_eur: Decimal | None
    negative_savings_sessions: int
    negative_savings_eur: Decimal | None
    counterfactual_eur: Decimal | None
    savings_rate: float | None
    vehicle_days_due: int
    vehicle_days_read: int
    read_coverage: float | None
    cost_coverage: float | None
    savings_coverage: float | None


def vehicles_unread(connection: duckdb.DuckDBPyConnection, days: DayRange) -> list[DayCoverage]:
    """What was due and what was read, one entry for every day of `days`."""
    ask_about(connection, days)
    question = read_script("questions/vehicles.sql", coverage=coverage())
    # What is final is not asked here.
    return [DayCoverage(*row) for row in run_sql(connection, question, {"lookback_days": 0}).fetchall()]


def count_mismatches(connection: duckdb.DuckDBPyConnection, days: DayRange) -> list[DayCount]:
    """Vehicles whose newest answer for a day differs from the API's own total."""
    return [DayCount(day.session_day, day.mismatched) for day in vehicles_unread(connection, days) if day.mismatched]


def duplicate_keys(connection: duckdb.DuckDBPyConnection, days: DayRange | None) -> list[DuplicateKeys]:
    """The days of `days` (None: of all) on which a row of raw.sessions stands whose key is not its own alone."""
    ask_about(connection, days)
    return [DuplicateKeys(*row) for row in run_sql(connection, read_script("questions/duplicate_keys.sql")).fetchall()]


def rows_outside_window(connection: duckdb.DuckDBPyConnection, days: DayRange) -> RowsOutsideWindow:
    """What stands, or was refused, outside the windows that were asked for."""
    ask_about(connection, days)
    uncovered = run_sql(connection, read_script("questions/uncovered_rows.sql")).fetchall()
    ((refused,),) = run_sql(connection, read_script("questions/refused_rows.sql")).fetchall()
    return RowsOutsideWindow(tuple(DayCount(*row) for row in uncovered), refused)


def totals(connection: duckdb.DuckDBPyConnection, days: DayRange) -> Totals:
    """Sums over those of `days` that are derived."""
    ask_about(connection, days)
    (row,) = run_sql(connection, read_script("questions/totals.sql")).fetchall()
    return Totals(*row)


def last_landing(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    """When sessions were landed last (aware UTC); None where they never were."""
    ((landed_at,),) = connection.execute("SELECT max(landed_at) FROM raw.fetches").fetchall()
    return None if landed_at is None else landed_at.astimezone(UTC)


def ask_about(connection: duckdb.DuckDBPyConnection, days: DayRange | None) -> None:
    """Make the table asked_days, of `days` or of all on which sessions stand (None), for the questions that need it."""
    if days is None:
        query, values = "SELECT DISTINCT session_day FROM raw.sessions", {}
    else:
        query, values = read_script("questions/asked_days.sql"), {"first": days.first, "last": days.last}
    run_sql(connection, f"CREATE OR REPLACE TEMP TABLE asked_days AS {query}", values)
