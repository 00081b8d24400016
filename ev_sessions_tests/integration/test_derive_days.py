"""Which days are derived, that it is all or nothing, and what holds whatever the rows are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ev_sessions.tables import (
    ANALYTICS_SESSIONS,
    DAILY_ENERGY,
    DAILY_SAVINGS,
    DAILY_TABLES,
    FLEET_DAILY,
    RAW_FETCHES,
    RAW_SESSIONS,
    RAW_TOUCHED_DAYS,
    RAW_VEHICLES,
)
from ev_sessions.warehouse.connection import Database
from ev_sessions_tests.raw_rows import (
    DAY,
    NOW,
    Row,
    derive_days,
    empty,
    insert,
    read,
    rows_of,
    session,
    touched,
    vehicle,
)

ONE_DAY = timedelta(days=1)
YEAR_AGO = DAY - 365 * ONE_DAY

# DuckDB takes a tenth of a second to plan all the models, whatever the rows are.
few_examples = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("derive") / "sessions.duckdb").writing() as connection:
        yield connection


@pytest.fixture
def connection(warehouse: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    empty(warehouse)
    return warehouse


def state(connection: duckdb.DuckDBPyConnection) -> list[list[Row]]:
    """Everything that is derived."""
    return [rows_of(connection, table) for table in DAILY_TABLES]


def days_of(rows: Iterable[Row]) -> list[date]:
    return [row["session_day"] for row in rows]


def test_the_days_asked_for_are_derived_and_no_others(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"))
    insert(connection, RAW_SESSIONS, *(session(f"s{n}", day=DAY + n * ONE_DAY) for n in range(-1, 4)))
    report = derive_days(connection, DAY, DAY + 2 * ONE_DAY)
    expected = [DAY, DAY + ONE_DAY, DAY + 2 * ONE_DAY]
    assert [figures.session_day for figures in report.days] == expected
    assert all(sorted(days_of(rows)) == expected for rows in state(connection))


def test_days_that_a_landing_touched_are_derived_too_and_then_no_longer_marked(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_SESSIONS, session("old", day=YEAR_AGO), session("new"))
    insert(connection, RAW_TOUCHED_DAYS, touched(YEAR_AGO), touched(DAY))
    report = derive_days(connection)
    assert [figures.session_day for figures in report.days] == [YEAR_AGO, DAY]
    assert sorted(days_of(rows_of(connection, ANALYTICS_SESSIONS))) == [YEAR_AGO, DAY]
    assert rows_of(connection, RAW_TOUCHED_DAYS) == []


def test_more_touched_days_than_one_transaction_takes_are_derived_in_several(connection: duckdb.DuckDBPyConnection) -> None:
    long_ago = [YEAR_AGO - number * ONE_DAY for number in range(200)]
    insert(connection, RAW_SESSIONS, session("new"), *(session(f"of {day}", day=day) for day in long_ago))
    insert(connection, RAW_TOUCHED_DAYS, touched(DAY), *(touched(day) for day in long_ago))
    report = derive_days(connection)
    assert [figures.session_day for figures in report.days] == [*sorted(long_ago), DAY]
    assert {figures.sessions for figures in report.days} == {1}
    assert rows_of(connection, RAW_TOUCHED_DAYS) == []


def test_a_failure_in_a_later_transaction_leaves_its_days_touched(connection: duckdb.DuckDBPyConnection) -> None:
    long_ago = [YEAR_AGO - number * ONE_DAY for number in range(100)]
    insert(connection, RAW_SESSIONS, session("new"), session("bad", day=long_ago[-1], time_zone="Nowhere/At_All"))
    insert(connection, RAW_TOUCHED_DAYS, *(touched(day) for day in long_ago))
    with pytest.raises(duckdb.Error, match="Nowhere"):
        derive_days(connection)
    assert days_of(rows_of(connection, ANALYTICS_SESSIONS)) == [DAY]
    assert days_of(rows_of(connection, RAW_TOUCHED_DAYS)) == sorted(long_ago[92:])


def test_a_session_that_moved_leaves_the_day_it_stood_on(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_SESSIONS, session("moved", day=YEAR_AGO, energy_charged_kwh=7))
    derive_days(connection, YEAR_AGO)
    connection.execute("UPDATE raw.sessions SET session_day = ?", [DAY])
    insert(connection, RAW_TOUCHED_DAYS, touched(YEAR_AGO), touched(DAY))
    derive_days(connection)
    assert {row["session_day"]: row["energy_kwh"] for row in rows_of(connection, FLEET_DAILY)} == {YEAR_AGO: None, DAY: 7}
    assert days_of(rows_of(connection, ANALYTICS_SESSIONS)) == [DAY]


def test_the_report_gives_each_days_figures(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"), vehicle("v2"))
    insert(connection, RAW_FETCHES, read("v1", DAY), read("v2", DAY, outcome="failed"))
    insert(
        connection,
        RAW_SESSIONS,
        session("s1", energy_charged_kwh=8, actual_cost_eur=3, actual_savings_eur=1),
        session("s2", energy_charged_kwh=2, of="v2"),
    )
    (figures,) = derive_days(connection).days
    assert (figures.sessions, figures.daily_energy_rows, figures.daily_savings_rows) == (2, 2, 2)
    assert [figures.energy_kwh, figures.cost_eur, figures.savings_eur] == [10, 3, 1]
    assert (figures.savings_rate, figures.cost_coverage, figures.savings_coverage) == (0.25, 0.8, 0.8)
    assert (figures.vehicles_due, figures.vehicles_read, figures.vehicles_failed, figures.read_coverage) == (2, 1, 1, 0.5)
    assert figures.unread_vehicle_days_rows == 1
    assert (figures.quarantined, figures.is_final) == (0, False)


def test_when_deriving_fails_everything_stays_as_it_was(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_SESSIONS, session("good"))
    derive_days(connection)
    before = state(connection)
    insert(connection, RAW_SESSIONS, session("bad", time_zone="Nowhere/At_All"))
    insert(connection, RAW_TOUCHED_DAYS, touched(YEAR_AGO))
    with pytest.raises(duckdb.Error, match="Nowhere"):
        derive_days(connection)
    assert state(connection) == before
    assert days_of(rows_of(connection, RAW_TOUCHED_DAYS)) == [YEAR_AGO]


def test_deriving_after_a_failure_works_on_the_same_connection(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_SESSIONS, session("bad", time_zone="Nowhere/At_All"))
    with pytest.raises(duckdb.Error, match="Nowhere"):
        derive_days(connection)
    connection.execute("UPDATE raw.sessions SET time_zone = 'Europe/Berlin'")
    assert derive_days(connection).days[0].sessions == 1


amounts = st.none() | st.decimals(min_value=-50, max_value=50, places=6)
hours = st.integers(min_value=0, max_value=130)


@st.composite
def fields_of_sessions(draw: st.DrawFn) -> list[Row]:
    """A few sessions on three days of three vehicles, each field of which may be unknown."""
    count = draw(st.integers(min_value=0, max_value=12))
    return [
        session(
            f"s{number}",
            of=draw(st.sampled_from(["v1", "v2", "v3"])),
            day=DAY + draw(st.integers(min_value=0, max_value=2)) * ONE_DAY,
            unplug_time=draw(st.none() | hours.map(lambda length: NOW + timedelta(hours=length))),
            plug_in_time=NOW,
            energy_charged_kwh=draw(amounts),
            avg_charge_power_kw=draw(amounts),
            actual_cost_eur=draw(amounts),
            expected_savings_eur=draw(amounts),
            actual_savings_eur=draw(amounts),
            is_at_home=draw(st.none() | st.booleans()),
            session_outcome=draw(st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3)),
            price_zone=draw(st.none() | st.sampled_from(["DE_LU", "UK"])),
            time_zone=draw(st.sampled_from(["Europe/Berlin", "Europe/London"])),
        )
        for number in range(count)
    ]


LAST = DAY + 2 * ONE_DAY


def known(rows: Iterable[Row], *names: str) -> list[Row]:
    """The rows in which all of `names` are known."""
    return [row for row in rows if all(row[name] is not None for name in names)]


def total(rows: Iterable[Row], name: str) -> Decimal | None:
    """The sum of the known values; None where there is none."""
    values = [row[name] for row in known(rows, name)]
    return sum(values, Decimal(0)) if values else None


def ratio(rows: list[Row], above: str, below: list[str]) -> float | None:
    """The rule, in Python: a ratio of sums over the rows that have everything, None where it is not above zero below."""
    matched = known(rows, above, *below)
    denominator = sum((row[name] for row in matched for name in below), Decimal(0))
    return float(sum((row[above] for row in matched), Decimal(0)) / denominator) if denominator > 0 else None


@few_examples
@given(rows=fields_of_sessions())
def test_the_parts_sum_to_the_whole_to_the_last_digit(connection: duckdb.DuckDBPyConnection, rows: list[Row]) -> None:
    empty(connection)
    insert(connection, RAW_SESSIONS, *rows)
    derive_days(connection, DAY, LAST)
    sessions, energy, savings = (rows_of(connection, table) for table in (ANALYTICS_SESSIONS, DAILY_ENERGY, DAILY_SAVINGS))
    for fleet in rows_of(connection, FLEET_DAILY):
        day = fleet["session_day"]
        of_sessions, of_energy, of_savings = (
            [row for row in part if row["session_day"] == day] for part in (sessions, energy, savings)
        )
        assert fleet["sessions"] == len(of_sessions) == (total(of_energy, "sessions") or 0)
        for name in ("plug_in_hours", "charging_hours", "idle_hours"):
            assert fleet[name] == total(of_energy, name) == total(of_sessions, name)
        for name, field in (
            ("energy_kwh", "energy_charged_kwh"),
            ("cost_eur", "actual_cost_eur"),
            ("savings_eur", "actual_savings_eur"),
            ("expected_savings_eur", "expected_savings_eur"),
            ("counterfactual_eur", "counterfactual_cost_eur"),
            ("forecast_bias_eur", "forecast_error_eur"),
        ):
            assert fleet[name] == total(of_savings, name) == total(of_sessions, field)
        counted = sum(fleet["sessions_by_outcome"].values()) + fleet["sessions_without_outcome"]
        places = fleet["at_home_sessions"] + fleet["away_sessions"] + fleet["unknown_place_sessions"]
        assert counted == places == len(of_sessions)


@few_examples
@given(rows=fields_of_sessions())
def test_ratios_follow_the_one_rule_for_every_group(connection: duckdb.DuckDBPyConnection, rows: list[Row]) -> None:
    empty(connection)
    insert(connection, RAW_SESSIONS, *rows)
    derive_days(connection, DAY, LAST)
    sessions = rows_of(connection, ANALYTICS_SESSIONS)
    for table in (DAILY_SAVINGS, FLEET_DAILY):
        for group in rows_of(connection, table):
            members = [row for row in sessions if all(row[name] == group[name] for name in table.key)]
            for name, above, below in (
                ("savings_rate", "actual_savings_eur", ["actual_cost_eur", "actual_savings_eur"]),
                ("savings_per_kwh", "actual_savings_eur", ["energy_charged_kwh"]),
                ("cost_per_kwh", "actual_cost_eur", ["energy_charged_kwh"]),
                ("forecast_realisation", "actual_savings_eur", ["expected_savings_eur"]),
            ):
                expected = ratio(members, above, below)
                assert group[name] == (None if expected is None else pytest.approx(expected))


@settings(few_examples, max_examples=5)
@given(rows=fields_of_sessions(), data=st.data())
def test_the_order_of_the_rows_the_days_and_the_runs_does_not_matter(
    connection: duckdb.DuckDBPyConnection, rows: list[Row], data: st.DataObject
) -> None:
    empty(connection)
    insert(connection, RAW_SESSIONS, *rows)
    derive_days(connection, DAY, LAST)
    once = state(connection)
    derive_days(connection, DAY, LAST)
    assert state(connection) == once

    empty(connection)
    insert(connection, RAW_SESSIONS, *data.draw(st.permutations(rows)))
    for offset in data.draw(st.permutations(range(3))):
        derive_days(connection, DAY + offset * ONE_DAY)
    assert state(connection) == once
