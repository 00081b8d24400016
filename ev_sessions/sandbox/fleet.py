"""The invented fleet: households, cars and markets as one `Truth`, made week by week when somebody asks, and kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from ev_sessions.sandbox.bodies import running_body
from ev_sessions.sandbox.households import (
    Vehicle,
    build_vehicles,
    organisation,
    stamp,
    user_count,
    user_id,
    user_record,
    vehicle_record,
)
from ev_sessions.sandbox.options import SandboxOptions
from ev_sessions.sandbox.prices import Prices
from ev_sessions.sandbox.truth import SECONDS_PER_DAY, Listing, Record, Truth
from ev_sessions.sandbox.weeks import DAYS_PER_WEEK, Weeks, week_of


class SimulatedFleet(Truth):
    """The truth of a fleet that `options` describe. Its clock is the real one unless the options say otherwise."""

    def __init__(self, options: SandboxOptions) -> None:
        self.org_id = organisation(options.seed)
        self.clock = None
        self.longest_stay = DAYS_PER_WEEK
        self._options = options
        prices = Prices(options.seed)
        self._weeks = Weeks(options, prices)
        self._vehicles = {vehicle.id: vehicle for vehicle in build_vehicles(options, prices.zones)}
        self._garages = _by_user(options, self._vehicles.values())
        self._listings: dict[tuple[UUID, int], tuple[Listing, ...]] = {}

    def users(self, now: datetime) -> list[Record]:
        """All users, the administrator first."""
        return [self._user(number, int(now.timestamp())) for number in range(user_count(self._options))]

    def vehicles(self, user_id: UUID | None, now: datetime) -> list[Record]:
        """The cars of one household, or of all."""
        seconds = int(now.timestamp())
        cars = self._vehicles.values() if user_id is None else self._garages[user_id]
        return [vehicle_record(car, self._user(car.user_number, seconds), seconds) for car in cars if car.created <= seconds]

    def owner(self, vehicle_id: UUID) -> UUID:
        """The household's user."""
        return self._vehicles[vehicle_id].user_id

    def vehicle_ids(self) -> Sequence[UUID]:
        """Every car, in order."""
        return list(self._vehicles)

    def plugged_in(self, vehicle_id: UUID, first: int, last: int) -> Sequence[Listing]:
        """The weeks that the days lie in, made now or kept from before."""
        weeks = range(week_of(first), week_of(last) + 1)
        return [listing for week in weeks for listing in self._week(vehicle_id, week)]

    def running(self, vehicle_id: UUID, now: datetime) -> bytes | None:
        """The session under way, out of this week or the one before."""
        seconds, vehicle = int(now.timestamp()), self._vehicles[vehicle_id]
        this_week = week_of(seconds // SECONDS_PER_DAY)
        sessions = [each for week in (this_week - 1, this_week) for each in self._weeks.sessions(vehicle, week)]
        return next((running_body(each) for each in sessions if each.stay.plug_in <= seconds < each.stay.end), None)

    def _week(self, vehicle_id: UUID, week: int) -> tuple[Listing, ...]:
        key = vehicle_id, week
        if key not in self._listings:
            self._listings[key] = self._weeks.listings(self._vehicles[vehicle_id], week)
        return self._listings[key]

    def _user(self, number: int, now: int) -> Record:
        """The user's record; one whose cars are all deleted has left with the last of them."""
        cars = self._garages[user_id(self._options.seed, number)]
        record = user_record(self._options, number, cars[0].price_zone if cars else "DE_LU")
        gone = [car.deleted for car in cars if car.deleted is not None and car.deleted <= now]
        if cars and len(gone) == len(cars):
            record["deleted_at"] = stamp(max(gone))
        return record


def _by_user(options: SandboxOptions, vehicles: Iterable[Vehicle]) -> dict[UUID, list[Vehicle]]:
    garages: dict[UUID, list[Vehicle]] = {user_id(options.seed, number): [] for number in range(user_count(options))}
    for vehicle in vehicles:
        garages[vehicle.user_id].append(vehicle)
    return garages
