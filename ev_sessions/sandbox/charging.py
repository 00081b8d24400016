"""One stay at a charger: when the car is charged, what that costs, and what charging at once would have cost.

The car is steered to the hours that the forecast calls cheap, and everything is valued at the prices that came, so savings are
negative where the forecast was wrong. Whole numbers throughout: Wh, W, seconds, 0.0001 EUR/kWh, 0.0001 EUR.
"""

from __future__ import annotations

from dataclasses import dataclass

from ev_sessions.sandbox.prices import Prices

SECONDS_PER_HOUR = 3600
_WH_PER_KWH = 1000


@dataclass(frozen=True, slots=True)
class Stay:
    """A car at a charger, and what it needs. Instants are seconds since the epoch, UTC."""

    plug_in: int
    deadline: int
    end: int
    need_wh: int
    power_w: int
    price_zone: str


@dataclass(frozen=True, slots=True)
class Charge:
    """What a stay came to. `first` and `last` bound the charging that was planned."""

    energy_wh: int
    seconds: int
    first: int
    last: int
    cost: int
    savings: int
    expected_savings: int


@dataclass(frozen=True, slots=True)
class _Slot:
    """A stretch of charging within one hour: `hour` counts from the first hour of the stay."""

    hour: int
    begin: int
    seconds: int


def steer(stay: Stay, prices: Prices) -> Charge:
    """The charge when the forecast's cheapest hours before the deadline are used, and the car leaves at `end`."""
    return _settle(stay, prices, _forecast_order(stay, prices))


def charge_at_once(stay: Stay, prices: Prices) -> Charge:
    """The charge when nobody steers: from plug-in on, so nothing is saved."""
    return _settle(stay, prices, list(range(_hours(stay.plug_in, stay.deadline))))


def _settle(stay: Stay, prices: Prices, order: list[int]) -> Charge:
    plan = _fill(stay, order, stay.deadline, _seconds_for(stay.need_wh, stay.power_w))
    done = [cut for slot in plan if (cut := _cut(slot, stay.end)) is not None]
    seconds = sum(slot.seconds for slot in done)
    at_once = _fill(stay, list(range(_hours(stay.plug_in, stay.end))), stay.end, seconds)
    first_hour = stay.plug_in // SECONDS_PER_HOUR
    last_hour = (max(stay.end, stay.deadline) - 1) // SECONDS_PER_HOUR
    actual = prices.actual(stay.price_zone, first_hour, last_hour)
    forecast = prices.forecast(stay.price_zone, first_hour, last_hour)
    cost = _value(done, actual, stay.power_w)
    return Charge(
        energy_wh=stay.power_w * seconds // SECONDS_PER_HOUR,
        seconds=seconds,
        first=min(slot.begin for slot in plan),
        last=max(slot.begin + slot.seconds for slot in plan),
        cost=cost,
        savings=_value(at_once, actual, stay.power_w) - cost,
        expected_savings=_value(at_once, forecast, stay.power_w) - _value(done, forecast, stay.power_w),
    )


def _forecast_order(stay: Stay, prices: Prices) -> list[int]:
    count = _hours(stay.plug_in, stay.deadline)
    first = stay.plug_in // SECONDS_PER_HOUR
    forecast = prices.forecast(stay.price_zone, first, first + count - 1)
    return sorted(range(count), key=forecast.__getitem__)


def _fill(stay: Stay, order: list[int], until: int, seconds: int) -> list[_Slot]:
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
