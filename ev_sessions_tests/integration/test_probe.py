"""The probe: it finds out what the API filters on, and says so when it cannot tell."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_sessions.days import ONE_DAY, DayRange
from ev_sessions.ingest.probe import ENOUGH_SESSIONS, ListOrder, Probed, Sighting, Verdict, judge, order_of, probe, would_list
from ev_sessions.ingest.sample import customers_first, sample_vehicles
from ev_sessions.partner_api import ClientCredentials, PartnerApi, PartnerApiConfig
from ev_sessions.sandbox import Order, Quirks, Recording, Sandbox, SandboxOptions, serving
from ev_sessions.settings import SessionDay
from ev_sessions_tests.pipeline import LAST_DAY, sandbox_with

MONTH = DayRange(LAST_DAY - timedelta(days=29), LAST_DAY)
FUTURE = date(2030, 1, 1)


@dataclass(frozen=True)
class Stay:
    """A session, as far as the judgement looks at it."""

    id: UUID
    plug_in_time: datetime
    unplug_time: datetime | None = None
    inferred_session_end: datetime | None = None


def probed(sandbox: Sandbox, recent: DayRange = MONTH, history: DayRange = MONTH) -> Probed:
    """What a probe of `sandbox` finds."""

    async def ask(url: str) -> Probed:
        credentials = ClientCredentials(sandbox.client_id, sandbox.client_secret)
        async with PartnerApi(PartnerApiConfig(url, sandbox.org_id, credentials, max_requests_per_second=0)) as api:
            users, _ = await api.users()
            vehicles = await sample_vehicles(api, customers_first(users)[:8], enough=8)
            return await probe(api, vehicles, recent, history, FUTURE)

    with serving(sandbox) as url:
        return asyncio.run(ask(url))


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("rule", SessionDay)
def test_what_the_api_filters_on_is_found_with_few_requests_whatever_its_order(rule: SessionDay, order: Order) -> None:
    sandbox = sandbox_with(vehicles=10, days=30, session_day=rule, order=order)
    found = probed(sandbox)
    assert found.verdict.session_day is rule
    assert found.verdict.against[rule] == 0
    assert found.verdict.telling >= ENOUGH_SESSIONS
    assert found.order is (ListOrder.OLDEST_FIRST if order is Order.PLUG_IN else ListOrder.OTHER)
    assert found.to_is_inclusive
    assert (found.quiet_day, found.future_day) == ("an empty list", "an empty list")
    assert found.requests == sandbox.counts.total - sandbox.counts.token
    assert sandbox.counts.total <= 40


def test_sessions_from_long_ago_do_where_there_are_no_recent_ones() -> None:
    sandbox = sandbox_with(vehicles=10, days=30)
    found = probed(sandbox, recent=DayRange(date(2027, 1, 1), date(2027, 1, 31)))
    assert found.verdict.session_day is SessionDay.PLUG_IN_TIME
    assert sandbox.counts.total <= 40


def test_faults_and_vehicles_that_are_gone_do_not_spoil_the_probe() -> None:
    sandbox = sandbox_with(vehicles=10, days=30, session_day=SessionDay.UNPLUG_TIME, malformed_rate=0.05)
    sandbox.quirks[sandbox.truth.vehicle_ids()[0]] = Quirks(status=404)
    sandbox.cut_next(2)
    assert probed(sandbox).verdict.session_day is SessionDay.UNPLUG_TIME


def test_a_fleet_that_never_charges_over_midnight_leaves_it_undecided(tmp_path: Path) -> None:
    days = [LAST_DAY - timedelta(days=ago) for ago in range(20)]
    sandbox = recorded(tmp_path, [(at(day, 8), at(day, 18)) for day in days])
    verdict = probed(sandbox).verdict
    assert verdict.session_day is None
    assert verdict.reason == "5 sessions over midnight are needed, 0 were found; try again later"


def test_a_fleet_without_sessions_leaves_everything_undecided_and_says_how_the_future_answers() -> None:
    found = probed(sandbox_with(vehicles=3, now=datetime(2020, 1, 1, tzinfo=UTC), added_rate=0))
    assert found.verdict.session_day is None
    assert found.order is ListOrder.UNKNOWN
    assert found.to_is_inclusive is None
    assert found.quiet_day is None


def test_an_api_that_refuses_the_future_is_quoted() -> None:
    willing, refusing = sandbox_with(vehicles=1), sandbox_with(vehicles=1)
    probed(willing)
    last = willing.counts.sessions
    refusing.at_request(last, lambda: refusing.fail_next(status=422))
    answer = probed(refusing).future_day
    assert answer is not None
    assert "the API answers 422" in answer


def test_sessions_without_an_end_tell_nothing() -> None:
    stays = [Stay(UUID(int=number), at(LAST_DAY, 20)) for number in range(9)]
    assert judge([Sighting(stay, LAST_DAY, listed=True) for stay in stays]).session_day is None


def test_the_inferred_end_stands_in_for_an_unplug_time_that_is_missing() -> None:
    stays = [
        Stay(UUID(int=number), at(LAST_DAY, 20), None if number % 2 else at(LAST_DAY + ONE_DAY, 7), at(LAST_DAY + ONE_DAY, 7))
        for number in range(ENOUGH_SESSIONS)
    ]
    assert judge(sightings(stays, SessionDay.UNPLUG_TIME)).session_day is SessionDay.UNPLUG_TIME


def test_an_api_that_brings_nothing_for_single_days_fits_no_rule() -> None:
    stays = [Stay(UUID(int=number), at(LAST_DAY, 20), at(LAST_DAY + ONE_DAY, 7)) for number in range(9)]
    verdict = judge([Sighting(stay, day, listed=False) for stay in stays for day in (LAST_DAY, LAST_DAY + ONE_DAY)])
    assert verdict.session_day is None
    assert "no rule fits every answer" in verdict.reason


def test_where_only_days_of_plug_in_could_be_asked_two_rules_remain() -> None:
    stays = [Stay(UUID(int=number), at(LAST_DAY, 20), at(LAST_DAY + ONE_DAY, 7)) for number in range(9)]
    verdict = judge([Sighting(stay, LAST_DAY, listed=True) for stay in stays])
    assert verdict == Verdict(
        None,
        9,
        {SessionDay.PLUG_IN_TIME: 0, SessionDay.UNPLUG_TIME: 9, SessionDay.OVERLAP: 0},
        "the answers fit more than one rule; try again when there are more sessions",
    )


NUMBERS = count(1)
STAYS = st.lists(
    st.builds(
        lambda begin, hours: Stay(UUID(int=next(NUMBERS)), begin, begin + timedelta(hours=hours)),
        st.datetimes(datetime(2026, 1, 1), datetime(2026, 3, 1), timezones=st.just(UTC)),
        st.integers(0, 120),
    ),
    max_size=12,
)


@given(stays=STAYS, rule=st.sampled_from(SessionDay))
def test_the_rule_is_found_exactly_where_enough_sessions_cross_midnight(stays: list[Stay], rule: SessionDay) -> None:
    enough = len([stay for stay in stays if crosses_midnight(stay)]) >= ENOUGH_SESSIONS
    assert judge(sightings(stays, rule)).session_day is (rule if enough else None)


@given(stays=STAYS, rule=st.sampled_from(SessionDay), data=st.data())
def test_one_answer_that_contradicts_is_enough_to_leave_it_undecided(
    stays: list[Stay], rule: SessionDay, data: st.DataObject
) -> None:
    seen = sightings(stays, rule)
    if not seen:
        return
    wrong = data.draw(st.integers(0, len(seen) - 1))
    seen[wrong] = Sighting(seen[wrong].session, seen[wrong].day, not seen[wrong].listed)
    assert judge(seen).session_day is None


@pytest.mark.parametrize(
    ("arrange", "order"),
    [
        (list, ListOrder.OLDEST_FIRST),
        (lambda stays: stays[::-1], ListOrder.NEWEST_FIRST),
        (lambda stays: [*stays[4:], *stays[:4]], ListOrder.OTHER),
        (lambda stays: stays[:5], ListOrder.UNKNOWN),
    ],
)
def test_the_order_of_lists_is_told_once_there_are_enough_sessions(
    arrange: Callable[[list[Stay]], Sequence[Stay]], order: ListOrder
) -> None:
    stays = [Stay(UUID(int=number), at(LAST_DAY, number)) for number in range(8)]
    assert order_of([arrange(stays)]) is order


def at(day: date, hour: int) -> datetime:
    """An hour of a UTC day."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def crosses_midnight(stay: Stay) -> bool:
    return stay.unplug_time is not None and stay.plug_in_time.date() < stay.unplug_time.date()


def sightings(stays: Sequence[Stay], rule: SessionDay) -> list[Sighting]:
    """What an API that filters by `rule` shows of `stays` on their first and last days."""
    ends = [(stay, stay.unplug_time or stay.inferred_session_end or stay.plug_in_time) for stay in stays]
    days = [(stay, day) for stay, end in ends for day in (stay.plug_in_time.date(), end.date())]
    return [Sighting(stay, day, would_list(rule, stay, day)) for stay, day in days]


def recorded(folder: Path, stays: Sequence[tuple[datetime, datetime]]) -> Sandbox:
    """A sandbox of one vehicle with these stays, from plug-in to unplug."""
    ids: dict[str, Any] = {name: str(UUID(int=1)) for name in ("org_id", "user_id", "electric_vehicle_id")}
    records = [
        ids | {"id": str(UUID(int=number)), "plug_in_time": begin.isoformat(), "unplug_time": end.isoformat()}
        for number, (begin, end) in enumerate(stays)
    ]
    path = folder / "sessions.ndjson"
    path.write_text("\n".join(map(json.dumps, records)))
    return Sandbox(SandboxOptions(end=LAST_DAY), Recording(path))
