"""What the ledger says is still to be read, compared with the same said day by day in a few lines of Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ev_sessions.days import ONE_DAY, DayRange
from ev_sessions.tables import RAW_FETCHES, RAW_VEHICLES
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.unread import DayStanding, failed_days, failed_windows, standing, unasked_windows
from ev_sessions_tests.raw_rows import DAY, NOW, derive_days, empty, insert, read, uid, vehicle

FIRST = date(2026, 3, 1)
DAYS = DayRange(FIRST, date(2026, 3, 31))
CARS = ("a", "b")


@dataclass(frozen=True)
class Ask:
    """One vehicle asked once, `at` minutes after noon."""

    car: str
    days: DayRange
    outcome: str
    at: int

    @property
    def instant(self) -> datetime:
        return NOW + timedelta(minutes=self.at)


ASKS = st.lists(
    st.builds(
        Ask,
        st.sampled_from(CARS),
        st.builds(
            lambda first, length: DayRange(first, first + timedelta(days=length - 1)),
            st.dates(FIRST, date(2026, 3, 20)),
            st.integers(1, 12),
        ),
        st.sampled_from(["complete", "count_mismatch", "gone", "failed", "failed", "held"]),
        st.integers(0, 50),
    ),
    max_size=12,
    unique_by=lambda ask: (ask.car, ask.at),
)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("unread") / "sessions.duckdb").writing() as connection:
        yield connection


def fill(connection: duckdb.DuckDBPyConnection, asks: list[Ask]) -> None:
    empty(connection)
    # One lives all the time, the other begins and ends within the month.
    born, gone = datetime(2026, 3, 4, 9, tzinfo=UTC), datetime(2026, 3, 24, 9, tzinfo=UTC)
    insert(connection, RAW_VEHICLES, vehicle("a"), vehicle("b", created_at=born, deleted_at=gone))
    insert(
        connection,
        RAW_FETCHES,
        *(
            read(ask.car, ask.days.first, ask.days.last, outcome=ask.outcome, fetched_at=ask.instant, landed_at=ask.instant)
            for ask in asks
        ),
    )


def lives(car: str, day: date) -> bool:
    return car == "a" or date(2026, 3, 4) <= day <= date(2026, 3, 25)


SLOW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW
@given(asks=ASKS)
def test_a_day_of_a_vehicle_is_failed_where_it_failed_and_was_not_answered_since(
    connection: duckdb.DuckDBPyConnection, asks: list[Ask]
) -> None:
    fill(connection, asks)
    expected: dict[tuple[str, date], int] = {}
    for car in CARS:
        for day in (day for day in DAYS if lives(car, day)):
            covering = [ask for ask in asks if ask.car == car and day in ask.days]
            answered = max((ask.at for ask in covering if ask.outcome in {"complete", "count_mismatch", "gone"}), default=-1)
            attempts = sum(ask.outcome == "failed" and ask.at > answered for ask in covering)
            if attempts:
                expected[car, day] = attempts
    windows = failed_windows(connection)
    names = {uid(car): car for car in CARS}
    assert {(names[window.electric_vehicle_id], day) for window in windows for day in window.days} == set(expected)
    for window in windows:
        assert window.attempts == max(expected[names[window.electric_vehicle_id], day] for day in window.days)


@SLOW
@given(asks=ASKS)
def test_a_vehicle_was_left_out_on_the_days_of_its_life_on_which_only_the_other_was_asked(
    connection: duckdb.DuckDBPyConnection, asks: list[Ask]
) -> None:
    fill(connection, asks)
    derive_days(connection, DAYS.first, DAYS.last)
    asked = {(ask.car, day) for ask in asks for day in ask.days}
    expected = {
        (car, day)
        for car, other in zip(CARS, reversed(CARS), strict=True)
        for day in DAYS
        if lives(car, day) and lives(other, day) and (car, day) not in asked and (other, day) in asked
    }
    names = {uid(car): car for car in CARS}
    found = unasked_windows(connection, DAYS)
    assert {(names[window.electric_vehicle_id], day) for window in found for day in window.days} == expected


def test_two_holes_around_a_day_that_was_asked_for_stay_two(connection: duckdb.DuckDBPyConnection) -> None:
    days = DayRange(date(2026, 3, 10), date(2026, 3, 12))
    fill(connection, [Ask("a", days, "complete", 0), Ask("b", DayRange(date(2026, 3, 11), date(2026, 3, 11)), "complete", 0)])
    # On the day between, both were asked, yet a third, which came later, was not: all three days are looked at.
    derive_days(connection, days.first, days.last)
    insert(connection, RAW_VEHICLES, vehicle("c"))
    found = [(window.electric_vehicle_id, str(window.days)) for window in unasked_windows(connection, days)]
    assert sorted(found, key=str) == sorted(
        [
            (uid("b"), "2026-03-10..2026-03-10"),
            (uid("b"), "2026-03-12..2026-03-12"),
            (uid("c"), "2026-03-10..2026-03-12"),
        ],
        key=str,
    )


def test_a_window_may_be_asked_for_again_after_a_quarter_of_an_hour_then_one_four_and_sixteen_hours_and_no_more(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    pauses = []
    for attempts in range(1, 6):
        fill(connection, [Ask("a", DayRange(DAY, DAY), "failed", at) for at in range(attempts)])
        (window,) = failed_windows(connection)
        pauses.append(window.due_at and window.due_at - window.failed_at)
    assert pauses == [timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4), timedelta(hours=16), None]


def test_new_days_of_a_vehicle_that_was_given_up_do_not_begin_anew(connection: duckdb.DuckDBPyConnection) -> None:
    nights = [Ask("a", DayRange(DAY + ONE_DAY * night, DAY + ONE_DAY * (night + 9)), "failed", night) for night in range(6)]
    fill(connection, nights)
    (window,) = failed_windows(connection)
    assert str(window.days) == "2026-03-10..2026-03-24"
    assert window.due_at is None


def test_a_run_asks_a_vehicle_once_from_the_first_to_the_last_of_its_failed_days_among_those_of_the_run(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    two = [Ask("a", DayRange(date(2026, 3, day), date(2026, 3, day + 2)), "failed", 0) for day in (5, 15)]
    fill(connection, two)
    due = NOW + timedelta(minutes=15)
    assert failed_days(connection, DAYS, due) == {uid("a"): DayRange(date(2026, 3, 5), date(2026, 3, 17))}
    some = DayRange(date(2026, 3, 7), date(2026, 3, 14))
    assert failed_days(connection, some, due) == {uid("a"): DayRange(date(2026, 3, 7), date(2026, 3, 7))}
    assert failed_days(connection, DAYS, due - timedelta(seconds=1)) == {}


def test_how_a_day_stands_counts_the_vehicles_that_are_known_now(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, [Ask("a", DayRange(FIRST, date(2026, 3, 5)), "complete", 0)])
    derive_days(connection, FIRST, date(2026, 3, 5))
    insert(connection, RAW_VEHICLES, vehicle("c", created_at=datetime(2026, 3, 5, tzinfo=UTC)))
    assert standing(connection, DayRange(date(2026, 3, 3), date(2026, 3, 6))) == [
        DayStanding(date(2026, 3, 3), due=1, is_derived=True, read=1, tried=1, read_early=0),
        DayStanding(date(2026, 3, 4), due=2, is_derived=True, read=1, tried=1, read_early=0),
        DayStanding(date(2026, 3, 5), due=3, is_derived=True, read=1, tried=1, read_early=0),
        DayStanding(date(2026, 3, 6), due=3, is_derived=False, read=0, tried=0, read_early=0),
    ]


def test_a_day_that_was_tried_only_before_it_could_be_final_says_so(connection: duckdb.DuckDBPyConnection) -> None:
    fill(connection, [])
    early, late = (datetime(2026, 3, 24, 23, 59, tzinfo=UTC), datetime(2026, 3, 25, tzinfo=UTC))
    insert(connection, RAW_FETCHES, read("a", DAY, fetched_at=early), read("b", DAY, fetched_at=late))
    derive_days(connection, DAY)
    (stands,) = standing(connection, DayRange(DAY, DAY))
    assert (stands.tried, stands.read_early) == (2, 1)
