"""Months of the report date: which ones a change of days touches, and that they are the sums of their days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ev_sessions.days import ONE_DAY
from ev_sessions.settings import ReportDate
from ev_sessions.tables import (
    DAILY_SAVINGS,
    MONTHLY_SAVINGS,
    RAW_FETCHES,
    RAW_SESSIONS,
    RAW_TOUCHED_DAYS,
    RAW_TOUCHED_MONTHS,
    RAW_VEHICLES,
)
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.monthly import MonthFigures, pending_months, sum_months
from ev_sessions_tests.raw_rows import NOW, Row, at, derive_days, empty, insert, read, rows_of, session, touched, uid, vehicle

FEBRUARY, MARCH, APRIL = date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1)
MARCH_31 = date(2026, 3, 31)

few_examples = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("monthly") / "sessions.duckdb").writing() as connection:
        yield connection


@pytest.fixture
def connection(warehouse: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    empty(warehouse)
    return warehouse


def settle(connection: duckdb.DuckDBPyConnection, *, now: datetime = NOW) -> list[MonthFigures]:
    """Sum up what waits for it."""
    return sum_months(connection, pending_months(connection), run_id="months", derived_at=now)


def ends(text: str) -> Row:
    """An end, and so a report date; cars in Berlin."""
    return {"unplug_time": at(text)}


def test_a_day_that_is_derived_for_the_first_time_touches_the_months_that_its_sessions_report_to(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    insert(connection, RAW_SESSIONS, session("a", day=MARCH_31), session("b", day=MARCH_31, **ends("2026-04-02 07:00")))
    assert derive_days(connection, MARCH_31).touched_months == (MARCH, APRIL)
    assert pending_months(connection) == [MARCH, APRIL]


def test_a_day_without_sessions_touches_no_month(connection: duckdb.DuckDBPyConnection) -> None:
    assert derive_days(connection, MARCH_31).touched_months == ()


@pytest.fixture
def settled(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """A session of the last day of March that reports to March, one of a month before, and nothing that waits."""
    insert(
        connection,
        RAW_SESSIONS,
        session("s", day=MARCH_31, energy_charged_kwh=5, actual_cost_eur=2, actual_savings_eur=1, **ends("2026-03-31 18:00")),
        session("old", day=FEBRUARY),
    )
    derive_days(connection, FEBRUARY)
    derive_days(connection, MARCH_31)
    settle(connection)
    assert pending_months(connection) == []
    return connection


def test_deriving_what_did_not_change_touches_nothing(settled: duckdb.DuckDBPyConnection) -> None:
    settled.execute("UPDATE raw.sessions SET fetched_at = fetched_at + INTERVAL 1 DAY, run_id = 'later'")
    insert(settled, RAW_TOUCHED_DAYS, touched(FEBRUARY), touched(MARCH_31))
    assert len(derive_days(settled, MARCH_31, derived_at=NOW + ONE_DAY).days) == 2
    assert pending_months(settled) == []


@pytest.mark.parametrize(
    "change",
    [
        "energy_charged_kwh = 6",
        "energy_charged_kwh = NULL",
        "actual_cost_eur = 3",
        "actual_savings_eur = -1",
        "expected_savings_eur = 0",
        f"user_id = '{uid('another customer')}'",
        f"electric_vehicle_id = '{uid('another car')}'",
    ],
)
def test_a_month_is_touched_by_every_change_of_what_it_is_made_of(settled: duckdb.DuckDBPyConnection, change: str) -> None:
    settled.execute(f"UPDATE raw.sessions SET {change} WHERE session_day = ?", [MARCH_31])
    assert derive_days(settled, MARCH_31).touched_months == (MARCH,)


def test_a_session_that_vanished_touches_its_month_which_then_has_no_rows(settled: duckdb.DuckDBPyConnection) -> None:
    settled.execute("DELETE FROM raw.sessions WHERE session_day = ?", [MARCH_31])
    assert derive_days(settled, MARCH_31).touched_months == (MARCH,)
    (figures,) = settle(settled)
    assert (figures.report_month, figures.customers, figures.sessions, figures.is_final) == (MARCH, 0, 0, False)
    assert {row["report_month"] for row in rows_of(settled, MONTHLY_SAVINGS)} == {FEBRUARY}


def test_a_session_whose_report_date_moves_over_a_months_end_touches_both_months(settled: duckdb.DuckDBPyConnection) -> None:
    settled.execute("UPDATE raw.sessions SET unplug_time = ? WHERE session_day = ?", [at("2026-04-01 06:00"), MARCH_31])
    assert derive_days(settled, MARCH_31).touched_months == (MARCH, APRIL)


def test_a_session_that_moves_to_another_day_of_the_same_report_date_touches_no_month(
    settled: duckdb.DuckDBPyConnection,
) -> None:
    settled.execute("UPDATE raw.sessions SET session_day = ? WHERE session_day = ?", [MARCH_31 - ONE_DAY, MARCH_31])
    insert(settled, RAW_TOUCHED_DAYS, touched(MARCH_31 - ONE_DAY))
    assert derive_days(settled, MARCH_31).touched_months == ()


def test_a_changed_rule_touches_the_months_that_it_changes(settled: duckdb.DuckDBPyConnection) -> None:
    settled.execute("UPDATE raw.sessions SET unplug_time = ? WHERE session_day = ?", [at("2026-04-01 06:00"), MARCH_31])
    derive_days(settled, MARCH_31)
    settle(settled)
    report = derive_days(settled, MARCH_31, report_date=ReportDate.PLUG_IN_TIME)
    assert report.touched_months == (MARCH, APRIL)


def test_what_is_touched_stays_so_until_it_is_summed_up(settled: duckdb.DuckDBPyConnection) -> None:
    insert(settled, RAW_SESSIONS, session("new", day=MARCH_31))
    derive_days(settled, MARCH_31)
    assert derive_days(settled, MARCH_31).touched_months == (MARCH,)
    assert [figures.report_month for figures in settle(settled)] == [MARCH]
    assert derive_days(settled, MARCH_31).touched_months == ()


def test_a_failure_leaves_the_month_as_it_was_and_its_mark(settled: duckdb.DuckDBPyConnection) -> None:
    before = rows_of(settled, MONTHLY_SAVINGS)
    insert(settled, RAW_SESSIONS, session("new", day=MARCH_31, of="v2", actual_savings_eur=1))
    derive_days(settled, MARCH_31)
    settled.execute("ALTER TABLE analytics.sessions RENAME COLUMN actual_savings_eur TO hidden")
    try:
        with pytest.raises(duckdb.Error, match="actual_savings_eur"):
            settle(settled)
    finally:
        settled.execute("ALTER TABLE analytics.sessions RENAME COLUMN hidden TO actual_savings_eur")
    assert rows_of(settled, MONTHLY_SAVINGS) == before
    assert pending_months(settled) == [MARCH]


def test_a_row_counts_the_customers_vehicles_and_adds_up_all_of_them(connection: duckdb.DuckDBPyConnection) -> None:
    owner = uid("owner of two")
    insert(
        connection,
        RAW_SESSIONS,
        session("a", of="v1", user_id=owner, day=MARCH, energy_charged_kwh=8, actual_cost_eur=3, actual_savings_eur=1),
        session("b", of="v1", user_id=owner, day=MARCH_31, actual_savings_eur=-2),
        session("c", of="v2", user_id=owner, day=MARCH_31, energy_charged_kwh=2),
        session("d", of="v3", day=MARCH_31, energy_charged_kwh=9, **ends("2026-04-01 06:00")),
    )
    derive_days(connection, MARCH, MARCH_31)
    settle(connection)
    row, other = sorted(rows_of(connection, MONTHLY_SAVINGS), key=lambda row: row["report_month"])
    assert (row["user_id"], row["report_month"], row["vehicles"], row["sessions"]) == (owner, MARCH, 2, 3)
    assert (row["energy_kwh"], row["cost_eur"], row["savings_eur"], row["negative_savings_eur"]) == (10, 3, -1, -2)
    assert (row["savings_rate"], row["savings_per_kwh"], row["savings_coverage"]) == (0.25, 0.125, 0.8)
    assert (other["report_month"], other["energy_kwh"], other["savings_eur"]) == (APRIL, 9, None)


def test_a_month_has_the_sessions_of_days_far_outside_it(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_SESSIONS, session("weeks", day=date(2026, 1, 20), actual_savings_eur=1, **ends("2026-03-05 12:00")))
    derive_days(connection, date(2026, 1, 20))
    assert [(figures.report_month, figures.sessions) for figures in settle(connection)] == [(MARCH, 1)]


# Finality


def reads_of_march(connection: duckdb.DuckDBPyConnection, *, last: date = MARCH_31) -> None:
    """One vehicle with a session in March, read on each day of it up to `last`, late enough."""
    insert(connection, RAW_VEHICLES, vehicle("v1"))
    insert(connection, RAW_SESSIONS, session("s", day=MARCH))
    insert(connection, RAW_FETCHES, read("v1", MARCH, last, fetched_at=NOW - ONE_DAY))
    derive_days(connection, MARCH, MARCH_31)


def month(connection: duckdb.DuckDBPyConnection) -> tuple[Any, Any]:
    (row,) = [row for row in rows_of(connection, MONTHLY_SAVINGS) if row["report_month"] == MARCH]
    return row["is_final"], row["data_through"]


def test_a_month_is_final_once_each_of_its_days_is(connection: duckdb.DuckDBPyConnection) -> None:
    reads_of_march(connection)
    settle(connection)
    assert month(connection) == (True, NOW - ONE_DAY)


def test_a_month_with_a_day_that_is_not_final_is_not_final(connection: duckdb.DuckDBPyConnection) -> None:
    reads_of_march(connection, last=MARCH_31 - ONE_DAY)
    settle(connection)
    assert month(connection) == (False, NOW - ONE_DAY)


def test_a_month_with_a_day_that_was_not_derived_is_not_final(connection: duckdb.DuckDBPyConnection) -> None:
    reads_of_march(connection)
    connection.execute("DELETE FROM analytics.fleet_daily WHERE session_day = ?", [MARCH_31])
    settle(connection)
    assert month(connection)[0] is False


def test_a_month_with_a_session_of_a_day_outside_it_that_is_not_final_is_not_final(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    reads_of_march(connection)
    insert(connection, RAW_SESSIONS, session("carried over", day=date(2026, 2, 27), **ends("2026-03-01 09:00")))
    derive_days(connection, date(2026, 2, 27))
    settle(connection)
    assert month(connection)[0] is False


def test_a_month_whose_last_day_becomes_final_is_touched_although_no_session_changed(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    reads_of_march(connection, last=MARCH_31 - ONE_DAY)
    settle(connection)
    insert(connection, RAW_FETCHES, read("v1", MARCH_31, fetched_at=NOW))
    assert derive_days(connection, MARCH_31).touched_months == (MARCH,)
    settle(connection)
    assert month(connection)[0] is True
    assert derive_days(connection, MARCH_31).touched_months == ()


def test_a_month_is_touched_by_a_day_outside_it_that_becomes_final(connection: duckdb.DuckDBPyConnection) -> None:
    reads_of_march(connection)
    insert(connection, RAW_SESSIONS, session("carried over", day=date(2026, 2, 27), **ends("2026-03-01 09:00")))
    derive_days(connection, date(2026, 2, 27))
    settle(connection)
    insert(connection, RAW_FETCHES, read("v1", date(2026, 2, 27), fetched_at=NOW))
    assert derive_days(connection, date(2026, 2, 27)).touched_months == (MARCH,)


# What holds whatever the rows are

amounts = st.none() | st.decimals(min_value=-50, max_value=50, places=6)


@st.composite
def sessions(draw: st.DrawFn) -> list[Row]:
    """A few sessions of three cars of two customers, plugged in around the end of March for up to two weeks."""
    count = draw(st.integers(min_value=0, max_value=8))
    rows = []
    for number in range(count):
        plug_in_time = at("2026-03-29 00:00") + draw(st.integers(min_value=0, max_value=96)) * timedelta(hours=1)
        car = draw(st.sampled_from(["v1", "v2", "v3"]))
        rows.append(
            session(
                f"s{number}",
                of=car,
                user_id=uid("one" if car == "v3" else "other"),
                day=plug_in_time.date(),
                plug_in_time=plug_in_time,
                unplug_time=plug_in_time + draw(st.integers(min_value=0, max_value=400)) * timedelta(hours=1),
                energy_charged_kwh=draw(amounts),
                actual_cost_eur=draw(amounts),
                expected_savings_eur=draw(amounts),
                actual_savings_eur=draw(amounts),
                time_zone=draw(st.sampled_from(["Europe/Berlin", "America/Los_Angeles"])),
            )
        )
    return rows


ADDED = [
    column.name for column in MONTHLY_SAVINGS.columns if column.type in ("BIGINT", "DECIMAL(38,6)") and column.name != "vehicles"
]


def by_day(connection: duckdb.DuckDBPyConnection) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What the months should be: the sums of daily_savings over the report dates."""
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows_of(connection, DAILY_SAVINGS):
        group = sums.setdefault((row["report_date"].replace(day=1), row["user_id"]), {"vehicles": set(), **dict.fromkeys(ADDED)})
        group["vehicles"].add(row["electric_vehicle_id"])
        for name in ADDED:
            if row[name] is not None:
                group[name] = (group[name] or Decimal(0)) + row[name]
    return {key: group | {"vehicles": len(group["vehicles"])} for key, group in sums.items()}


def by_month(connection: duckdb.DuckDBPyConnection) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What the months are."""
    return {
        (row["report_month"], row["user_id"]): {name: row[name] for name in ("vehicles", *ADDED)}
        for row in rows_of(connection, MONTHLY_SAVINGS)
    }


@few_examples
@given(before=sessions(), after=sessions())
def test_after_every_change_the_touched_months_suffice_to_make_each_month_the_sum_of_its_days(
    connection: duckdb.DuckDBPyConnection, before: list[Row], after: list[Row]
) -> None:
    empty(connection)
    for rows in (before, after):
        connection.execute("TRUNCATE raw.sessions")
        insert(connection, RAW_SESSIONS, *rows)
        derive_days(connection, date(2026, 3, 29), date(2026, 4, 2))
        settle(connection)
        assert by_month(connection) == by_day(connection)
    assert rows_of(connection, RAW_TOUCHED_MONTHS) == []
