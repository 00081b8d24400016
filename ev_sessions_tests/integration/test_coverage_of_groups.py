"""Which vehicle-days are not read, and what each group is told of it beside its measures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ev_sessions.days import ONE_DAY, DayRange
from ev_sessions.tables import FLEET_DAILY, RAW_FETCHES, RAW_SESSIONS, RAW_VEHICLES, UNREAD_VEHICLE_DAYS
from ev_sessions.views import GROUP_COLUMNS, MEASURES, Group, Period
from ev_sessions.warehouse.connection import Database
from ev_sessions_tests.raw_rows import DAY, NOW, Row, at, derive_days, empty, insert, read, rows_of, session, uid, vehicle

HOUR = timedelta(hours=1)
ANSWERS = ("complete", "count_mismatch", "gone")
# The last days of a month and the first of another.
DAYS = DayRange(date(2026, 3, 30), date(2026, 4, 2))


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("coverage") / "sessions.duckdb").writing() as connection:
        yield connection


@pytest.fixture
def connection(warehouse: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    empty(warehouse)
    return warehouse


def shown(connection: duckdb.DuckDBPyConnection, period: Period, group: Group) -> list[Row]:
    """All rows of a view."""
    rows = connection.sql(f"FROM {MEASURES[period, group].full_name}")
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]


# Which vehicle-days are not read


@pytest.mark.parametrize(
    ("reads", "last_outcomes"),
    [
        pytest.param([], [None], id="never asked"),
        pytest.param([read("v1", DAY + ONE_DAY)], [None], id="asked for another day"),
        pytest.param([read("other", DAY)], [None], id="another vehicle asked"),
        pytest.param([read("v1", DAY, outcome="failed")], ["failed"], id="failed"),
        pytest.param(
            [read("v1", DAY, outcome="failed"), read("v1", DAY, outcome="held", fetched_at=NOW + HOUR)], ["held"], id="held"
        ),
        pytest.param([read("v1", DAY - ONE_DAY, DAY + ONE_DAY)], [], id="read"),
        pytest.param(
            [read("v1", DAY), read("v1", DAY, outcome="failed", fetched_at=NOW + HOUR)], [], id="failed after an answer"
        ),
        pytest.param([read("v1", DAY, outcome="gone")], [], id="gone"),
        pytest.param([read("v1", DAY, outcome="count_mismatch")], [], id="read, with another total"),
    ],
)
def test_a_vehicle_that_no_answer_covers_is_listed_with_what_came_of_the_last_try(
    connection: duckdb.DuckDBPyConnection, reads: list[Row], last_outcomes: list[str | None]
) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1", price_zone="UK"))
    insert(connection, RAW_FETCHES, *reads)
    (figures,) = derive_days(connection).days
    rows = rows_of(connection, UNREAD_VEHICLE_DAYS)
    assert [row["last_outcome"] for row in rows] == last_outcomes
    assert figures.unread_vehicle_days_rows == len(rows)
    assert {(row["session_day"], row["user_id"], row["electric_vehicle_id"], row["price_zone"]) for row in rows} <= {
        (DAY, uid("user of v1"), uid("v1"), "UK")
    }


@pytest.mark.parametrize(
    ("life", "days"),
    [
        ({}, [0, 1, 2]),
        ({"created_at": at("2026-03-11 23:59")}, [1, 2]),
        ({"deleted_at": at("2026-03-10 00:00")}, [0, 1]),
        ({"missing_since": at("2026-03-10 23:59")}, [0]),
        (
            {"created_at": at("2026-03-11 00:00"), "deleted_at": at("2026-03-12 09:00"), "missing_since": at("2026-03-11 03:15")},
            [1],
        ),
    ],
)
def test_a_vehicle_is_due_from_its_creation_to_the_day_after_its_deletion_or_until_it_is_missed(
    connection: duckdb.DuckDBPyConnection, life: Row, days: list[int]
) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1", **life))
    derive_days(connection, DAY, DAY + 2 * ONE_DAY)
    assert [row["session_day"] for row in rows_of(connection, UNREAD_VEHICLE_DAYS)] == [DAY + day * ONE_DAY for day in days]


def test_a_day_that_is_read_later_is_no_longer_listed(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"))
    derive_days(connection, DAY, DAY + ONE_DAY)
    insert(connection, RAW_FETCHES, read("v1", DAY))
    derive_days(connection, DAY)
    assert [row["session_day"] for row in rows_of(connection, UNREAD_VEHICLE_DAYS)] == [DAY + ONE_DAY]


# What each group is told of it


@st.composite
def fleets(draw: st.DrawFn) -> list[Row]:
    """Four cars of two customers in two zones, each of which may come late and go early."""
    bounds = st.none() | st.sampled_from(list(DAYS)).map(lambda day: at(f"{day} 12:00"))
    return [
        vehicle(
            f"v{number}",
            user_id=uid(("one", "other")[number % 2]),
            price_zone=draw(st.sampled_from(["DE_LU", None])),
            created_at=draw(bounds),
            deleted_at=draw(bounds),
            missing_since=draw(bounds),
        )
        for number in range(4)
    ]


@st.composite
def ledgers(draw: st.DrawFn) -> list[Row]:
    """Reads of these cars, of whatever outcome."""
    return [draw(_read(number)) for number in range(draw(st.integers(min_value=0, max_value=6)))]


@st.composite
def _read(draw: st.DrawFn, number: int) -> Row:
    first, last = sorted(draw(st.tuples(*[st.sampled_from(list(DAYS))] * 2)))
    car, outcome = draw(st.integers(min_value=0, max_value=3)), draw(st.sampled_from([*ANSWERS, "held", "failed"]))
    return read(f"v{car}", first, last, outcome=outcome, fetched_at=NOW + number * HOUR)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fleet=fleets(), ledger=ledgers())
def test_each_group_is_told_how_its_own_vehicles_were_read_and_the_parts_sum_to_the_fleet(
    connection: duckdb.DuckDBPyConnection, fleet: list[Row], ledger: list[Row]
) -> None:
    empty(connection)
    insert(connection, RAW_VEHICLES, *fleet)
    insert(connection, RAW_FETCHES, *ledger)
    insert(connection, RAW_SESSIONS, *(charged(car, day) for car in fleet for day in DAYS))
    derive_days(connection, DAYS.first, DAYS.last)
    whole = {row["session_day"]: (row["vehicles_due"], row["vehicles_read"]) for row in rows_of(connection, FLEET_DAILY)}
    unread = Counter(row["session_day"] for row in rows_of(connection, UNREAD_VEHICLE_DAYS))
    assert {day: due - answered for day, (due, answered) in whole.items()} == {day: unread[day] for day in DAYS}
    for (period, group), view in MEASURES.items():
        names = [column.name for column in GROUP_COLUMNS[group]]
        expected = covered(fleet, ledger, lambda car, day: (PERIODS[period](day), *(car[name] for name in names)))  # noqa: B023
        found = {(row[view.key[0]], *(row[name] for name in names)): told(row) for row in shown(connection, period, group)}
        assert found == {key: expected.get(key, (0, 0)) for key in found}
        assert summed((key[0], counts) for key, counts in found.items()) == summed(
            (PERIODS[period](day), counts) for day, counts in whole.items()
        )


PERIODS: dict[Period, Callable[[date], date]] = {Period.DAY: lambda day: day, Period.MONTH: lambda day: day.replace(day=1)}


def charged(car: Row, day: date) -> Row:
    stamped = {name: car[name] for name in ("user_id", "electric_vehicle_id", "price_zone")}
    return session(f"{car['electric_vehicle_id']} {day}", day=day, **stamped)


def told(row: Row) -> tuple[int, int]:
    """What a row of a view says is due, and read."""
    due, answered = next((row[due], row[answered]) for due, answered in COLUMNS if due in row)
    assert row["read_coverage"] == (answered / due if due else None)
    return due, answered


COLUMNS = (("vehicles_due", "vehicles_read"), ("vehicle_days_due", "vehicle_days_read"))


def covered(
    fleet: list[Row], ledger: list[Row], key: Callable[[Row, date], tuple[Any, ...]]
) -> dict[tuple[Any, ...], tuple[int, int]]:
    """The same in plain Python: due and read, of each group."""
    due = [(car, day) for car in fleet for day in DAYS if is_due(car, day)]
    counts = Counter(key(car, day) for car, day in due)
    answered = Counter(key(car, day) for car, day in due if any(answers(entry, car, day) for entry in ledger))
    return {group: (count, answered[group]) for group, count in counts.items()}


def is_due(car: Row, day: date) -> bool:
    created, deleted, missing = (car[name] and car[name].date() for name in ("created_at", "deleted_at", "missing_since"))
    return (not created or created <= day) and (not deleted or day <= deleted + ONE_DAY) and (not missing or day <= missing)


def answers(entry: Row, car: Row, day: date) -> bool:
    covers = bool(entry["first_day"] <= day <= entry["last_day"])
    return covers and entry["electric_vehicle_id"] == car["electric_vehicle_id"] and entry["outcome"] in ANSWERS


def summed(counts: Iterable[tuple[date, tuple[int, int]]]) -> dict[date, tuple[int, int]]:
    """The sums of each period in which anything was due."""
    due, answered = Counter[date](), Counter[date]()
    for period, (count, of_them) in counts:
        due[period] += count
        answered[period] += of_them
    return {period: (count, answered[period]) for period, count in due.items() if count}


def test_a_month_counts_the_days_that_are_derived(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"), vehicle("v2"))
    insert(connection, RAW_FETCHES, read("v1", date(2026, 3, 1), date(2026, 3, 31)), read("v2", date(2026, 3, 9), DAY))
    insert(connection, RAW_SESSIONS, session("s"), session("t", of="v2"))
    derive_days(connection, DAY - ONE_DAY, DAY + ONE_DAY)
    months = {row["user_id"]: told(row) for row in shown(connection, Period.MONTH, Group.USER)}
    assert months == {uid("user of v1"): (3, 3), uid("user of v2"): (3, 2)}


def test_a_vehicle_counts_for_its_owner_of_now_and_a_session_for_that_of_then(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1", user_id=uid("buyer")))
    insert(connection, RAW_SESSIONS, session("s", user_id=uid("seller")), session("t", user_id=uid("buyer")))
    derive_days(connection)
    for period in Period:
        rows = {row["user_id"]: told(row) for row in shown(connection, period, Group.USER)}
        assert rows == {uid("seller"): (0, 0), uid("buyer"): (1, 0)}


def test_days_derived_before_a_vehicle_was_first_seen_are_not_taken_for_read(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"))
    insert(connection, RAW_FETCHES, read("v1", DAY))
    insert(connection, RAW_SESSIONS, session("s"))
    derive_days(connection)
    insert(connection, RAW_VEHICLES, vehicle("v2", user_id=uid("user of v1"), first_seen_at=NOW + HOUR))
    assert [told(row) for row in shown(connection, Period.DAY, Group.USER)] == [(2, 1)]
    insert(connection, RAW_FETCHES, read("v2", DAY, fetched_at=NOW + 2 * HOUR))
    derive_days(connection, derived_at=NOW + 3 * HOUR)
    assert [told(row) for row in shown(connection, Period.DAY, Group.USER)] == [(2, 2)]


def test_the_coverage_is_the_same_whatever_the_time_zone_of_the_reader(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1", created_at=at("2026-03-10 02:00"), deleted_at=at("2026-03-10 23:00")))
    insert(connection, RAW_SESSIONS, session("s"))
    derive_days(connection, DAY - ONE_DAY, DAY + 2 * ONE_DAY)
    for zone in ("America/Los_Angeles", "Asia/Tokyo", "UTC"):
        connection.execute(f"SET TimeZone = '{zone}'")
        assert [told(row) for row in shown(connection, Period.MONTH, Group.VEHICLE)] == [(2, 0)]
