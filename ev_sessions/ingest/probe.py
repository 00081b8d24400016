"""Probe: what the API's `from` and `to` filter on, found out with a few one-day windows on a few vehicles.

Only a session over midnight can tell: the day of its plug-in and the day of its end are asked for alone, and the rule that
fits every answer, where all others fail on several sessions, is the API's. Whether lists are ordered, whether `to` is
inclusive, and what days without a session answer, is told beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import Protocol
from uuid import UUID

from ev_sessions.days import DayRange
from ev_sessions.ingest.placement import Stamps, session_day
from ev_sessions.ingest.sample import VehicleKey
from ev_sessions.partner_api import PartnerApi, RequestFailed, RequestRefused, SessionRecord, VehicleGone
from ev_sessions.settings import SessionDay

ENOUGH_SESSIONS = 5
"""So many sessions must speak against a rule before it is given up; one could be a slip of the API's."""

_ENOUGH_NEIGHBOURS = 5
# Twice as many sessions as are needed, some of which may fall away; each asks for two days.
_SESSIONS_ASKED = 2 * ENOUGH_SESSIONS
# How many requests may have been made when one of each kind begins: about 40 in all, whatever the fleet is like.
_BEFORE_A_RECENT_LIST = 16
_BEFORE_AN_OLD_LIST = 24
_BEFORE_A_DAY = 36


class Session(Stamps, Protocol):
    """What the judgement needs to know of a session."""

    @property
    def id(self) -> UUID:
        """The session."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Whether `session` was listed when its vehicle was asked for the UTC day `day` alone."""

    session: Session
    day: date
    listed: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `from` and `to` filter on, or None and in `reason` why it cannot be said.

    `telling` counts the sessions that could have told; `against` those that contradict each rule.
    """

    session_day: SessionDay | None
    telling: int
    against: Mapping[SessionDay, int]
    reason: str


class ListOrder(StrEnum):
    """How lists of sessions are ordered."""

    OLDEST_FIRST = "by plug-in time, oldest first"
    NEWEST_FIRST = "by plug-in time, newest first"
    OTHER = "not by plug-in time"
    UNKNOWN = "unknown: too few sessions to tell"


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe found, and what it took: vehicles and sessions looked at, one-day windows and requests.

    `to_is_inclusive` is None where no day could be asked. `quiet_day` and `future_day` say in words how the API answers for a
    past day without a session, and for one that is yet to come; None where there was nothing to ask.
    """

    verdict: Verdict
    order: ListOrder
    to_is_inclusive: bool | None
    quiet_day: str | None
    future_day: str | None
    vehicles: int
    sessions: int
    windows: int
    requests: int


Lists = Mapping[VehicleKey, Sequence[SessionRecord]]


async def probe(api: PartnerApi, vehicles: Sequence[VehicleKey], recent: DayRange, history: DayRange, future: date) -> Probed:
    """Ask about `vehicles`: their sessions of the `recent` days (of all `history` where those are empty), then single days.

    Takes about 40 requests at most. `future` is a UTC day that is yet to come.

    Raises:
        CredentialsRefused, RequestRefused, RetryBudgetSpent, ...: what concerns all vehicles.
    """
    lists, asked = await _lists(api, vehicles, recent, _BEFORE_A_RECENT_LIST), recent
    if not any(lists.values()):
        lists, asked = await _lists(api, vehicles, history, _BEFORE_AN_OLD_LIST), history
    windows, sightings = 0, list[Sighting]()
    for vehicle, day in telling_days(lists)[: max(0, _BEFORE_A_DAY - api.counts.requests)]:
        windows += 1
        sightings += await _sightings(api, vehicle, day, lists[vehicle])
    quiet, first = _quiet_day(lists, asked), next(iter(lists), None)
    return Probed(
        verdict=judge(sightings),
        order=order_of(lists.values()),
        to_is_inclusive=any(sighting.listed for sighting in sightings) if sightings else None,
        quiet_day=None if quiet is None else await _answer_in_words(api, *quiet),
        future_day=None if first is None else await _answer_in_words(api, first, future),
        vehicles=len(lists),
        sessions=sum(map(len, lists.values())),
        windows=windows,
        requests=api.counts.requests,
    )


def would_list(rule: SessionDay, session: Stamps, day: date) -> bool:
    """Whether an API that filters by `rule` lists `session` for the UTC day `day` alone."""
    if rule is SessionDay.OVERLAP:
        return session_day(session, SessionDay.PLUG_IN_TIME) <= day <= session_day(session, SessionDay.UNPLUG_TIME)
    return session_day(session, rule) == day


def judge(sightings: Sequence[Sighting]) -> Verdict:
    """The rule that no sighting contradicts, where at least `ENOUGH_SESSIONS` sessions contradict each of the others."""
    telling = {sighting.session.id for sighting in sightings if _tells(sighting)}
    contradicting = {
        rule: {
            sighting.session.id
            for sighting in sightings
            if sighting.listed is not would_list(rule, sighting.session, sighting.day)
        }
        for rule in SessionDay
    }
    against = {rule: len(sessions) for rule, sessions in contradicting.items()}
    fitting = [rule for rule, sessions in against.items() if sessions == 0]
    refuted = [rule for rule, sessions in against.items() if sessions >= ENOUGH_SESSIONS]
    if len(telling) < ENOUGH_SESSIONS:
        found, reason = None, f"{ENOUGH_SESSIONS} sessions over midnight are needed, {len(telling)} were found; try again later"
    elif not fitting:
        found, reason = None, "no rule fits every answer, so the API filters in a way that is not known here; ask its maker"
    elif len(refuted) < len(SessionDay) - 1:
        found, reason = None, "the answers fit more than one rule; try again when there are more sessions"
    else:
        found, reason = fitting[0], "every answer fits it, and no other rule"
    return Verdict(found, len(telling), against, reason)


def order_of(lists: Iterable[Sequence[Stamps]]) -> ListOrder:
    """How `lists`, each in the order of its answer, are ordered."""
    neighbours = [
        (earlier.plug_in_time, later.plug_in_time)
        for sessions in lists
        for earlier, later in pairwise(sessions)
        if earlier.plug_in_time != later.plug_in_time
    ]
    rising = sum(earlier < later for earlier, later in neighbours)
    if len(neighbours) < _ENOUGH_NEIGHBOURS:
        return ListOrder.UNKNOWN
    if rising == len(neighbours):
        return ListOrder.OLDEST_FIRST
    return ListOrder.NEWEST_FIRST if rising == 0 else ListOrder.OTHER


def telling_days(lists: Lists) -> list[tuple[VehicleKey, date]]:
    """The days to ask for alone: those of plug-in and end of the sessions over midnight, the longest of them first."""
    over_midnight = [
        (last - first, vehicle, first, last)
        for vehicle, sessions in lists.items()
        for session in sessions
        if (first := session_day(session, SessionDay.PLUG_IN_TIME)) < (last := session_day(session, SessionDay.UNPLUG_TIME))
    ]
    chosen = sorted(over_midnight, key=lambda stay: stay[0], reverse=True)[:_SESSIONS_ASKED]
    return list(dict.fromkeys((vehicle, day) for _, vehicle, first, last in chosen for day in (first, last)))


def _tells(sighting: Sighting) -> bool:
    """Whether the rules differ about it."""
    return len({would_list(rule, sighting.session, sighting.day) for rule in SessionDay}) > 1


async def _lists(
    api: PartnerApi, vehicles: Sequence[VehicleKey], days: DayRange, most_requests: int
) -> dict[VehicleKey, list[SessionRecord]]:
    """The sessions of each vehicle, in the API's order; one that cannot be read, or is beyond `most_requests`, is left out."""
    lists: dict[VehicleKey, list[SessionRecord]] = {}
    for user_id, vehicle_id in vehicles:
        if api.counts.requests >= most_requests:
            break
        try:
            lists[user_id, vehicle_id] = (await api.sessions(user_id, vehicle_id, days)).sessions
        except (VehicleGone, RequestFailed):
            continue
    return lists


async def _sightings(api: PartnerApi, vehicle: VehicleKey, day: date, known: Sequence[SessionRecord]) -> list[Sighting]:
    """What the answer for `day` says about those of the `known` sessions that any rule would list; nothing if it fails."""
    try:
        answer = await api.sessions(*vehicle, DayRange(day, day))
    except (VehicleGone, RequestFailed):
        return []
    listed = {session.id for session in answer.sessions}
    return [
        Sighting(session, day, session.id in listed)
        for session in known
        if session.id in listed or any(would_list(rule, session, day) for rule in SessionDay)
    ]


def _quiet_day(lists: Lists, days: DayRange) -> tuple[VehicleKey, date] | None:
    """A vehicle that was used, and one of `days` on which it was not plugged in at all."""
    for vehicle, sessions in lists.items():
        for day in days if sessions else ():
            if not any(would_list(SessionDay.OVERLAP, session, day) for session in sessions):
                return vehicle, day
    return None


async def _answer_in_words(api: PartnerApi, vehicle: VehicleKey, day: date) -> str:
    try:
        answer = await api.sessions(*vehicle, DayRange(day, day))
    except (RequestRefused, RequestFailed) as error:
        return str(error)
    return f"{answer.total} sessions" if answer.total else "an empty list"
