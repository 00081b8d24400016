"""What has to come of it, computed from the sandbox's truth alone: no SQL, no part of the project but its table names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from ev_sessions.days import DayRange
from ev_sessions.sandbox import Row, Truth
from ev_sessions.sandbox.weeks import TIME_ZONES

Key = tuple[Any, ...]


@dataclass(slots=True)
class Sums:
    """Sessions, and the sums over those whose value is known (None: none is)."""

    sessions: int = 0
    energy_kwh: Decimal | None = None
    cost_eur: Decimal | None = None
    savings_eur: Decimal | None = None

    def add(self, row: Row) -> None:
        """Count one more session."""
        self.sessions += 1
        self.energy_kwh = _plus(self.energy_kwh, row["energy_charged_kwh"])
        self.cost_eur = _plus(self.cost_eur, row["actual_cost_eur"])
        self.savings_eur = _plus(self.savings_eur, row["actual_savings_eur"])

    def as_tuple(self) -> tuple[Any, ...]:
        """The sums in the order of their names above."""
        return self.sessions, self.energy_kwh, self.cost_eur, self.savings_eur


class Expected:
    """The right answers for the days `days`, as the API knows them at `now` (aware UTC)."""

    def __init__(self, truth: Truth, days: DayRange, now: datetime) -> None:
        self.days = days
        self.vehicles = {UUID(car["id"]): car for car in truth.vehicles(None, now)}
        self.users = {UUID(user["id"]): user for user in truth.users(now)}
        self.sessions = {
            (row["electric_vehicle_id"], row["id"]): row
            for vehicle in self.vehicles
            for row in truth.sessions(vehicle, days.first, days.last, now)
        }
        self.malformed = sorted(
            record.decode() for vehicle in self.vehicles for record in truth.malformed(vehicle, days.first, days.last, now)
        )
        self.withdrawn = {
            (vehicle, listing.id)
            for vehicle in self.vehicles
            for listing in truth.listings(vehicle, days.first, days.last)
            if listing.withdrawn is not None and listing.withdrawn <= now.timestamp()
        }

    def report_date(self, row: Row) -> date:
        """The local date on which the session ends, or else begins."""
        zone = TIME_ZONES[self.vehicles[row["electric_vehicle_id"]]["price_zone"]]
        stamp: datetime = row["unplug_time"] or row["inferred_session_end"] or row["plug_in_time"]
        return stamp.astimezone(ZoneInfo(zone)).date()

    def by_day(self) -> dict[Key, tuple[Any, ...]]:
        """Sums by session day; days without a session are in it too."""
        return _summed(((row["plug_in_time"].astimezone(UTC).date(),), row) for row in self.sessions.values())

    def by_vehicle_day(self) -> dict[Key, tuple[Any, ...]]:
        """Sums by session day, report date and vehicle."""
        return _summed(
            ((row["plug_in_time"].astimezone(UTC).date(), self.report_date(row), row["electric_vehicle_id"]), row)
            for row in self.sessions.values()
        )

    def by_user_month(self) -> dict[Key, tuple[Any, ...]]:
        """Sums by user and first day of the month of the report date."""
        return _summed(((row["user_id"], self.report_date(row).replace(day=1)), row) for row in self.sessions.values())


def _summed(rows: Iterator[tuple[Key, Row]]) -> dict[Key, tuple[Any, ...]]:
    groups: defaultdict[Key, Sums] = defaultdict(Sums)
    for key, row in rows:
        groups[key].add(row)
    return {key: sums.as_tuple() for key, sums in groups.items()}


def _plus(total: Decimal | None, value: Decimal | None) -> Decimal | None:
    if value is None:
        return total
    return value if total is None else total + value
