"""What a sensor asks for of what is unread: decided without Dagster's daemon and without a database."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import dagster as dg
from hypothesis import given
from hypothesis import strategies as st

from ev_sessions.assets.graph import Graph
from ev_sessions.automation.background import MOST_REQUESTS, Memory, Unread, choose, days_under_way
from ev_sessions.automation.refresh import Kind, range_tags, run_tags
from ev_sessions.days import ONE_DAY, DayRange

TODAY = date(2026, 3, 20)
WEEK = DayRange(date(2026, 3, 2), date(2026, 3, 8))
GRAPH = Graph.daily(first_day=date(2026, 1, 1), days_per_run=92)
ALL_DAYS = st.sets(st.dates(date(2026, 1, 1), date(2026, 3, 19)))
NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)


def run_over(days: DayRange, job: str = "refresh", **tags: str) -> dg.DagsterRun:
    return dg.DagsterRun(job_name=job, tags=range_tags(days) | tags)


@given(unread=ALL_DAYS, busy=st.sets(st.dates(date(2026, 1, 1), date(2026, 3, 19))), size=st.integers(1, 30))
def test_tick_by_tick_every_unread_day_that_nobody_reads_is_asked_for_exactly_once(
    unread: set[date], busy: set[date], size: int
) -> None:
    asked: tuple[str, ...] = ()
    days: list[date] = []
    while True:
        choice = choose(Unread(unread), [DayRange(day, day) for day in busy], asked, today=TODAY, days_per_run=size)
        assert len(choice.wanted) <= MOST_REQUESTS
        assert all(len(run) <= size for _, run in choice.wanted)
        asked += tuple(key for key, _ in choice.wanted)
        days += [day for _, run in choice.wanted for day in run]
        if not choice.wanted:
            break
    assert sorted(days) == sorted(unread - busy)
    assert choice.others_wait == bool(unread & busy)


def test_the_newest_days_are_asked_for_first_and_a_long_range_in_pieces() -> None:
    choice = choose(Unread({*WEEK, date(2026, 3, 12)}), [], (), today=TODAY, days_per_run=4)
    assert [str(run) for _, run in choice.wanted] == [
        "2026-03-12..2026-03-12",
        "2026-03-05..2026-03-08",
        "2026-03-02..2026-03-04",
    ]


def test_the_same_days_are_asked_for_again_the_next_day_or_for_another_reason() -> None:
    first = choose(Unread(set(WEEK), reason="#1"), [], (), today=TODAY, days_per_run=92)
    keys = [key for key, _ in first.wanted]
    assert not choose(Unread(set(WEEK), reason="#1"), [], keys, today=TODAY, days_per_run=92).wanted
    assert choose(Unread(set(WEEK), reason="#2"), [], keys, today=TODAY, days_per_run=92).wanted
    assert choose(Unread(set(WEEK), reason="#1"), [], keys, today=TODAY + ONE_DAY, days_per_run=92).wanted


def test_a_run_of_all_vehicles_makes_every_sensor_wait_and_a_run_of_some_only_its_own() -> None:
    for kind in (Kind.DAILY_REFRESH, Kind.DEEP_REFRESH, Kind.GAPS):
        run = dg.DagsterRun(job_name="refresh", tags=run_tags(kind, WEEK))
        assert days_under_way(GRAPH, Kind.FAILED_VEHICLES, [run]) == [WEEK]
        assert days_under_way(GRAPH, Kind.GAPS, [run]) == [WEEK]
    some = dg.DagsterRun(job_name="refresh", tags=run_tags(Kind.FAILED_VEHICLES, WEEK))
    assert days_under_way(GRAPH, Kind.FAILED_VEHICLES, [some]) == [WEEK]
    assert days_under_way(GRAPH, Kind.GAPS, [some]) == days_under_way(GRAPH, Kind.NEW_VEHICLES, [some]) == []


def test_a_backfill_of_the_page_counts_where_it_reads_sessions_and_runs_of_others_do_not() -> None:
    ours = dg.DagsterRun(job_name="__ASSET_JOB", tags=range_tags(WEEK), asset_selection=frozenset({dg.AssetKey("raw_sessions")}))
    derived = dg.DagsterRun(job_name="__ASSET_JOB", tags=range_tags(WEEK), asset_selection=frozenset({dg.AssetKey("sessions")}))
    one_day = dg.DagsterRun(job_name="refresh", tags={"dagster/partition": "2026-03-09"})
    found = days_under_way(
        GRAPH, Kind.GAPS, [ours, derived, one_day, run_over(WEEK, "theirs"), dg.DagsterRun(job_name="refresh")]
    )
    assert found == [WEEK, DayRange(date(2026, 3, 9), date(2026, 3, 9))]


def test_a_look_holds_until_the_file_changes_the_day_ends_or_something_becomes_due() -> None:
    memory = Memory("1", TODAY, NOON + timedelta(hours=1), is_settled=True, asked=())
    assert memory.still_holds("1", NOON)
    assert not memory.still_holds("2", NOON)
    assert not memory.still_holds("1", NOON + timedelta(hours=1))
    assert not Memory("1", TODAY, None, is_settled=True, asked=()).still_holds("1", NOON + ONE_DAY)
    assert not Memory("1", TODAY, None, is_settled=False, asked=()).still_holds("1", NOON)
