"""Questions about what is still to be read: for whoever asks for it again, and for the checks that tell what stays unread.

Each takes a connection; a read-only one will do. Answers name vehicles by id, so they may go into a plan, never into
Dagster's tags, configuration or events.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import duckdb

from ev_sessions.days import DayRange
from ev_sessions.warehouse.coverage import lives
from ev_sessions.warehouse.scripts import frugally, read_script, run_sql

# Enough for a ledger of ten million rows, which nobody who looks every minute may hold in memory.
_MEGABYTES = 128

_EVER = DayRange(date(1, 1, 1), date(9999, 12, 30))

# Before a window is asked for again: after its first failure, its second, and so on.
_PAUSES = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4), timedelta(hours=16))

MOST_ATTEMPTS = len(_PAUSES) + 1
"""How often a window is asked for, by whomever, before it is left to people and to the refreshes."""


@dataclass(frozen=True, slots=True)
class VehicleDays:
    """Consecutive days of one vehicle."""

    electric_vehicle_id: UUID
    days: DayRange


@dataclass(frozen=True, slots=True)
class FailedWindow:
    """Consecutive days of one vehicle on which it was asked and did not answer, nor later.

    `attempts` have failed since the last answer; `failed_at` is when the last of them was landed (aware UTC).
    """

    electric_vehicle_id: UUID
    days: DayRange
    attempts: int
    failed_at: datetime

    @property
    def due_at(self) -> datetime | None:
        """When it may be asked for again: 15 minutes after the first failure, then 1, 4 and 16 hours; None: never by itself."""
        return None if self.attempts >= MOST_ATTEMPTS else self.failed_at + _PAUSES[self.attempts - 1]

    def is_due(self, now: datetime) -> bool:
        """Whether it may be asked for again at `now` (aware)."""
        return self.due_at is not None and self.due_at <= now


@dataclass(frozen=True, slots=True)
class DayStanding:
    """How a session day stands in analytics.fleet_daily.

    `due`: vehicles that existed on the day, as the fleet is known now. The others are as the day was derived last:
    `read` have an answer, `tried` were asked at least, `read_early` were tried, but last before the day could be final.
    """

    session_day: date
    due: int
    is_derived: bool
    read: int
    tried: int
    read_early: int

    @property
    def is_missing(self) -> bool:
        """Whether nothing at all is known of the day."""
        return not self.is_derived or (self.due > 0 and self.tried == 0)

    @property
    def is_read(self) -> bool:
        """Whether some vehicle answered, or none was there to be asked."""
        return self.is_derived and (self.read > 0 or self.due == 0)

    @property
    def is_partial(self) -> bool:
        """Whether some of its vehicles were asked and some never."""
        return 0 < self.tried < self.due


def failed_windows(connection: duckdb.DuckDBPyConnection) -> list[FailedWindow]:
    """All that failed and was not answered since; the earliest days first."""
    rows = _ask(connection, "failed_windows", _EVER)
    return [
        FailedWindow(vehicle, DayRange(first, last), attempts, failed_at.astimezone(UTC))
        for vehicle, first, last, attempts, failed_at in rows
    ]


def failed_days(connection: duckdb.DuckDBPyConnection, days: DayRange, now: datetime) -> dict[UUID, DayRange]:
    """Those of `days` on which a vehicle failed and may be asked again at `now` (aware); from the first to the last."""
    due = (window for window in failed_windows(connection) if window.is_due(now))
    return _hulls([VehicleDays(window.electric_vehicle_id, window.days) for window in due], days)


def standing(connection: duckdb.DuckDBPyConnection, days: DayRange) -> list[DayStanding]:
    """How each day of `days` stands, in order."""
    return [DayStanding(*row) for row in _ask(connection, "standing", days)]


def unasked_windows(connection: duckdb.DuckDBPyConnection, days: DayRange) -> list[VehicleDays]:
    """Those of `days` on which a vehicle was due and never asked, though others were: windows of consecutive days.

    The ledger, which may be long, is looked at only where analytics.fleet_daily shows that there is such a day.
    """
    partial = [day.session_day for day in standing(connection, days) if day.is_partial]
    if not partial:
        return []
    connection.execute("CREATE OR REPLACE TEMP TABLE asked_days AS SELECT unnest(?::DATE[]) AS session_day", [partial])
    rows = _ask(connection, "unasked_windows", days)
    return [VehicleDays(vehicle, DayRange(first, last)) for vehicle, first, last in rows]


def unasked_days(connection: duckdb.DuckDBPyConnection, days: DayRange) -> dict[UUID, DayRange]:
    """Those of `days` on which a vehicle was due and never asked, though others were; from the first to the last."""
    return _hulls(unasked_windows(connection, days), days)


def _hulls(windows: Iterable[VehicleDays], days: DayRange) -> dict[UUID, DayRange]:
    """The part of `days` from each vehicle's first day to its last: one request, whatever lies between."""
    found: dict[UUID, DayRange] = {}
    for window in windows:
        vehicle = window.electric_vehicle_id
        own = window.days.clip(days.first, days.last)
        if own is not None:
            before = found.get(vehicle, own)
            found[vehicle] = DayRange(min(before.first, own.first), max(before.last, own.last))
    return found


def _ask(connection: duckdb.DuckDBPyConnection, question: str, days: DayRange) -> list[tuple[Any, ...]]:
    text = read_script(f"questions/{question}.sql", lives=read_script("questions/lives.sql", lives=lives()))
    values = {"first": days.first, "last": days.last}
    return frugally(connection, _MEGABYTES, lambda: run_sql(connection, text, values).fetchall())
