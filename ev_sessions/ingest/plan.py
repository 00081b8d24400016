"""Plan: which vehicles are asked, and for which of their days. One request window per vehicle, whatever its length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol
from uuid import UUID

from ev_sessions.days import ONE_DAY, DayRange

# A session may begin so long before its vehicle was created, as clocks and ways of creating vehicles differ: so the quality rule
# about it says by default. One window per vehicle is asked, so the day costs no request of its own.
_BEFORE_CREATION = ONE_DAY


class KnownVehicle(Protocol):
    """What planning needs to know of a vehicle; stamps are aware UTC, or None where unknown."""

    @property
    def user_id(self) -> UUID:
        """The customer who owns it."""

    @property
    def electric_vehicle_id(self) -> UUID:
        """The vehicle."""

    @property
    def created_at(self) -> datetime | None:
        """When it was added."""

    @property
    def deleted_at(self) -> datetime | None:
        """When it was deleted."""

    @property
    def missing_since(self) -> datetime | None:
        """When it was first no longer listed."""


@dataclass(frozen=True, slots=True)
class VehicleWindow:
    """One vehicle and the days that it is asked for."""

    user_id: UUID
    electric_vehicle_id: UUID
    days: DayRange


def plan(fleet: Iterable[KnownVehicle], wanted: Mapping[UUID, DayRange]) -> list[VehicleWindow]:
    """The windows to ask for: the days `wanted` of each vehicle, cut to its life.

    That is from the day before its creation to the day after its deletion, or to the day on which it was found to be listed
    no more. A vehicle with no day left costs no request, nor does one that is not in `wanted`.
    """
    return [
        VehicleWindow(vehicle.user_id, vehicle.electric_vehicle_id, window)
        for vehicle in fleet
        if (days := wanted.get(vehicle.electric_vehicle_id)) is not None
        and (window := days.clip(_first_day(vehicle), _last_day(vehicle))) is not None
    ]


def _utc_day(stamp: datetime | None) -> date | None:
    return None if stamp is None else stamp.astimezone(UTC).date()


def _first_day(vehicle: KnownVehicle) -> date | None:
    created = _utc_day(vehicle.created_at)
    return created and created - _BEFORE_CREATION


def _last_day(vehicle: KnownVehicle) -> date | None:
    deleted, missing = _utc_day(vehicle.deleted_at), _utc_day(vehicle.missing_since)
    return min((day for day in (deleted and deleted + ONE_DAY, missing) if day is not None), default=None)
