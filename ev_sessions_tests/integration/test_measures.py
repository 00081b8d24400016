"""The views of the measures of a group: what holds whatever the sessions are, and what each of them means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ev_sessions.days import ONE_DAY
from ev_sessions.settings import ReportDate
from ev_sessions.tables import (
    ALL_TABLES,
    ANALYTICS_SESSIONS,
    DAILY_ENERGY,
    DAILY_SAVINGS,
    GROUP_MEASURES,
    MONTHLY_SAVINGS,
    RAW_FETCHES,
    RAW_SESSIONS,
    RAW_VEHICLES,
    Table,
)
from ev_sessions.views import (
    ALL_VIEWS,
    MEASURES,
    MODELLED_LOAD,
    PLUG_INS_BY_HOUR_OF_WEEK,
    SESSIONS_PER_VEHICLE_WEEK,
    SILENT_VEHICLES,
    Group,
    Period,
)
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.monthly import pending_months, sum_months
from ev_sessions_tests.group_measures import measures_of
from ev_sessions_tests.raw_rows import NOW, Row, at, derive_days, empty, insert, read, session, uid, vehicle

MARCH, APRIL = date(2026, 3, 1), date(2026, 4, 1)
MARCH_31 = date(2026, 3, 31)

examples = partial(settings, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# What adds up over the parts of a group; the others do not.
ADDED = [
    column.name
    for column in GROUP_MEASURES
    if column.type in ("BIGINT", "DECIMAL(38,6)") and not column.name.startswith("active_")
] + ["sessions_without_energy"]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("measures") / "sessions.duckdb").writing() as connection:
        yield connection


@pytest.fixture
def connection(warehouse: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    empty(warehouse)
    return warehouse


def shown(connection: duckdb.DuckDBPyConnection, relation: Table) -> list[Row]:
    """All rows of a table or view, in the order of its key."""
    rows = connection.sql(f"FROM {relation.full_name} ORDER BY {', '.join(relation.key)}")
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]


def derive_all(connection: duckdb.DuckDBPyConnection, *rows: Row, report_date: ReportDate = ReportDate.SESSION_END) -> None:
    """Derive the days of the sessions `rows`, which are all that there are, and sum up their months."""
    insert(connection, RAW_SESSIONS, *rows)
    days = [row["session_day"] for row in rows]
    derive_days(connection, min(days), max(days), report_date=report_date)
    sum_months(connection, pending_months(connection), run_id="months", derived_at=NOW)


def grouped(rows: list[Row], key: Callable[[Row], tuple[Any, ...]]) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def added_up(rows: list[Row]) -> Row:
    """The sums of what adds up; the sum of no known value is null."""
    sums = {name: [row[name] for row in rows if row[name] is not None] for name in ADDED}
    outcomes = sum((Counter(row["sessions_by_outcome"]) for row in rows), Counter[str]())
    return {name: sum(values) if values else None for name, values in sums.items()} | {"sessions_by_outcome": dict(outcomes)}


def adding(row: Row) -> Row:
    return {name: row[name] for name in (*ADDED, "sessions_by_outcome")}


def month_of(row: Row) -> date:
    day: date = row["report_date"].replace(day=1)
    return day


# What holds whatever the sessions are

ZONES = {"DE_LU": "Europe/Berlin", "UK": "Europe/London", "SE_4": "Europe/Stockholm", None: "America/Los_Angeles"}
# Both changes of the clock, a month's end each.
CLOCK_CHANGES = (at("2025-10-25 18:00"), at("2026-03-28 18:00"))

amounts = st.none() | st.decimals(min_value=-20, max_value=20, places=6)
percentages = st.none() | st.decimals(min_value=0, max_value=100, places=3)
hours = st.integers(min_value=0, max_value=100)


@st.composite
def sessions(draw: st.DrawFn) -> list[Row]:
    """A few sessions of three cars of two customers, one of which was sold, around a change of the clock."""
    clock_change = draw(st.sampled_from(CLOCK_CHANGES))
    return [draw(_session(number, clock_change)) for number in range(draw(st.integers(min_value=1, max_value=8)))]


@st.composite
def _session(draw: st.DrawFn, number: int, around: datetime) -> Row:
    plug_in_time = around + draw(hours) * timedelta(minutes=97)

    def later() -> datetime | None:
        return draw(st.none() | hours.map(lambda count: plug_in_time + count * timedelta(minutes=71)))

    car, owner = draw(st.sampled_from([("v1", "one"), ("v1", "other"), ("v2", "one"), ("v3", "other")]))
    zone = draw(st.sampled_from(list(ZONES)))
    energy = draw(st.none() | st.decimals(min_value=0, max_value=90, places=6))
    return session(
        f"s{number}",
        of=car,
        user_id=uid(owner),
        day=plug_in_time.date(),
        plug_in_time=plug_in_time,
        unplug_time=later(),
        inferred_session_end=later(),
        desired_charging_start_time=later(),
        desired_charging_end_time=later(),
        charge_deadline=later(),
        target_soc_pct=draw(percentages),
        initial_soc_pct=draw(percentages),
        final_soc_pct=draw(percentages),
        energy_charged_kwh=energy,
        avg_charge_power_kw=draw(st.none() | st.decimals(min_value=0, max_value=11, places=6)),
        peak_charge_power_kw=draw(st.none() | st.just(Decimal("11.5"))),
        actual_cost_eur=draw(amounts),
        expected_savings_eur=draw(amounts),
        actual_savings_eur=draw(amounts),
        is_at_home=draw(st.none() | st.booleans()),
        session_outcome=draw(st.none() | st.sampled_from(["completed", "not_at_home", "new in 2027"])),
        price_zone=zone,
        time_zone=ZONES[zone],
    )


@examples(max_examples=10)
@given(rows=sessions())
def test_every_measure_of_every_group_is_that_of_its_sessions(connection: duckdb.DuckDBPyConnection, rows: list[Row]) -> None:
    empty(connection)
    derive_all(connection, *rows)
    accepted = [row | {"report_month": month_of(row)} for row in shown(connection, ANALYTICS_SESSIONS)]
    for view in MEASURES.values():
        groups = grouped(accepted, lambda row, key=view.key: tuple(row[name] for name in key))  # type: ignore[misc]
        found = {tuple(row[name] for name in view.key): row for row in shown(connection, view)}
        assert found.keys() == groups.keys()
        for key, group in groups.items():
            expected = measures_of(group)
            assert set(expected) >= {column.name for column in GROUP_MEASURES}
            quotients = {name: value for name, value in expected.items() if isinstance(value, float)}
            exact = {name: value for name, value in expected.items() if name not in quotients}
            assert {name: found[key][name] for name in exact} == exact
            assert {name: found[key][name] for name in quotients} == pytest.approx(quotients, rel=1e-12, abs=1e-12)


@examples(max_examples=8)
@given(rows=sessions())
def test_parts_sum_to_the_whole_days_to_their_month_and_hours_to_the_energy_and_stored_tables_say_the_same(
    connection: duckdb.DuckDBPyConnection, rows: list[Row]
) -> None:
    empty(connection)
    derive_all(connection, *rows)
    assert_parts_sum_to_the_whole_at_every_level(connection)
    assert_stored_tables_and_views_say_the_same(connection)
    assert_hours_sum_to_the_energy_of_each_month_and_zone(connection)


def assert_parts_sum_to_the_whole_at_every_level(connection: duckdb.DuckDBPyConnection) -> None:
    by = {key: shown(connection, view) for key, view in MEASURES.items()}
    for period in Period:
        for part, whole in (
            (Group.VEHICLE, Group.USER),
            (Group.USER, Group.ORGANISATION),
            (Group.PRICE_ZONE, Group.ORGANISATION),
        ):
            assert_sums(by[period, part], by[period, whole], MEASURES[period, whole].key)
    for group in Group:
        days = [row | {"report_month": month_of(row)} for row in by[Period.DAY, group]]
        assert_sums(days, by[Period.MONTH, group], MEASURES[Period.MONTH, group].key)


def assert_sums(parts: list[Row], wholes: list[Row], key: tuple[str, ...]) -> None:
    sums = {group: added_up(members) for group, members in grouped(parts, lambda row: tuple(row[name] for name in key)).items()}
    assert sums == {tuple(row[name] for name in key): adding(row) for row in wholes}


def assert_stored_tables_and_views_say_the_same(connection: duckdb.DuckDBPyConnection) -> None:
    by_vehicle = MEASURES[Period.DAY, Group.VEHICLE]
    for table in (DAILY_ENERGY, DAILY_SAVINGS):
        assert_same(
            grouped(shown(connection, table), lambda row: tuple(row[name] for name in by_vehicle.key)),
            grouped(shown(connection, by_vehicle), lambda row: tuple(row[name] for name in by_vehicle.key)),
            [name for name in ADDED if name in table.column_names],
        )
    by_user = MEASURES[Period.MONTH, Group.USER]
    common = [name for name in by_user.column_names if name in MONTHLY_SAVINGS.column_names]
    stored, seen = shown(connection, MONTHLY_SAVINGS), shown(connection, by_user)
    assert [[row[name] for name in common] for row in stored] == [[row[name] for name in common] for row in seen]
    assert [row["vehicles"] for row in stored] == [row["active_vehicles"] for row in seen]


def assert_same(
    parts: Mapping[tuple[Any, ...], list[Row]], wholes: Mapping[tuple[Any, ...], list[Row]], names: list[str]
) -> None:
    def sums(groups: Mapping[tuple[Any, ...], list[Row]]) -> dict[tuple[Any, ...], list[Any]]:
        known = {key: [[row[name] for row in rows if row[name] is not None] for name in names] for key, rows in groups.items()}
        return {key: [sum(values) if values else None for values in columns] for key, columns in known.items()}

    assert sums(parts) == sums(wholes)


def assert_hours_sum_to_the_energy_of_each_month_and_zone(connection: duckdb.DuckDBPyConnection) -> None:
    def energies(relation: Table, column: str) -> dict[tuple[Any, ...], Decimal]:
        groups = grouped(shown(connection, relation), lambda row: (row["report_month"], row["price_zone"]))
        sums = {key: [row[column] for row in rows if row[column] is not None] for key, rows in groups.items()}
        return {key: sum(values, Decimal(0)) for key, values in sums.items() if values}

    expected = energies(MEASURES[Period.MONTH, Group.PRICE_ZONE], "energy_kwh")
    assert energies(MODELLED_LOAD, "modelled_energy_kwh") == expected
    assert energies(PLUG_INS_BY_HOUR_OF_WEEK, "energy_kwh") == expected


@examples(max_examples=3)
@given(rows=sessions(), seed=st.integers())
def test_the_order_of_the_rows_does_not_matter(connection: duckdb.DuckDBPyConnection, rows: list[Row], seed: int) -> None:
    states = []
    for order in (rows, Random(seed).sample(rows, len(rows))):  # noqa: S311 - an order, no secret
        empty(connection)
        derive_all(connection, *order)
        states.append([shown(connection, view) for view in ALL_VIEWS])
    assert states[0] == states[1]


# What each of them means


@pytest.mark.parametrize("rule", ReportDate)
def test_every_table_and_view_with_a_month_cuts_it_by_the_same_report_date(
    connection: duckdb.DuckDBPyConnection, rule: ReportDate
) -> None:
    carried_over = session("s", day=MARCH_31, unplug_time=at("2026-04-01 06:00"), energy_charged_kwh=5)
    derive_all(connection, carried_over, report_date=rule)
    expected = APRIL if rule is ReportDate.SESSION_END else MARCH
    relations = [relation for relation in (*ALL_TABLES, *ALL_VIEWS) if relation.schema == "analytics"]
    months = [
        (relation.name, row["report_month"]) for relation in relations if "report_month" in relation.column_names
        for row in shown(connection, relation)
    ]  # fmt: skip
    dates = [
        (relation.name, month_of(row)) for relation in relations if "report_date" in relation.column_names
        for row in shown(connection, relation)
    ]  # fmt: skip
    assert {month for _, month in (*months, *dates)} == {expected}
    assert len({name for name, _ in months}) == 7
    assert len({name for name, _ in dates}) == 7


def test_a_month_is_final_and_covered_as_its_days_are(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"), vehicle("v2", created_at=at("2026-03-31 00:00")))
    insert(connection, RAW_FETCHES, read("v1", MARCH, MARCH_31, reported_total=4, accepted_rows=3))
    rows = [session("s", day=MARCH), session("t", day=MARCH_31)]
    insert(connection, RAW_SESSIONS, *rows)
    derive_days(connection, MARCH, MARCH_31)
    (month,) = shown(connection, MEASURES[Period.MONTH, Group.ORGANISATION])
    assert (month["vehicle_days_due"], month["vehicle_days_read"], month["read_coverage"]) == (32, 31, 31 / 32)
    assert (month["listed_coverage"], month["is_final"], month["data_through"]) == (0.75, False, NOW)
    assert (month["days_derived"], month["sessions_per_active_vehicle_week"]) == (31, 14 / 31)
    insert(connection, RAW_FETCHES, read("v2", MARCH_31))
    assert_tables_and_views_agree_on_months(connection)
    derive_days(connection, MARCH_31)
    assert [row["is_final"] for row in shown(connection, MEASURES[Period.MONTH, Group.USER])] == [True]
    assert_tables_and_views_agree_on_months(connection)


def assert_tables_and_views_agree_on_months(connection: duckdb.DuckDBPyConnection) -> None:
    sum_months(connection, pending_months(connection), run_id="months", derived_at=NOW)
    assert_stored_tables_and_views_say_the_same(connection)


def test_a_day_says_how_far_it_is_read_in_each_of_its_rows(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"), vehicle("v2"))
    insert(connection, RAW_FETCHES, read("v1", MARCH))
    derive_all(connection, session("s", day=MARCH), session("t", day=MARCH, unplug_time=at("2026-03-02 06:00")))
    days = shown(connection, MEASURES[Period.DAY, Group.ORGANISATION])
    assert [day["report_date"] for day in days] == [MARCH, MARCH + ONE_DAY]
    assert {(day["vehicles_due"], day["vehicles_read"], day["read_coverage"], day["is_final"]) for day in days} == {
        (2, 1, 0.5, False)
    }


@pytest.mark.parametrize(("midnight", "hours_of_the_day", "twice"), [("2026-03-28 23:00", 23, None), ("2025-10-25 22:00", 25, 2)])
def test_a_day_on_which_the_clock_changes_has_as_many_hours_of_load_as_it_lasts(
    connection: duckdb.DuckDBPyConnection, midnight: str, hours_of_the_day: int, twice: int | None
) -> None:
    start = at(midnight)
    planned: Row = {
        "plug_in_time": start,
        "unplug_time": start + timedelta(hours=hours_of_the_day),
        "desired_charging_start_time": start,
        "desired_charging_end_time": start + timedelta(hours=hours_of_the_day),
    }
    derive_all(connection, session("s", day=start.date(), energy_charged_kwh=hours_of_the_day, **planned))
    load = {row["hour"]: row["modelled_energy_kwh"] for row in shown(connection, MODELLED_LOAD)}
    expected = Counter(range(24)) - Counter([2])
    expected[2] = 2 if twice else 0
    assert load == +expected
    (row,) = shown(connection, ANALYTICS_SESSIONS)
    assert row["plug_in_hours"] == hours_of_the_day


PLUG_IN = {"plug_in_time": at("2026-03-10 11:30"), "avg_charge_power_kw": 8, "unplug_time": at("2026-03-10 16:30")}
PLAN = {"desired_charging_start_time": at("2026-03-10 12:30"), "desired_charging_end_time": at("2026-03-10 14:00")}
CENTURY = {**PLAN, "desired_charging_end_time": at("2126-03-10 14:00")}
BACKWARDS = {**PLAN, "desired_charging_start_time": at("2026-03-10 14:00"), "desired_charging_end_time": at("2026-03-10 12:30")}


@pytest.mark.parametrize(
    ("known", "load", "planned"),
    [
        ({**PLUG_IN, **PLAN}, {13: 4, 14: 8}, 12),
        ({**PLUG_IN}, {12: 4, 13: 8}, 0),
        ({**PLUG_IN, **CENTURY}, {12: 4, 13: 8}, 0),
        ({**PLUG_IN, **BACKWARDS}, {12: 4, 13: 8}, 0),
        ({**PLUG_IN, "desired_charging_start_time": PLAN["desired_charging_start_time"]}, {12: 4, 13: 8}, 0),
        ({**PLUG_IN, "avg_charge_power_kw": None}, {12: 1.2, 13: 2.4, 14: 2.4, 15: 2.4, 16: 2.4, 17: 1.2}, 0),
        ({**PLUG_IN, "avg_charge_power_kw": None, "unplug_time": None}, {12: 12}, 0),
        ({**PLUG_IN, "energy_charged_kwh": None}, {}, 0),
    ],
    ids=["plan", "charging hours", "plan too long", "plan reversed", "half a plan", "stay", "plug-in alone", "no energy"],
)
def test_energy_is_spread_over_the_plan_else_the_charging_else_the_stay_by_the_local_clock(
    connection: duckdb.DuckDBPyConnection, known: Row, load: dict[int, float], planned: int
) -> None:
    derive_all(connection, session("s", **{"energy_charged_kwh": 12, **known}))
    rows = shown(connection, MODELLED_LOAD)
    assert {row["hour"]: float(row["modelled_energy_kwh"]) for row in rows} == load
    assert sum(row["planned_energy_kwh"] for row in rows) == planned


def test_energy_that_cannot_be_cut_evenly_is_still_all_there(connection: duckdb.DuckDBPyConnection) -> None:
    three_hours: Row = {"unplug_time": at("2026-03-10 15:00"), "energy_charged_kwh": Decimal("10.000001")}
    derive_all(connection, session("s", **three_hours))
    assert [row["modelled_energy_kwh"] for row in shown(connection, MODELLED_LOAD)] == [
        Decimal("3.333333"),
        Decimal("3.333334"),
        Decimal("3.333334"),
    ]


def test_plug_ins_are_counted_by_the_local_clock_of_each_zone(connection: duckdb.DuckDBPyConnection) -> None:
    sunday = date(2025, 10, 26)
    derive_all(
        connection,
        session("summer", of="v1", day=sunday, plug_in_time=at("2025-10-26 00:30"), energy_charged_kwh=4),
        session("winter", of="v2", day=sunday, plug_in_time=at("2025-10-26 01:30")),
        session("west", of="v3", day=sunday, plug_in_time=at("2025-10-26 00:30"), time_zone="Europe/London", price_zone="UK"),
        session("late", of="v4", day=sunday, plug_in_time=at("2025-10-26 23:30")),
    )
    columns = ("price_zone", "weekday", "hour", "sessions", "sessions_with_energy", "energy_kwh")
    rows = [tuple(row[name] for name in columns) for row in shown(connection, PLUG_INS_BY_HOUR_OF_WEEK)]
    assert rows == [("DE_LU", 1, 0, 1, 0, None), ("DE_LU", 7, 2, 2, 1, 4), ("UK", 7, 1, 1, 0, None)]


def test_sessions_per_vehicle_and_week_count_the_vehicles_that_were_plugged_in(connection: duckdb.DuckDBPyConnection) -> None:
    monday = date(2026, 3, 2)
    derive_all(
        connection,
        *(session(f"a{n}", of="v1", day=monday + n * ONE_DAY) for n in range(3)),
        session("b", of="v2", day=monday + 6 * ONE_DAY),
        session("next", of="v2", day=monday + 7 * ONE_DAY),
    )
    columns = ("report_week", "sessions", "active_vehicles", "sessions_per_active_vehicle", "is_final")
    rows = [tuple(row[name] for name in columns) for row in shown(connection, SESSIONS_PER_VEHICLE_WEEK)]
    assert rows == [(monday, 4, 2, 2.0, True), (monday + 7 * ONE_DAY, 1, 1, 1.0, False)]


@pytest.mark.parametrize(
    ("changes", "last_session", "silent_for"),
    [
        ({}, MARCH, [30]),
        ({}, MARCH + ONE_DAY, []),
        ({}, None, [None]),
        ({"is_authenticated": True}, MARCH, [30]),
        ({"is_authenticated": False}, MARCH, []),
        ({"deleted_at": at("2026-03-30 00:00")}, MARCH, []),
        ({"missing_since": at("2026-03-30 00:00")}, MARCH, []),
        ({"created_at": at("2026-03-01 23:00")}, None, [None]),
        ({"created_at": at("2026-03-02 00:00")}, None, []),
    ],
)
def test_a_vehicle_is_silent_once_it_could_have_charged_for_thirty_days_and_did_not(
    connection: duckdb.DuckDBPyConnection, changes: Row, last_session: date | None, silent_for: list[int | None]
) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1", **changes), vehicle("other", is_authenticated=False))
    insert(connection, RAW_FETCHES, read("other", MARCH_31))
    insert(connection, RAW_SESSIONS, *([session("s", day=last_session)] if last_session else []))
    derive_days(connection, MARCH_31)
    derive_days(connection, MARCH_31 + ONE_DAY)  # read for nobody
    rows = shown(connection, SILENT_VEHICLES)
    assert [row["days_silent"] for row in rows] == silent_for
    assert {(row["newest_day"], row["last_session_day"]) for row in rows} <= {(MARCH_31, last_session)}


def test_before_anything_is_read_no_vehicle_is_silent(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"))
    derive_days(connection, MARCH_31)
    assert shown(connection, SILENT_VEHICLES) == []
