"""The measures of one session: hand-written rows with known answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import duckdb
import pytest

from ev_sessions.settings import ReportDate
from ev_sessions.tables import ANALYTICS_SESSIONS, RAW_QUARANTINE, RAW_SESSIONS, SESSION_FIELDS
from ev_sessions.warehouse.connection import Database
from ev_sessions_tests.raw_rows import DAY, Row, at, derive_days, empty, insert, kept_out, rows_of, session, uid

HIGHEST = Decimal("999999999999.999999")
LOWEST = Decimal("0.000001")
LATE = at("2027-01-01 00:00")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("derive") / "sessions.duckdb").writing() as connection:
        yield connection


@pytest.fixture
def connection(warehouse: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    empty(warehouse)
    return warehouse


def derived(connection: duckdb.DuckDBPyConnection, **fields: object) -> Row:
    """The derived row of one session with these fields."""
    insert(connection, RAW_SESSIONS, session("s1") | fields)
    derive_days(connection)
    (row,) = rows_of(connection, ANALYTICS_SESSIONS)
    return row


def test_a_session_keeps_the_apis_fields_as_they_were_read(connection: duckdb.DuckDBPyConnection) -> None:
    fields = {
        "plug_in_time": at("2026-03-10 17:00"),
        "unplug_time": at("2026-03-11 06:00"),
        "inferred_session_end": at("2026-03-11 05:55"),
        "desired_charging_start_time": at("2026-03-10 23:00"),
        "desired_charging_end_time": at("2026-03-11 03:00"),
        "charge_deadline": at("2026-03-11 06:30"),
        "target_soc_pct": Decimal("80.000000"),
        "initial_soc_pct": Decimal("31.500000"),
        "final_soc_pct": Decimal("80.000000"),
        "energy_charged_kwh": Decimal("29.123456"),
        "avg_charge_power_kw": Decimal("7.200000"),
        "peak_charge_power_kw": Decimal("11.000000"),
        "actual_cost_eur": Decimal("4.100000"),
        "expected_savings_eur": Decimal("1.200000"),
        "actual_savings_eur": Decimal("-0.300000"),
        "is_at_home": True,
        "session_outcome": "not_at_home",
    }
    row = derived(connection, **fields)
    assert {field.name: row[field.name] for field in SESSION_FIELDS} == {"id": uid("s1"), **fields}
    assert (row["version"], row["run_id"], row["derived_by_run_id"]) == (1, "landing", "derive")


@pytest.mark.parametrize(
    ("unplug", "inferred", "end", "source"),
    [
        ("2026-03-10 20:00", "2026-03-10 19:00", "2026-03-10 20:00", "unplug"),
        (None, "2026-03-10 19:00", "2026-03-10 19:00", "inferred"),
        (None, None, None, "none"),
    ],
)
def test_the_end_is_the_unplugging_else_the_inferred_end_else_unknown(
    connection: duckdb.DuckDBPyConnection, unplug: str | None, inferred: str | None, end: str | None, source: str
) -> None:
    row = derived(connection, unplug_time=unplug and at(unplug), inferred_session_end=inferred and at(inferred))
    assert (row["session_end"], row["end_source"]) == (end and at(end), source)


@pytest.mark.parametrize(
    ("plug_in", "end", "hours"),
    [
        ("2026-03-10 18:00", "2026-03-11 06:30", "12.5"),
        ("2026-03-28 22:00", "2026-03-29 06:00", "8"),  # the clocks in Berlin go forward: 23:00 to 08:00 on the wall
        ("2026-10-24 22:00", "2026-10-25 06:00", "8"),  # and back
        ("2026-03-10 18:00", "2026-03-15 18:00", "120"),
    ],
)
def test_time_plugged_in_is_elapsed_time_also_when_the_clocks_change(
    connection: duckdb.DuckDBPyConnection, plug_in: str, end: str, hours: str
) -> None:
    row = derived(connection, plug_in_time=at(plug_in), unplug_time=at(end), fetched_at=LATE)
    assert row["plug_in_hours"] == Decimal(hours)


@pytest.mark.parametrize(
    ("energy", "power", "charging", "idle"),
    [
        ("14.4", "7.2", "2", "8"),
        ("10", "3", "3.333333", "6.666667"),
        ("144", "7.2", "20", "0"),  # longer than plugged in: idle is 0, not negative
        ("72", "7.2", "10", "0"),
        ("0", "7.2", "0", "10"),
        ("14.4", "0", None, None),
        ("14.4", "-1", None, None),
        ("14.4", None, None, None),
        (None, "7.2", None, None),
    ],
)
def test_charging_and_idle_hours_are_unknown_where_a_part_is(
    connection: duckdb.DuckDBPyConnection, energy: str | None, power: str | None, charging: str | None, idle: str | None
) -> None:
    row = derived(
        connection,
        unplug_time=at("2026-03-10 22:00"),
        energy_charged_kwh=energy and Decimal(energy),
        avg_charge_power_kw=power and Decimal(power),
    )
    assert row["charging_hours"] == (charging and Decimal(charging))
    assert row["idle_hours"] == (idle and Decimal(idle))


def test_without_an_end_nothing_that_needs_it_is_known(connection: duckdb.DuckDBPyConnection) -> None:
    row = derived(connection, energy_charged_kwh=Decimal(10), avg_charge_power_kw=Decimal(5))
    assert row["charging_hours"] == 2
    assert [row[name] for name in ("session_end", "plug_in_hours", "idle_hours")] == [None, None, None]


@pytest.mark.parametrize(
    ("cost", "savings", "counterfactual", "rate"),
    [
        ("3", "1", "4", 0.25),
        ("5", "-1", "4", -0.25),
        ("-1", "3", "2", 1.5),
        ("1", "-1", "0", None),
        ("-2", "1", "-1", None),
        (None, "1", None, None),
        ("1", None, None, None),
    ],
)
def test_the_savings_rate_is_signed_and_unknown_where_the_counterfactual_is_not_above_zero(
    connection: duckdb.DuckDBPyConnection, cost: str | None, savings: str | None, counterfactual: str | None, rate: float | None
) -> None:
    row = derived(connection, actual_cost_eur=cost and Decimal(cost), actual_savings_eur=savings and Decimal(savings))
    assert row["counterfactual_cost_eur"] == (counterfactual and Decimal(counterfactual))
    assert row["savings_rate"] == rate


@pytest.mark.parametrize(
    ("expected", "actual", "error"), [("1", "0.25", "-0.75"), ("-1", "2", "3"), (None, "1", None), ("1", None, None)]
)
def test_the_forecast_error_is_actual_minus_expected(
    connection: duckdb.DuckDBPyConnection, expected: str | None, actual: str | None, error: str | None
) -> None:
    row = derived(connection, expected_savings_eur=expected and Decimal(expected), actual_savings_eur=actual and Decimal(actual))
    assert row["forecast_error_eur"] == (error and Decimal(error))


@pytest.mark.parametrize(
    ("initial", "final", "gain", "capacity"),
    [
        ("30", "80", "50", 60.0),
        ("30", "40", "10", 300.0),
        ("30", "39.9", "9.9", None),
        ("80", "75", "-5", None),
        (None, "80", None, None),
        ("30", None, None, None),
    ],
)
def test_the_gain_is_signed_and_implies_a_capacity_only_from_ten_points(
    connection: duckdb.DuckDBPyConnection, initial: str | None, final: str | None, gain: str | None, capacity: float | None
) -> None:
    row = derived(
        connection,
        energy_charged_kwh=Decimal(30),
        initial_soc_pct=initial and Decimal(initial),
        final_soc_pct=final and Decimal(final),
    )
    assert row["soc_gain_pct"] == (gain and Decimal(gain))
    assert row["implied_capacity_kwh"] == capacity


@pytest.mark.parametrize(
    ("final", "target", "met"), [("79", "80", True), ("78.999999", "80", False), (None, "80", None), ("80", None, None)]
)
def test_the_target_is_met_up_to_one_point_below_it(
    connection: duckdb.DuckDBPyConnection, final: str | None, target: str | None, met: object
) -> None:
    row = derived(connection, final_soc_pct=final and Decimal(final), target_soc_pct=target and Decimal(target))
    assert row["target_met"] is met


@pytest.mark.parametrize(
    ("deadline", "end", "final", "outcome"),
    [
        (None, "2026-03-10 20:00", "80", "not_applicable"),
        ("2026-03-11 06:00", "2026-03-11 07:00", "80", "met"),
        ("2026-03-11 06:00", "2026-03-10 20:00", "80", "met"),
        ("2026-03-11 06:00", None, "80", "met"),
        ("2026-03-11 06:00", "2026-03-11 05:59", "50", "left_early"),
        ("2026-03-11 06:00", "2026-03-11 06:00", "50", "missed"),
        ("2026-03-11 06:00", None, "50", "unknown"),
        ("2026-03-11 06:00", "2026-03-11 07:00", None, "unknown"),
    ],
)
def test_the_deadline_outcome_tells_a_miss_from_a_driver_who_left_early(
    connection: duckdb.DuckDBPyConnection, deadline: str | None, end: str | None, final: str | None, outcome: str
) -> None:
    row = derived(
        connection,
        charge_deadline=deadline and at(deadline),
        unplug_time=end and at(end),
        target_soc_pct=Decimal(80),
        final_soc_pct=final and Decimal(final),
    )
    assert row["deadline_outcome"] == outcome


@pytest.mark.parametrize(
    ("zone", "plug_in", "end", "by_end", "by_plug_in"),
    [
        ("Europe/Berlin", "2026-01-31 20:00", "2026-01-31 23:30", date(2026, 2, 1), date(2026, 1, 31)),
        ("Europe/London", "2026-01-31 20:00", "2026-01-31 23:30", date(2026, 1, 31), date(2026, 1, 31)),
        ("Europe/Tallinn", "2026-06-30 20:59", "2026-06-30 21:00", date(2026, 7, 1), date(2026, 6, 30)),
        ("Europe/Berlin", "2026-01-31 23:30", None, date(2026, 2, 1), date(2026, 2, 1)),
        ("Europe/Berlin", "2026-03-29 00:30", "2026-03-29 22:30", date(2026, 3, 30), date(2026, 3, 29)),
    ],
)
def test_the_report_date_is_the_local_date_of_the_stamp_that_the_setting_names(
    connection: duckdb.DuckDBPyConnection, zone: str, plug_in: str, end: str | None, by_end: date, by_plug_in: date
) -> None:
    row = derived(connection, time_zone=zone, plug_in_time=at(plug_in), unplug_time=end and at(end), fetched_at=LATE)
    assert (row["session_day"], row["report_date"]) == (DAY, by_end)
    derive_days(connection, report_date=ReportDate.PLUG_IN_TIME)
    assert rows_of(connection, ANALYTICS_SESSIONS)[0]["report_date"] == by_plug_in


def test_a_session_in_quarantine_is_kept_out_and_its_namesake_of_another_vehicle_is_not(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    insert(connection, RAW_SESSIONS, session("s1"), session("s1", of="v2"), session("s2"))
    insert(connection, RAW_QUARANTINE, kept_out(str(uid("s1"))), kept_out("a hash of a payload", of="v2"))
    derive_days(connection)
    kept = {(row["electric_vehicle_id"], row["id"]) for row in rows_of(connection, ANALYTICS_SESSIONS)}
    assert kept == {(uid("v2"), uid("s1")), (uid("v1"), uid("s2"))}


def test_the_largest_values_that_no_rule_keeps_out_can_be_derived(connection: duckdb.DuckDBPyConnection) -> None:
    row = derived(
        connection,
        unplug_time=at("9999-12-31 00:00"),
        fetched_at=at("9999-12-31 00:00"),
        avg_charge_power_kw=LOWEST,
        actual_cost_eur=1250,
        actual_savings_eur=1250,
        expected_savings_eur=-HIGHEST,
        final_soc_pct=HIGHEST,
        initial_soc_pct=-HIGHEST,
        target_soc_pct=-HIGHEST,
    )
    assert (row["counterfactual_cost_eur"], row["forecast_error_eur"]) == (2500, 1250 + HIGHEST)
    assert row["initial_soc_pct"] is row["final_soc_pct"] is row["target_soc_pct"] is None


def test_the_longest_charging_can_be_derived(connection: duckdb.DuckDBPyConnection) -> None:
    row = derived(connection, energy_charged_kwh=250, avg_charge_power_kw=LOWEST, unplug_time=at("2026-03-10 13:00"))
    assert (row["charging_hours"], row["idle_hours"]) == (250_000_000, 0)
