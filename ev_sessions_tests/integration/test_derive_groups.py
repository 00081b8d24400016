"""The measures of a group: of a vehicle's day, and of the whole fleet's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from ev_sessions.tables import (
    DAILY_ENERGY,
    DAILY_SAVINGS,
    DAILY_TABLES,
    FLEET_DAILY,
    RAW_FETCHES,
    RAW_QUARANTINE,
    RAW_SESSIONS,
    RAW_VEHICLES,
    Table,
)
from ev_sessions.warehouse.connection import Database
from ev_sessions_tests.raw_rows import (
    DAY,
    LOOKBACK_DAYS,
    NOW,
    Row,
    at,
    derive_days,
    empty,
    insert,
    kept_out,
    read,
    rows_of,
    session,
    uid,
    vehicle,
)

ONE_DAY = timedelta(days=1)
FINAL_FROM = datetime(2026, 3, 11, tzinfo=UTC) + timedelta(days=LOOKBACK_DAYS)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("derive") / "sessions.duckdb").writing() as connection:
        yield connection


@pytest.fixture
def connection(warehouse: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    empty(warehouse)
    return warehouse


def one_row(connection: duckdb.DuckDBPyConnection, table: Table) -> Row:
    (row,) = rows_of(connection, table)
    return row


def day_of_gaps(connection: duckdb.DuckDBPyConnection) -> None:
    """Four sessions of one vehicle, each of which lacks something that the others have."""
    insert(
        connection,
        RAW_SESSIONS,
        session(
            "whole",
            unplug_time=at("2026-03-10 22:00"),
            energy_charged_kwh=10,
            avg_charge_power_kw=5,
            peak_charge_power_kw=11,
            actual_cost_eur=2,
            expected_savings_eur=Decimal("0.5"),
            actual_savings_eur=1,
            is_at_home=True,
            session_outcome="completed",
        ),
        session("no savings", energy_charged_kwh=20, actual_cost_eur=3, is_at_home=True, session_outcome="completed"),
        session("no energy", actual_cost_eur=1, expected_savings_eur=1, actual_savings_eur=Decimal("-0.5")),
        session(
            "no cost",
            energy_charged_kwh=5,
            actual_savings_eur=2,
            is_at_home=False,
            initial_soc_pct=20,
            final_soc_pct=50,
            session_outcome="a value nobody told us of",
        ),
    )
    derive_days(connection)


ENERGY: dict[str, Any] = {
    "sessions": 4,
    "sessions_with_energy": 3,
    "energy_kwh": 35,
    "flagged_sessions": 3,
    "flagged_share": 0.75,
    "sessions_with_end": 1,
    "plug_in_hours": 10,
    "charging_hours": 2,
    "idle_hours": 8,
    "sessions_with_idle": 1,
    "plug_in_with_idle_hours": 10,
    "flexibility_ratio": 0.8,
    "flexibility_coverage": 0.25,
    "at_home_sessions": 2,
    "away_sessions": 1,
    "unknown_place_sessions": 1,
    "at_home_energy_kwh": 30,
    "away_energy_kwh": 5,
    "unknown_place_energy_kwh": None,
    "at_home_share": 2 / 3,
    "at_home_coverage": 0.75,
    "at_home_energy_share": 30 / 35,
    "at_home_energy_coverage": 1.0,
    "peak_charge_power_kw": 11,
    "sessions_with_soc": 1,
    "mean_soc_gain_pct": 30.0,
    "soc_coverage": 0.25,
}

SAVINGS: dict[str, Any] = {
    "sessions": 4,
    "sessions_with_energy": 3,
    "energy_kwh": 35,
    "sessions_with_cost": 3,
    "cost_eur": 6,
    "sessions_with_savings": 3,
    "savings_eur": Decimal("2.5"),
    "negative_savings_sessions": 1,
    "negative_savings_eur": Decimal("-0.5"),
    "expected_savings_eur": Decimal("1.5"),
    "sessions_with_counterfactual": 2,
    "counterfactual_eur": Decimal("3.5"),
    "savings_with_cost_eur": Decimal("0.5"),
    "savings_rate": 0.5 / 3.5,
    "savings_rate_coverage": 0.5,
    "savings_with_energy_eur": 3,
    "energy_with_savings_kwh": 15,
    "savings_per_kwh": 0.2,
    "savings_coverage": 15 / 35,
    "cost_with_energy_eur": 5,
    "energy_with_cost_kwh": 30,
    "cost_per_kwh": 5 / 30,
    "cost_coverage": 30 / 35,
    "sessions_with_forecast": 2,
    "expected_with_savings_eur": Decimal("1.5"),
    "savings_with_expected_eur": Decimal("0.5"),
    "forecast_bias_eur": -1,
    "absolute_forecast_error_eur": 2,
    "forecast_mae_eur": 1.0,
    "forecast_realisation": 0.5 / 1.5,
    "forecast_coverage": 0.5,
}


def measures(row: Row, expected: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in expected}


def test_every_ratio_of_a_vehicles_energy_stands_on_the_rows_that_have_both_sides(connection: duckdb.DuckDBPyConnection) -> None:
    day_of_gaps(connection)
    row = one_row(connection, DAILY_ENERGY)
    assert measures(row, ENERGY) == ENERGY
    assert row.keys() == ENERGY.keys() | set(DAILY_ENERGY.key) | {"derived_at", "derived_by_run_id"}


def test_every_ratio_of_a_vehicles_savings_stands_on_the_rows_that_have_both_sides(connection: duckdb.DuckDBPyConnection) -> None:
    day_of_gaps(connection)
    row = one_row(connection, DAILY_SAVINGS)
    assert measures(row, SAVINGS) == SAVINGS
    assert row.keys() == SAVINGS.keys() | set(DAILY_SAVINGS.key) | {"derived_at", "derived_by_run_id"}


def test_the_fleets_day_has_the_same_measures(connection: duckdb.DuckDBPyConnection) -> None:
    day_of_gaps(connection)
    assert measures(one_row(connection, FLEET_DAILY), ENERGY | SAVINGS) == ENERGY | SAVINGS


def test_outcomes_are_counted_as_they_come_and_missing_ones_beside_them(connection: duckdb.DuckDBPyConnection) -> None:
    day_of_gaps(connection)
    row = one_row(connection, FLEET_DAILY)
    assert row["sessions_by_outcome"] == {"completed": 2, "a value nobody told us of": 1}
    assert row["sessions_without_outcome"] == 1


def test_a_sum_of_no_known_value_is_unknown_and_a_known_zero_is_zero(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_SESSIONS, session("unknown"), session("zero", of="v2", energy_charged_kwh=0, actual_savings_eur=0))
    derive_days(connection)
    sums = ("energy_kwh", "savings_eur", "negative_savings_eur", "cost_eur", "savings_per_kwh")
    by_vehicle = {row["electric_vehicle_id"]: tuple(row[name] for name in sums) for row in rows_of(connection, DAILY_SAVINGS)}
    assert by_vehicle == {uid("v1"): (None,) * 5, uid("v2"): (0, 0, 0, None, None)}


def test_a_counterfactual_that_is_not_above_zero_gives_no_rate(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_SESSIONS, session("paid to charge", actual_cost_eur=-3, actual_savings_eur=3))
    derive_days(connection)
    row = one_row(connection, DAILY_SAVINGS)
    assert (row["counterfactual_eur"], row["savings_rate"]) == (0, None)


def test_a_rate_is_of_sums_and_not_a_mean_of_rates(connection: duckdb.DuckDBPyConnection) -> None:
    insert(
        connection,
        RAW_SESSIONS,
        session("dear", actual_cost_eur=9, actual_savings_eur=1),
        session("cheap", actual_cost_eur=Decimal("-0.5"), actual_savings_eur=Decimal("0.25")),
    )
    derive_days(connection)
    assert one_row(connection, DAILY_SAVINGS)["savings_rate"] == 1.25 / 9.75


def test_one_session_day_is_split_by_report_date_owner_and_zone(connection: duckdb.DuckDBPyConnection) -> None:
    late: Row = {"unplug_time": at("2026-03-31 22:30"), "plug_in_time": at("2026-03-31 20:00")}
    insert(
        connection,
        RAW_SESSIONS,
        session("in March", plug_in_time=at("2026-03-31 08:00"), unplug_time=at("2026-03-31 09:00"), energy_charged_kwh=1),
        session("in April", energy_charged_kwh=2, **late),
        session("of the next owner", energy_charged_kwh=4, user_id=uid("next"), **late),
        session("after moving house", energy_charged_kwh=8, price_zone=None, **late),
    )
    derive_days(connection)
    april = date(2026, 4, 1)
    grain = ("report_date", "user_id", "price_zone", "energy_kwh")
    rows = {tuple(row[name] for name in grain) for row in rows_of(connection, DAILY_ENERGY)}
    owner = uid("user of v1")
    assert rows == {
        (date(2026, 3, 31), owner, "DE_LU", 1),
        (april, owner, "DE_LU", 2),
        (april, uid("next"), "DE_LU", 4),
        (april, owner, None, 8),
    }


def test_the_fleets_day_has_middle_and_tail_of_energy_and_duration(connection: duckdb.DuckDBPyConnection) -> None:
    for hours, energy in enumerate((1, 2, 3, 4, 100), start=1):
        ended = at("2026-03-10 12:00") + timedelta(hours=hours)
        insert(connection, RAW_SESSIONS, session(f"s{hours}", of=f"v{hours % 2}", energy_charged_kwh=energy, unplug_time=ended))
    insert(connection, RAW_SESSIONS, session("neither known"))
    derive_days(connection)
    expected = {
        "mean_energy_kwh": 22.0,
        "median_energy_kwh": 3.0,
        "p95_energy_kwh": pytest.approx(80.8),
        "mean_plug_in_hours": 3.0,
        "median_plug_in_hours": 3.0,
        "p95_plug_in_hours": pytest.approx(4.8),
        "active_vehicles": 2,
        "active_users": 2,
    }
    assert measures(one_row(connection, FLEET_DAILY), expected) == expected


def test_the_fleets_day_counts_deadlines_and_rates_those_that_can_be_judged(connection: duckdb.DuckDBPyConnection) -> None:
    morning = at("2026-03-11 06:00")
    before, after = morning - ONE_DAY / 4, morning + ONE_DAY / 4
    deadline: Row = {"charge_deadline": morning, "target_soc_pct": 80}
    insert(
        connection,
        RAW_SESSIONS,
        *(session(f"met {n}", unplug_time=after, final_soc_pct=80, **deadline) for n in range(3)),
        session("missed", unplug_time=after, final_soc_pct=40, **deadline),
        session("left early", unplug_time=before, final_soc_pct=40, **deadline),
        session("unknown", unplug_time=after, **deadline),
        session("without deadline", unplug_time=after, final_soc_pct=40),
    )
    derive_days(connection)
    expected = {
        "deadlines_met": 3,
        "deadlines_missed": 1,
        "deadlines_left_early": 1,
        "deadlines_unknown": 1,
        "deadline_met_ratio": 0.75,
        "deadline_coverage": 4 / 6,
    }
    assert measures(one_row(connection, FLEET_DAILY), expected) == expected


def test_a_day_without_sessions_has_a_row_with_counts_of_zero_and_no_sums(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"))
    derive_days(connection)
    row = one_row(connection, FLEET_DAILY)
    required = {column.name for column in FLEET_DAILY.columns if column.type == "BIGINT" and column.required}
    assert {name: row[name] for name in required} == dict.fromkeys(required, 0) | {"vehicles_due": 1}
    assert (row["sessions_by_outcome"], row["is_final"], row["read_coverage"]) == ({}, False, 0.0)
    optional = {column.name for column in FLEET_DAILY.columns if not column.required} - {"read_coverage"}
    assert {row[name] for name in optional} == {None}
    assert all(rows_of(connection, table) == [] for table in DAILY_TABLES[:3])


@pytest.mark.parametrize(
    ("life", "due"),
    [
        ({}, 1),
        ({"created_at": at("2026-03-10 23:59")}, 1),
        ({"created_at": at("2026-03-11 00:00")}, 0),
        ({"deleted_at": at("2026-03-09 00:00")}, 1),
        ({"deleted_at": at("2026-03-08 23:59")}, 0),
        ({"missing_since": at("2026-03-10 00:00")}, 1),
        ({"missing_since": at("2026-03-09 23:59")}, 0),
    ],
)
def test_a_vehicle_is_due_from_its_creation_until_a_day_after_its_deletion_or_while_it_is_listed(
    connection: duckdb.DuckDBPyConnection, life: Row, due: int
) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1", **life))
    derive_days(connection)
    assert one_row(connection, FLEET_DAILY)["vehicles_due"] == due


EARLIER, LATER = NOW - ONE_DAY, NOW


@pytest.mark.parametrize(
    ("reads", "counted_read", "counted_failed"),
    [
        ([], 0, 0),
        ([read("v1", DAY)], 1, 0),
        ([read("v1", DAY - ONE_DAY, DAY + ONE_DAY, outcome="count_mismatch")], 1, 0),
        ([read("v1", DAY, outcome="gone")], 1, 0),
        ([read("v1", DAY, outcome="failed")], 0, 1),
        ([read("v1", DAY, outcome="held")], 0, 1),
        ([read("v1", DAY, fetched_at=EARLIER), read("v1", DAY, outcome="failed", fetched_at=LATER)], 1, 0),
        ([read("v1", DAY, outcome="failed", fetched_at=EARLIER), read("v1", DAY, fetched_at=LATER)], 1, 0),
        ([read("v1", DAY + ONE_DAY)], 0, 0),
        ([read("v1", DAY - ONE_DAY, outcome="failed")], 0, 0),
        ([read("not a vehicle of ours", DAY)], 0, 0),
    ],
)
def test_a_vehicle_counts_as_read_once_an_answer_covers_the_day_whatever_fails_after_it(
    connection: duckdb.DuckDBPyConnection, reads: list[Row], counted_read: int, counted_failed: int
) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"), vehicle("v2"))
    insert(connection, RAW_FETCHES, *reads)
    derive_days(connection)
    row = one_row(connection, FLEET_DAILY)
    assert (row["vehicles_read"], row["vehicles_failed"], row["vehicles_due"]) == (counted_read, counted_failed, 2)
    assert row["read_coverage"] == counted_read / 2


@pytest.mark.parametrize(
    ("reads", "final"),
    [
        ([read("v1", DAY, fetched_at=FINAL_FROM)], True),
        ([read("v1", DAY, fetched_at=FINAL_FROM - timedelta(seconds=1))], False),
        ([read("v1", DAY, outcome="gone", fetched_at=FINAL_FROM)], True),
        ([read("v1", DAY, outcome="count_mismatch", fetched_at=FINAL_FROM)], False),
        ([read("v1", DAY, fetched_at=FINAL_FROM), read("v1", DAY, outcome="failed", fetched_at=FINAL_FROM + ONE_DAY)], True),
        ([read("v1", DAY, fetched_at=FINAL_FROM - ONE_DAY), read("v1", DAY, outcome="failed", fetched_at=FINAL_FROM)], False),
        ([], False),
    ],
)
def test_a_day_is_final_once_every_vehicle_due_was_read_completely_the_lookback_after_its_end(
    connection: duckdb.DuckDBPyConnection, reads: list[Row], final: object
) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"), vehicle("v2"), vehicle("not yet", created_at=at("2026-03-11 00:00")))
    insert(connection, RAW_FETCHES, *reads, read("v2", DAY, fetched_at=NOW))
    derive_days(connection)
    assert one_row(connection, FLEET_DAILY)["is_final"] is final


@pytest.mark.parametrize(("derived_at", "final"), [(FINAL_FROM, True), (FINAL_FROM - timedelta(seconds=1), False)])
def test_a_day_on_which_no_vehicle_was_due_is_final_once_the_lookback_has_passed(
    connection: duckdb.DuckDBPyConnection, derived_at: datetime, final: object
) -> None:
    derive_days(connection, derived_at=derived_at)
    assert one_row(connection, FLEET_DAILY)["is_final"] is final


def test_listed_coverage_compares_what_was_accepted_with_the_apis_own_count(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"), vehicle("v2"), vehicle("v3"))
    insert(
        connection,
        RAW_FETCHES,
        read("v1", DAY, reported_total=90, accepted_rows=1, fetched_at=EARLIER),
        read("v1", DAY, reported_total=5, accepted_rows=3, rejected_rows=1, outside_rows=1, fetched_at=LATER),
        read("v2", DAY, reported_total=6, accepted_rows=6),
        read("v3", DAY, outcome="gone", reported_total=None, accepted_rows=0),
    )
    derive_days(connection)
    row = one_row(connection, FLEET_DAILY)
    assert (row["sessions_listed"], row["sessions_accepted"], row["listed_coverage"]) == (10, 9, 0.9)
    assert row["data_through"] == LATER


def test_a_quarantined_record_counts_on_exactly_one_day(connection: duckdb.DuckDBPyConnection) -> None:
    window: Row = {"first": DAY - ONE_DAY, "last": DAY + ONE_DAY}
    insert(connection, RAW_SESSIONS, session("standing"))
    insert(
        connection,
        RAW_QUARANTINE,
        kept_out(
            str(uid("standing")),
            reasons=["id_of_two_vehicles: so it is"],
            in_sessions=True,
            payload='{"plug_in_time": "2026-03-11T12:00:00Z"}',
        ),
        kept_out("plugged in then", payload='{"plug_in_time": "2026-03-11T01:00:00+02:00"}', **window),
        kept_out("plugged in outside", payload='{"plug_in_time": "2020-01-01T00:00:00Z"}', **window),
        kept_out("no stamp", payload='{"plug_in_time": 5}', **window),
        kept_out("no json", payload='{"plug_in_time": "2026-03-1', **window),
        kept_out("of another week", first=DAY - 7 * ONE_DAY),
    )
    derive_days(connection, window["first"], window["last"])
    counts = {row["session_day"]: row["quarantined"] for row in rows_of(connection, FLEET_DAILY)}
    assert counts == {DAY - ONE_DAY: 3, DAY: 2, DAY + ONE_DAY: 0}
