"""The sums that the API gives itself: of one vehicle by period, and of the organisation, from the truth's listed sessions.

A malformed record counts as a session, though nobody can read its figures. The options make the sums wrong, cut the periods in
another way, or give the answers a shape that nobody expects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from ev_sessions.days import ONE_DAY, DayRange
from ev_sessions.price_zones import time_zones
from ev_sessions.sandbox.chance import share
from ev_sessions.sandbox.options import SavingsPeriod
from ev_sessions.sandbox.records import typed_row
from ev_sessions.sandbox.state import SandboxState
from ev_sessions.sandbox.truth import Listing, Version

PERIODS: Mapping[str, Callable[[date], date]] = {
    "1DAY": lambda day: day,
    "1WEEK": lambda day: day - timedelta(days=day.weekday()),
    "1MONTH": lambda day: day.replace(day=1),
    "1QUARTER": lambda day: day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1),
    "1YEAR": lambda day: day.replace(month=1, day=1),
}
"""The resolutions, and the first day of the period that a day lies in."""

# What a vehicle whose savings are wrong has too much.
_WRONG_BY = Decimal("1.05")

_WH_PER_KWH = 1000
_MONEY = Decimal("0.0001")
_ZONES = time_zones({})

# So that a session is found whose day by another cut lies outside the days of its plug-in.
_AROUND = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class _Sums:
    sessions: int
    energy_kwh: Decimal
    savings_eur: Decimal


def vehicle_savings(state: SandboxState, vehicle: UUID, window: DayRange, resolution: str) -> dict[str, Any]:
    """The body of the answer about one vehicle: a period for each that `window` touches, cut to it."""
    periods = [list(days) for _, days in groupby(window, key=PERIODS[resolution])]
    data = [_entry(state, vehicle, DayRange(days[0], days[-1]), resolution) for days in periods]
    if state.options.odd_savings:
        return _odd(state, data)
    return {"metadata": {"resolution": resolution}, "data": data}


def organisation_savings(state: SandboxState, window: DayRange) -> dict[str, Any]:
    """The body of the answer about the organisation."""
    savings = sum((_sums(state, vehicle, window).savings_eur for vehicle in state.truth.vehicle_ids()), start=Decimal(0))
    total = float(savings.quantize(_MONEY))
    if state.options.odd_savings:
        return _odd(state, [{"amount": total}])
    return {"total_savings": total, "heat_pump_savings": 0, "electric_vehicle_savings": total, "inverter_savings": None}


def _entry(state: SandboxState, vehicle: UUID, days: DayRange, resolution: str) -> dict[str, Any]:
    sums = _sums(state, vehicle, days)
    return {
        "resolution": resolution,
        "period": {"start_period": f"{days.first}T00:00:00Z", "end_period": f"{days.last + ONE_DAY}T00:00:00Z"},
        "savings": {"total": float(sums.savings_eur.quantize(_MONEY)), "percentage": None},
        "consumption": {"total": float(sums.energy_kwh)},
        "electric_vehicle": {
            "estimated_consumption_wh": int(sums.energy_kwh * _WH_PER_KWH),
            "charge_session_count": sums.sessions,
            "average_charge_power_w": None,
        },
    }


def _sums(state: SandboxState, vehicle: UUID, days: DayRange) -> _Sums:
    versions = list(_listed(state, vehicle, days))
    rows = [typed_row(version.body) for version in versions if version.well_formed]
    wrong = share(state.options.seed, "wrong savings", vehicle) < state.options.wrong_savings
    savings = _total(row["actual_savings_eur"] for row in rows)
    return _Sums(
        sessions=len(versions),
        energy_kwh=_total(row["energy_charged_kwh"] for row in rows),
        savings_eur=savings * _WRONG_BY if wrong else savings,
    )


def _listed(state: SandboxState, vehicle: UUID, days: DayRange) -> Iterator[Version]:
    now, zone = int(state.now.timestamp()), _zone(state, vehicle)
    for listing in state.truth.listings(vehicle, days.first - _AROUND, days.last + _AROUND):
        version = None if listing.id in state.withdrawn else listing.version(now)
        if version is not None and _day(listing, state.options.savings_period, zone) in days:
            yield version


def _day(listing: Listing, cut: SavingsPeriod, zone: ZoneInfo) -> date:
    end = listing.plug_in if listing.end is None else listing.end
    match cut:
        case SavingsPeriod.PLUG_IN:
            return datetime.fromtimestamp(listing.plug_in, UTC).date()
        case SavingsPeriod.END:
            return datetime.fromtimestamp(end, UTC).date()
        case SavingsPeriod.LOCAL_END:
            return datetime.fromtimestamp(end, zone).date()


def _zone(state: SandboxState, vehicle: UUID) -> ZoneInfo:
    cars = state.truth.vehicles(state.truth.owner(vehicle), state.now)
    price_zone = next((car["price_zone"] for car in cars if car["id"] == str(vehicle)), None)
    return ZoneInfo(_ZONES.get(price_zone or "", "UTC"))


def _total(values: Iterator[Decimal | None]) -> Decimal:
    return sum((value for value in values if value is not None), start=Decimal(0))


def _odd(state: SandboxState, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Another shape, with somebody's address in it, which no reader may show."""
    return {"count": len(results), "asked_by": state.truth.users(state.now)[-1]["email"], "results": results}
