"""The simulated API over the weeks of a soak: its fleet, whose sessions may be listed late, and what befalls it when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from ev_sessions.days import ONE_DAY, DayRange
from ev_sessions.sandbox import Quirks, Sandbox, SandboxOptions, SimulatedFleet
from ev_sessions.sandbox.chance import share
from ev_sessions.sandbox.truth import Listing, Record

HISTORY_BEFORE = 14
"""Days of sessions that are there already when the soak begins."""
SETTLED_AFTER = 17
"""Days after its plug-in by which nothing more happens to a session: stay, lateness and restatement together."""

_LATE_SHARE = 0.05
_LATEST = timedelta(days=5)
_TICKS = (time(3, 15), time(3, 40), time(5, 0), time(21, 0))
"""When the machine looks at its schedules and sensors. The daemon does so all day; these moments see every due time pass."""


class SoakFleet(SimulatedFleet):
    """A fleet in which some sessions are listed days after their end, and some vehicles join with a history of their own."""

    def __init__(self, options: SandboxOptions, joins: Mapping[UUID, datetime]) -> None:
        super().__init__(options)
        self._seed = options.seed
        self._joins = joins

    def vehicles(self, user_id: UUID | None, now: datetime) -> list[Record]:
        """The vehicles that have joined by now."""
        return [car for car in super().vehicles(user_id, now) if now >= self._joins.get(UUID(car["id"]), now)]

    def plugged_in(self, vehicle_id: UUID, first: int, last: int) -> Sequence[Listing]:
        """The sessions, each with its own lateness."""
        return [self._delayed(listing) for listing in super().plugged_in(vehicle_id, first, last)]

    def _delayed(self, listing: Listing) -> Listing:
        if share(self._seed, "late", listing.id) >= _LATE_SHARE:
            return listing
        delay = round(share(self._seed, "lateness", listing.id) * _LATEST.total_seconds())
        return replace(
            listing,
            versions=tuple(replace(version, since=version.since + delay) for version in listing.versions),
            withdrawn=None if listing.withdrawn is None else listing.withdrawn + delay,
        )


@dataclass(frozen=True, slots=True)
class Spell:
    """A stretch of time (aware UTC); the end is not part of it."""

    begin: datetime
    end: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.begin <= moment < self.end


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens when. `outages`: the machine is down. The rest happens to the API."""

    first_tick: datetime
    last_day: date
    outages: tuple[Spell, ...]
    credentials_revoked: Spell
    refusing: Spell
    """A vehicle answers 500."""
    gone: Spell
    """Another vehicle answers 404, and comes back."""
    joining: datetime
    """Two vehicles join that are older than the history."""

    @classmethod
    def over(cls, days: DayRange, *, lookback_days: int) -> Plan:
        """The events of a soak over `days`, at the same parts of it whatever its length."""

        def spell(part: float, length: float) -> Spell:
            begin = _instant(days.first + timedelta(days=int(len(days) * part)), time(2))
            return Spell(begin, begin + timedelta(days=length))

        settling = _instant(days.last + ONE_DAY, time(12))
        return cls(
            first_tick=_instant(days.first, time(3, 15)),
            last_day=days.last,
            outages=(
                spell(0.25, lookback_days - 0.7),
                spell(0.60, lookback_days + 2.3),
                # When nothing plugs in any more, the clock may leap: one more outage, over all that is still to come.
                Spell(settling, settling + timedelta(days=SETTLED_AFTER)),
            ),
            credentials_revoked=spell(0.45, 0.25),
            refusing=spell(0.15, 2),
            gone=spell(0.75, 3),
            joining=spell(0.5, 1).begin,
        )

    def moments(self, days_after: int) -> Iterator[datetime]:
        """When the machine is up and looks what is due, until so many days after the last outage (aware UTC)."""
        last = self.outages[-1].end.date() + timedelta(days=days_after)
        for day in DayRange(self.first_tick.date(), last):
            for tick in _TICKS:
                moment = _instant(day, tick)
                if moment >= self.first_tick and not any(moment in outage for outage in self.outages):
                    yield moment


class World:
    """The sandbox, and what the plan does to it. Vehicles 0 and 1 join, 2 refuses, 3 is gone for a while."""

    def __init__(self, *, days: DayRange, vehicles: int, seed: int, lookback_days: int) -> None:
        options = SandboxOptions(
            end=days.last,
            days=len(days) + HISTORY_BEFORE,
            vehicles=vehicles,
            vehicles_per_user=2,
            seed=seed,
            now=_instant(days.first, time()),
            rate_limit=60,
            fail_rate=0.02,
            drift=0.1,
            malformed_rate=0.01,
            restated_rate=0.08,
            withdrawn_rate=0.03,
            added_rate=0.15,
            deleted_rate=0.15,
        )
        self.plan = Plan.over(days, lookback_days=lookback_days)
        old = [UUID(car["id"]) for car in SimulatedFleet(options).vehicles(None, _instant(options.history.first, time()))]
        self._refusing, self._gone = old[2:4]
        self.joining = old[:2]
        self.sandbox = Sandbox(options, SoakFleet(options, dict.fromkeys(self.joining, self.plan.joining)))
        self._secret = self.sandbox.client_secret

    def move_to(self, moment: datetime) -> None:
        """Let the API be as it is at that moment."""
        self.sandbox.now = moment
        self.sandbox.quirks = {
            vehicle: quirks
            for vehicle, quirks, spell in (
                (self._refusing, Quirks(status=500), self.plan.refusing),
                (self._gone, Quirks(status=404), self.plan.gone),
            )
            if moment in spell
        }
        if moment in self.plan.credentials_revoked:
            self.sandbox.client_secret = "another one"  # noqa: S105 - nobody's
            self.sandbox.revoke_tokens()
        else:
            self.sandbox.client_secret = self._secret


def _instant(day: date, at: time) -> datetime:
    return datetime.combine(day, at, UTC)
