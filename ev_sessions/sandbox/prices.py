"""A day-ahead market: an hourly price and what was forecast for it, per price zone, with negative hours now and then.

Prices are whole units of 0.0001 EUR/kWh (0.1 EUR/MWh), so that costs add up exactly. Hours are counted since the epoch, UTC.
"""

from __future__ import annotations

from datetime import date

from ev_sessions.sandbox.chance import stream
from ev_sessions.sandbox.truth import EPOCH_DAY

HOURS_PER_DAY = 24

_BASE = {"AT": 880, "DE_LU": 850, "EE": 830, "IT_NORD": 1080, "PT": 640, "SE_3": 520, "UK": 910}
_MORNING_AND_EVENING_PEAK = (
    *(0.78, 0.72, 0.68, 0.66, 0.70, 0.86, 1.10, 1.26, 1.22, 1.06, 0.94, 0.86),
    *(0.80, 0.78, 0.84, 0.96, 1.12, 1.34, 1.46, 1.38, 1.18, 1.02, 0.92, 0.84),
)
_BY_MONTH = (1.20, 1.15, 1.00, 0.88, 0.82, 0.85, 0.90, 0.94, 1.00, 1.06, 1.14, 1.22)
_SUN = (0, 0, 0, 0, 0, 0, 0, 0.1, 0.35, 0.65, 0.9, 1, 1, 0.9, 0.65, 0.35, 0.1, 0, 0, 0, 0, 0, 0, 0)
_SUMMER = range(4, 10)
_WEEKEND_FACTOR = 0.88
_SATURDAY = 5
_WINDY_CHANCE = 0.06
_SUNNY_CHANCE = 0.2


class Prices:
    """The prices of every zone and hour, a function of `seed`."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._days: dict[tuple[str, int], tuple[list[int], list[int]]] = {}

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones that have a market, as the API names them."""
        return tuple(_BASE)

    def actual(self, zone: str, first: int, last: int) -> list[int]:
        """What the hours `first`..`last` cost."""
        return self._slice(zone, first, last, which=0)

    def forecast(self, zone: str, first: int, last: int) -> list[int]:
        """What they were expected to cost."""
        return self._slice(zone, first, last, which=1)

    def _slice(self, zone: str, first: int, last: int, which: int) -> list[int]:
        first_day, last_day = first // HOURS_PER_DAY, last // HOURS_PER_DAY
        hours = [price for day in range(first_day, last_day + 1) for price in self._day(zone, day)[which]]
        offset = first - first_day * HOURS_PER_DAY
        return hours[offset : offset + last - first + 1]

    def _day(self, zone: str, day: int) -> tuple[list[int], list[int]]:
        found = self._days.get((zone, day))
        if found is None:
            found = self._days[zone, day] = self._draw(zone, day)
        return found

    def _draw(self, zone: str, day: int) -> tuple[list[int], list[int]]:
        chance = stream(self._seed, "prices", zone, day)
        calendar = date.fromordinal(day + EPOCH_DAY)
        level = _BASE[zone] * _BY_MONTH[calendar.month - 1] * chance.gauss(1, 0.15)
        if calendar.weekday() >= _SATURDAY:
            level *= _WEEKEND_FACTOR
        wind = chance.uniform(300, 700) if chance.random() < _WINDY_CHANCE else 0
        sunny = calendar.month in _SUMMER and chance.random() < _SUNNY_CHANCE
        sun = chance.uniform(300, 900) if sunny else 0
        actual = [
            round(level * shape - wind - sun * light + chance.gauss(0, 40))
            for shape, light in zip(_MORNING_AND_EVENING_PEAK, _SUN, strict=True)
        ]
        return actual, [round(price + chance.gauss(0, 150)) for price in actual]
