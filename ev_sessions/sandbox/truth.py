"""The right answers: what a simulated partner API lists at an instant, and what must come of it.

`Truth` is the face that the server and the tests share; `ev_sessions.sandbox.fleet` (invented households) and
`ev_sessions.sandbox.replay` (recorded sessions) stand behind it. Instants inside a `Listing` are seconds since the epoch, UTC.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from ev_sessions.sandbox.records import Row, typed_row
from ev_sessions.settings import SessionDay

SECONDS_PER_DAY = 86_400
EPOCH_DAY = date(1970, 1, 1).toordinal()

Record = dict[str, Any]
"""A user or a vehicle, JSON-ready, under the API's field names."""


@dataclass(frozen=True, slots=True)
class Version:
    """A form in which a session is listed from the instant `since` on: its JSON text."""

    since: int
    body: bytes
    well_formed: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """One session over its life: when it happened, the forms in which it is listed, and when it is withdrawn (None: never)."""

    id: UUID
    plug_in: int
    end: int | None
    versions: tuple[Version, ...]
    withdrawn: int | None = None

    def version(self, now: int) -> Version | None:
        """The form listed at `now`; None before the session has ended and after it was withdrawn."""
        if self.withdrawn is not None and now >= self.withdrawn:
            return None
        return next((version for version in reversed(self.versions) if version.since <= now), None)

    def within(self, first: int, last: int, session_day: SessionDay) -> bool:
        """Whether a window of the days `first`..`last` (since the epoch) lists it."""
        begin = self.plug_in // SECONDS_PER_DAY
        end = begin if self.end is None else self.end // SECONDS_PER_DAY
        match session_day:
            case SessionDay.PLUG_IN_TIME:
                return first <= begin <= last
            case SessionDay.UNPLUG_TIME:
                return first <= end <= last
            case SessionDay.OVERLAP:
                return begin <= last and end >= first


@dataclass(frozen=True, slots=True)
class Totals:
    """What a read must add up to: well-formed rows, malformed records, kWh, and signed EUR."""

    rows: int
    malformed: int
    energy_kwh: Decimal
    cost_eur: Decimal
    savings_eur: Decimal


class Truth(ABC):
    """Everything that one organisation's API knows. A pure function of the clock; no call changes it.

    Windows are UTC days, both included. `now` is aware. An unknown user or vehicle raises KeyError.
    """

    org_id: UUID
    clock: datetime | None
    """Where the clock stands unless somebody sets it; None: the real clock."""
    longest_stay: int
    """Days that may lie between the days of plug-in and end."""

    @abstractmethod
    def users(self, now: datetime) -> list[Record]:
        """All users, deleted ones (`deleted_at` set) too."""

    @abstractmethod
    def vehicles(self, user_id: UUID | None, now: datetime) -> list[Record]:
        """The vehicles of one user, or of all (None): those added by `now`, deleted ones (`deleted_at` set) too."""

    @abstractmethod
    def owner(self, vehicle_id: UUID) -> UUID:
        """The user who owns the vehicle."""

    @abstractmethod
    def vehicle_ids(self) -> Sequence[UUID]:
        """Every vehicle that there ever is."""

    @abstractmethod
    def plugged_in(self, vehicle_id: UUID, first: int, last: int) -> Sequence[Listing]:
        """Sessions of the vehicle by plug-in: at least all that plug in on the days `first`..`last` (since the epoch)."""

    @abstractmethod
    def running(self, vehicle_id: UUID, now: datetime) -> bytes | None:
        """The JSON text of the session under way; None where there is none."""

    def listings(
        self, vehicle_id: UUID, first: date, last: date, session_day: SessionDay = SessionDay.PLUG_IN_TIME
    ) -> list[Listing]:
        """Every session that the window lists sooner or later, by plug-in."""
        begin, end = first.toordinal() - EPOCH_DAY, last.toordinal() - EPOCH_DAY
        reach = 0 if session_day is SessionDay.PLUG_IN_TIME else self.longest_stay
        found = self.plugged_in(vehicle_id, begin - reach, end)
        return [listing for listing in found if listing.within(begin, end, session_day)]

    def versions(
        self,
        vehicle_id: UUID,
        first: date,
        last: date,
        now: datetime,
        session_day: SessionDay = SessionDay.PLUG_IN_TIME,
    ) -> list[Version]:
        """What the window lists at `now`, well formed or not, by plug-in."""
        seconds = int(now.timestamp())
        found = (listing.version(seconds) for listing in self.listings(vehicle_id, first, last, session_day))
        return [version for version in found if version is not None]

    def sessions(
        self,
        vehicle_id: UUID,
        first: date,
        last: date,
        now: datetime,
        session_day: SessionDay = SessionDay.PLUG_IN_TIME,
    ) -> list[Row]:
        """The rows that must land: `typed_row` of every well-formed record, plus org_id, user_id and electric_vehicle_id."""
        keys = {"org_id": self.org_id, "user_id": self.owner(vehicle_id), "electric_vehicle_id": vehicle_id}
        listed = self.versions(vehicle_id, first, last, now, session_day)
        return [keys | typed_row(version.body) for version in listed if version.well_formed]

    def malformed(
        self,
        vehicle_id: UUID,
        first: date,
        last: date,
        now: datetime,
        session_day: SessionDay = SessionDay.PLUG_IN_TIME,
    ) -> list[bytes]:
        """The records that must go to quarantine, as the API sends them."""
        listed = self.versions(vehicle_id, first, last, now, session_day)
        return [version.body for version in listed if not version.well_formed]

    def fleet_sessions(
        self, first: date, last: date, now: datetime, session_day: SessionDay = SessionDay.PLUG_IN_TIME
    ) -> Iterator[Row]:
        """`sessions` of every vehicle."""
        for vehicle_id in self.vehicle_ids():
            yield from self.sessions(vehicle_id, first, last, now, session_day)

    def totals(self, first: date, last: date, now: datetime, session_day: SessionDay = SessionDay.PLUG_IN_TIME) -> Totals:
        """The sums over the whole fleet; null counts as nothing."""
        rows = list(self.fleet_sessions(first, last, now, session_day))
        return Totals(
            rows=len(rows),
            malformed=sum(len(self.malformed(each, first, last, now, session_day)) for each in self.vehicle_ids()),
            energy_kwh=_total(rows, "energy_charged_kwh"),
            cost_eur=_total(rows, "actual_cost_eur"),
            savings_eur=_total(rows, "actual_savings_eur"),
        )

    def personal_values(self, now: datetime) -> set[str]:
        """Every text in a user or vehicle record that tells who somebody is: none of them may be stored."""
        people = [*self.users(now), *(vehicle["owner"] for vehicle in self.vehicles(None, now))]
        cars = self.vehicles(None, now)
        found = [record.get(name) for record in people for name in PERSONAL_USER_FIELDS]
        found += [car.get(name) for car in cars for name in PERSONAL_VEHICLE_FIELDS]
        return {value for value in found if isinstance(value, str) and value}


PERSONAL_USER_FIELDS = ("email", "first_name", "last_name", "phone_number", "street")
PERSONAL_VEHICLE_FIELDS = ("name", "vin")


def _total(rows: list[Row], name: str) -> Decimal:
    return sum((row[name] for row in rows if row[name] is not None), start=Decimal(0))
