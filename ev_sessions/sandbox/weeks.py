"""A vehicle's sessions in one week, drawn together so that they follow one another, and apart from every other week.

A week begins on Monday at noon, local time, and its last session ends by the next one's noon: that keeps weeks free of each
other, so that any window of any vehicle can be made without what came before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from random import Random
from uuid import uuid5
from zoneinfo import ZoneInfo

from ev_sessions.sandbox.bodies import COMMON_BREAKAGES, Gaps, Session, body, restated
from ev_sessions.sandbox.chance import stream
from ev_sessions.sandbox.charging import SECONDS_PER_HOUR, Stay, charge_at_once, steer
from ev_sessions.sandbox.households import Vehicle
from ev_sessions.sandbox.options import SandboxOptions
from ev_sessions.sandbox.prices import Prices
from ev_sessions.sandbox.truth import EPOCH_DAY, SECONDS_PER_DAY, Listing, Version

DAYS_PER_WEEK = 7
# 1970-01-01 was a Thursday; day 4 since the epoch is the first Monday.
_FIRST_MONDAY = 4
_NOON = 12.0
# So that a session plugs in on the same day by UTC as by the local clock, in every zone.
_EARLIEST_ARRIVAL = 5.0
_LATEST_ARRIVAL = 23.4
_SHORTEST_STAY_HOURS = 0.25
_SECONDS_PER_MINUTE = 60
_ON_THE_ROAD_SECONDS = 900
_NIGHTS = (1, 2, 3)
_NIGHT_WEIGHTS = (0.9, 0.06, 0.04)
_AWAY_CHANCE = 0.04
_LEAVES_EARLY_CHANCE = 0.12
_AWAY_POWERS_W = (11_000, 22_000, 50_000)
TIME_ZONES = {
    "AT": "Europe/Vienna",
    "DE_LU": "Europe/Berlin",
    "EE": "Europe/Tallinn",
    "IT_NORD": "Europe/Rome",
    "PT": "Europe/Lisbon",
    "SE_3": "Europe/Stockholm",
    "UK": "Europe/London",
}
"""The price zones of the simulated fleet, and the local time that people keep there."""


def week_of(day: int) -> int:
    """The number of the week in which a day (since the epoch) lies, from Monday to Sunday."""
    return (day - _FIRST_MONDAY) // DAYS_PER_WEEK


class Weeks:
    """Makes the weeks of a fleet: a function of the options' seed, the vehicle and the week."""

    def __init__(self, options: SandboxOptions, prices: Prices) -> None:
        self._options = options
        self._prices = prices
        self._first = options.history.first.toordinal() - EPOCH_DAY
        self._last = options.history.last.toordinal() - EPOCH_DAY
        self._offsets: dict[tuple[str, int], int] = {}

    def sessions(self, vehicle: Vehicle, week: int) -> list[Session]:
        """The sessions that plug in in that week, in order, ended or not."""
        chance = stream(self._options.seed, "week", vehicle.number, week)
        return [session for session in self._draw(vehicle, week, chance) if self._exists(vehicle, session)]

    def listings(self, vehicle: Vehicle, week: int) -> tuple[Listing, ...]:
        """The same sessions as the API lists them."""
        chance = stream(self._options.seed, "listings", vehicle.number, week)
        return tuple(self._listing(session, chance) for session in self.sessions(vehicle, week))

    def _exists(self, vehicle: Vehicle, session: Session) -> bool:
        if not self._first <= session.stay.plug_in // SECONDS_PER_DAY <= self._last:
            return False
        return session.stay.plug_in >= vehicle.created and (vehicle.deleted is None or session.stay.end <= vehicle.deleted)

    def _draw(self, vehicle: Vehicle, week: int, chance: Random) -> Iterator[Session]:
        monday = _FIRST_MONDAY + week * DAYS_PER_WEEK
        closes = self._at(vehicle, monday + DAYS_PER_WEEK, _NOON)
        free_from, soc = self._at(vehicle, monday, _NOON) + _ON_THE_ROAD_SECONDS, chance.randint(300, 700)
        for weekday in range(DAYS_PER_WEEK):
            if chance.random() >= vehicle.habit.plug_in_chance[weekday]:
                continue
            stay = self._stay(vehicle, monday + weekday, free_from, closes, chance)
            if stay is None:
                continue
            session = self._charge(vehicle, stay, soc, chance)
            yield session
            free_from = session.stay.end + _ON_THE_ROAD_SECONDS
            soc = max(80, session.final_soc - chance.randint(60, 420))

    def _at(self, vehicle: Vehicle, day: int, hour: float) -> int:
        """The instant of a local hour of that day."""
        key = vehicle.price_zone, day
        if key not in self._offsets:
            noon = datetime.combine(date.fromordinal(day + EPOCH_DAY), datetime.min.time(), UTC).replace(hour=12)
            offset = noon.astimezone(ZoneInfo(TIME_ZONES[vehicle.price_zone])).utcoffset()
            self._offsets[key] = int(offset.total_seconds()) if offset else 0
        return day * SECONDS_PER_DAY + int(hour * SECONDS_PER_HOUR) - self._offsets[key]

    def _stay(self, vehicle: Vehicle, day: int, free_from: int, closes: int, chance: Random) -> Stay | None:
        """A stay that begins on that day; None where the car is still plugged in, or the week is over."""
        habit = vehicle.habit
        daytime = chance.random() < habit.daytime_chance
        arrival = chance.gauss(11.0, 2.0) if daytime else chance.gauss(habit.arrival_hour, habit.arrival_spread)
        plug_in = self._at(vehicle, day, min(max(arrival, _EARLIEST_ARRIVAL), _LATEST_ARRIVAL)) + chance.randrange(
            _SECONDS_PER_MINUTE
        )
        if daytime:
            leaves = plug_in + int(chance.uniform(1.0, 6.0) * SECONDS_PER_HOUR)
        else:
            nights = chance.choices(_NIGHTS, _NIGHT_WEIGHTS)[0]
            leaves = self._at(vehicle, day + nights, chance.gauss(habit.leaves_hour, 1.0)) + chance.randrange(_SECONDS_PER_MINUTE)
        plug_in, leaves = max(plug_in, free_from), min(leaves, closes)
        day_is_over = plug_in >= self._at(vehicle, day, _LATEST_ARRIVAL) + _SECONDS_PER_MINUTE
        if day_is_over or leaves - plug_in < _SHORTEST_STAY_HOURS * SECONDS_PER_HOUR:
            return None
        return Stay(plug_in, leaves, leaves, 0, vehicle.charger_w, vehicle.price_zone)

    def _charge(self, vehicle: Vehicle, stay: Stay, soc: int, chance: Random) -> Session:
        at_home = chance.random() >= _AWAY_CHANCE
        target = max(vehicle.target_pct * 10, soc + 20)
        power = round(stay.power_w * chance.uniform(0.9, 1.0)) if at_home else chance.choice(_AWAY_POWERS_W)
        stay = stay._replace(need_wh=vehicle.battery_wh * (target - soc) // 1000, power_w=power)
        if at_home and chance.random() < _LEAVES_EARLY_CHANCE:
            stay = stay._replace(end=stay.plug_in + int((stay.deadline - stay.plug_in) * chance.uniform(0.5, 0.95)))
        charge = steer(stay, self._prices) if at_home else charge_at_once(stay, self._prices)
        return Session(
            id=uuid5(vehicle.id, str(stay.plug_in)),
            stay=stay,
            charge=charge,
            at_home=at_home,
            initial_soc=soc,
            final_soc=min(1000, soc + charge.energy_wh * 1000 // vehicle.battery_wh),
            target_soc=min(1000, target),
        )

    def _listing(self, session: Session, chance: Random) -> Listing:
        options, end = self._options, session.stay.end
        gaps = Gaps.draw(chance)
        breakage = chance.choice(COMMON_BREAKAGES) if chance.random() < options.malformed_rate else None
        versions = [Version(end, body(session, gaps, breakage), well_formed=breakage is None)]
        later = end + SECONDS_PER_DAY + chance.randrange(5 * SECONDS_PER_DAY)
        if chance.random() < options.restated_rate:
            # A restatement mends a broken record, too.
            versions.append(Version(later, body(restated(session, chance), gaps), well_formed=True))
        withdrawn = later if chance.random() < options.withdrawn_rate else None
        return Listing(session.id, session.stay.plug_in, None if gaps.end else end, tuple(versions), withdrawn)
