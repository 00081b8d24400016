"""One stay at a charger: when the car is charged, what that costs, and what charging at once would have cost.

The car is steered to the hours that the forecast calls cheap, and everything is valued at the prices that came, so savings are
negative where the forecast was wrong. Whole numbers throughout: Wh, W, seconds, 0.0001 EUR/kWh, 0.0001 EUR.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ev_sessions.sandbox.prices import Prices

SECONDS_PER_HOUR = 3600
_WH_PER_KWH = 1000


class Stay(NamedTuple):
    """A car at a charger, and what it needs. Instants are seconds since the epoch, UTC."""

    plug_in: int
    deadline: int
    end: int
    need_wh: int
    power_w: int
    price_zone: str


class Charge(NamedTuple):
    """What a stay came to. `first` and `last` bound the charging that was planned."""

    energy_wh: int
    seconds: int
    first: int
    last: int
    cost: int
    savings: int
    expected_savings: int


class _Slot(NamedTuple):
    """A stretch of charging within one hour: `hour` counts from the first hour of the stay."""

    hour: int
    begin: int
    seconds: int


def steer(stay: Stay, prices: Prices) -> Charge:
    """The charge when the forecast's cheapest hours before the deadline are used, and the car leaves at `end`."""
    market = _market(stay, prices)
    hours = range(_hours(stay.plug_in, stay.deadline))
    return _settle(stay, market, sorted(hours, key=market.forecast.__getitem__))


def charge_at_once(stay: Stay, prices: Prices) -> Charge:
    """The charge when nobody steers: from plug-in on, so nothing is saved."""
    return _settle(stay, _market(stay, prices), range(_hours(stay.plug_in, stay.deadline)))


class _Market(NamedTuple):
    """The prices of the hours of one stay."""

    actual: list[int]
    forecast: list[int]


def _market(stay: Stay, prices: Prices) -> _Market:
    hours = stay.plug_in // SECONDS_PER_HOUR, (max(stay.end, stay.deadline) - 1) // SECONDS_PER_HOUR
    return _Market(prices.actual(stay.price_zone, *hours), prices.forecast(stay.price_zone, *hours))


def _settle(stay: Stay, market: _Market, order: Sequence[int]) -> Charge:
    plan = _fill(stay, order, stay.deadline, _seconds_for(stay.need_wh, stay.power_w))
    done = plan if stay.end >= stay.deadline else [cut for slot in plan if (cut := _cut(slot, stay.end)) is not None]
    seconds = sum(slot.seconds for slot in done)
    at_once = _fill(stay, range(_hours(stay.plug_in, stay.end)), stay.end, seconds)
    cost = _value(done, market.actual, stay.power_w)
    return Charge(
        energy_wh=stay.power_w * seconds // SECONDS_PER_HOUR,
        seconds=seconds,
        first=min(slot.begin for slot in plan),
        last=max(slot.begin + slot.seconds for slot in plan),
        cost=cost,
        savings=_value(at_once, market.actual, stay.power_w) - cost,
        expected_savings=_value(at_once, market.forecast, stay.power_w) - _value(done, market.forecast, stay.power_w),
    )


def _fill(stay: Stay, order: Sequence[int], until: int, seconds: int) -> list[_Slot]:
    """Slots that hold `seconds` of charging, taken in `order` from the hours between plug-in and `until`."""
    start = stay.plug_in - stay.plug_in % SECONDS_PER_HOUR
    slots = []
    for hour in order:
        begin = max(stay.plug_in, start + hour * SECONDS_PER_HOUR)
        room = min(until, start + (hour + 1) * SECONDS_PER_HOUR) - begin
        taken = min(room, seconds)
        slots.append(_Slot(hour, begin, taken))
        seconds -= taken
        if not seconds:
            break
    return slots


def _cut(slot: _Slot, end: int) -> _Slot | None:
    seconds = min(slot.seconds, end - slot.begin)
    return _Slot(slot.hour, slot.begin, seconds) if seconds > 0 else None


def _value(slots: list[_Slot], prices: list[int], power_w: int) -> int:
    weighted = sum(slot.seconds * prices[slot.hour] for slot in slots)
    return round(weighted * power_w / (SECONDS_PER_HOUR * _WH_PER_KWH))


def _hours(begin: int, end: int) -> int:
    return (end - 1) // SECONDS_PER_HOUR - begin // SECONDS_PER_HOUR + 1


def _seconds_for(need_wh: int, power_w: int) -> int:
    return max(60, need_wh * SECONDS_PER_HOUR // power_w)
