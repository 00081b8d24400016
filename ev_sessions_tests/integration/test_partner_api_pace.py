"""How fast: one pace for all workers, a limit on concurrency, and a rate that follows what the API tolerates."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from ev_sessions.partner_api import PartnerApi, SessionAnswer
from ev_sessions.partner_api.pace import Pace
from ev_sessions.sandbox import Sandbox
from ev_sessions_tests.integration.partner_apis import (
    MONTH,
    USER,
    VEHICLE,
    Asked,
    answering,
    client_for,
    client_of,
    in_turn,
    page,
    response,
    sandbox,
)


async def read_fleet(served: Sandbox, api: PartnerApi, times: int = 1) -> list[SessionAnswer]:
    vehicles = list(served.truth.vehicle_ids()) * times
    return await asyncio.gather(*(api.sessions(served.truth.owner(vehicle), vehicle, MONTH) for vehicle in vehicles))


async def test_the_ceiling_holds_over_all_workers() -> None:
    with sandbox(vehicles=50, rate_limit=100) as (served, url):
        async with client_of(served, url, max_requests_per_second=80) as api:
            answers = await read_fleet(served, api, times=4)
        assert all(answer.matches for answer in answers)
        assert (served.counts.sessions, served.counts.refused_429) == (200, 0)


async def test_no_more_requests_are_under_way_than_allowed() -> None:
    under_way = most = 0
    three_at_once = asyncio.Barrier(3)

    async def answer(_: Asked) -> bytes:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await three_at_once.wait()
        under_way -= 1
        return page(0)

    async with answering(answer) as (server, url), client_for(url, max_concurrency=3, max_requests_per_second=0) as api:
        await asyncio.gather(*(api.sessions(USER, VEHICLE, MONTH) for _ in range(12)))
    assert (most, len(server.gets)) == (3, 12)


def test_a_later_client_goes_on_with_the_pace_that_an_earlier_one_has_learnt_also_in_another_event_loop() -> None:
    pace = Pace(0)

    async def read(served: Sandbox, url: str) -> None:
        async with client_of(served, url, pace, max_requests_per_second=0) as api:
            assert all(answer.matches for answer in await read_fleet(served, api, times=3))

    unlearnt = pace.rate()
    with sandbox(vehicles=60, rate_limit=60) as (served, url):
        asyncio.run(read(served, url))
        learnt = pace.rate()
        asyncio.run(read(served, url))
    assert learnt < unlearnt / 4
    assert pace.rate() < unlearnt / 4


async def test_without_a_ceiling_the_limit_of_the_api_is_found_with_few_refusals() -> None:
    with sandbox(vehicles=60, rate_limit=60) as (served, url):
        async with client_of(served, url, max_requests_per_second=0, max_concurrency=20) as api:
            answers = await read_fleet(served, api, times=4)
            assert api.counts.refused_429 == served.counts.refused_429
        assert all(answer.matches for answer in answers)
        # At most all that were under way when the limit was met, and a few more while it is learnt: no herd that comes back.
        assert 1 <= served.counts.refused_429 <= 20 + 12


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("as_date", [False, True])
async def test_everyone_waits_as_long_as_the_api_asks_for(status: int, *, as_date: bool) -> None:
    refused_at = 0.0

    async def answer(asked: Asked) -> bytes:
        nonlocal refused_at
        if refused_at or asked.is_token:
            return page(0)
        refused_at = asked.at
        # A date has whole seconds: this one lies 1 to 2 s ahead.
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        return response(b"", status, Retry_After=date if as_date else "1")

    async with answering(answer) as (server, url), client_for(url, max_concurrency=1) as api:
        await asyncio.gather(*(api.sessions(USER, VEHICLE, MONTH) for _ in range(5)))
    later = [asked.at - refused_at for asked in server.gets[1:]]
    assert len(later) == 5
    assert min(later) >= 0.9


async def test_without_retry_after_a_refusal_is_asked_about_again_all_the_same() -> None:
    script = in_turn(response(b"", 429), response(b"", 503), page(0))
    async with answering(script) as (server, url), client_for(url, max_attempts=3) as api:
        assert (await api.sessions(USER, VEHICLE, MONTH)).retries == 2
    assert (len(server.gets), api.counts.refused_429) == (3, 1)


class Clock:
    """Time that a test moves (s)."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def accepted(pace: Pace, times: int) -> None:
    for _ in range(times):
        pace.accepted()


async def sent(pace: Pace, clock: Clock, times: int) -> None:
    for _ in range(times):
        clock.now += 1
        await pace.turn()


async def test_without_a_limit_in_sight_the_rate_looks_around_after_a_burst_and_then_grows() -> None:
    clock = Clock()
    pace = Pace(0, clock)
    at_first = pace.rate()
    await sent(pace, clock, 100)
    looking = pace.rate()
    await sent(pace, clock, 300)
    assert looking < at_first < pace.rate()


async def test_the_rate_never_exceeds_the_ceiling() -> None:
    clock = Clock()
    pace = Pace(50, clock)
    for _ in range(5):
        assert pace.rate() == 50
        await sent(pace, clock, 100)


def test_the_first_429_sets_the_rate_to_what_a_limiter_with_a_burst_of_one_second_must_be_set_to() -> None:
    clock = Clock()
    pace = Pace(0, clock)
    clock.now += 4
    accepted(pace, 600)
    pace.refused(clock.now, limited=True, retry_after=0)
    assert pace.rate() == pytest.approx(120)


def test_later_ones_set_it_just_below_what_was_accepted_since_the_one_before() -> None:
    clock = Clock()
    pace = Pace(0, clock)
    for _ in range(2):
        clock.now += 4
        accepted(pace, 400)
        pace.refused(clock.now, limited=True, retry_after=0)
    assert pace.rate() == pytest.approx(0.95 * 80, rel=0.01)


def test_a_429_never_lowers_the_rate_by_more_than_half() -> None:
    clock = Clock()
    pace = Pace(100, clock)
    rates = []
    for _ in range(4):
        clock.now += 1
        pace.accepted()
        pace.refused(clock.now, limited=True, retry_after=0)
        rates.append(pace.rate())
    assert rates == pytest.approx([50, 25, 12.5, 6.25], rel=0.01)


def test_a_503_lowers_a_learnt_rate_by_a_part() -> None:
    clock = Clock()
    pace = Pace(0, clock)
    for limited in (True, False):
        clock.now += 4
        accepted(pace, 600)
        pace.refused(clock.now, limited=limited, retry_after=0)
    assert pace.rate() == pytest.approx(0.7 * 120, rel=0.01)


async def test_a_503_before_any_limit_is_known_makes_the_rate_look_around_again() -> None:
    clock = Clock()
    pace = Pace(0, clock)
    await sent(pace, clock, 100)
    looking = pace.rate()
    await sent(pace, clock, 300)
    pace.accepted()
    pace.refused(clock.now, limited=False, retry_after=0)
    assert pace.rate() == looking


def test_refusals_of_requests_that_left_before_the_first_one_was_known_lower_nothing_further() -> None:
    clock = Clock()
    pace = Pace(0, clock)
    accepted(pace, 500)
    left_at = clock.now + 1
    clock.now += 2
    pace.refused(left_at, limited=True, retry_after=0)
    rate = pace.rate()
    pace.accepted()
    for _ in range(10):
        pace.refused(left_at, limited=True, retry_after=0)
    assert pace.rate() == rate


def test_a_refusal_after_which_nothing_was_accepted_lowers_nothing_further() -> None:
    clock = Clock()
    pace = Pace(40, clock)
    clock.now += 1
    accepted(pace, 20)
    pace.refused(clock.now, limited=True, retry_after=0)
    rate = pace.rate()
    for _ in range(10):
        pace.refused(clock.now + 0.001, limited=True, retry_after=0)
        clock.now += 0.002
    assert pace.rate() == pytest.approx(rate)


def test_the_rate_climbs_back_by_itself_slowly_at_first_and_never_beyond_the_ceiling() -> None:
    clock = Clock()
    pace = Pace(200, clock)
    clock.now += 4
    accepted(pace, 600)
    pace.refused(clock.now, limited=True, retry_after=0)
    rates = []
    for _ in range(20):
        rates.append(pace.rate())
        clock.now += 10
    assert rates == sorted(rates)
    assert rates[0] == pytest.approx(120)
    assert rates[2] == pytest.approx(120 / 0.95)
    assert rates[2] - rates[1] > rates[1] - rates[0]
    assert rates[-1] == 200
