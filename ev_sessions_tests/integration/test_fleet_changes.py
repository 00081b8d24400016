"""What a snapshot of the fleet says of days that are derived already: those of a vehicle's sessions, and those of its life."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

import duckdb
import pytest

from ev_sessions.days import DayRange
from ev_sessions.tables import ANALYTICS_SESSIONS, FLEET_DAILY, RAW_QUARANTINE, RAW_SESSIONS, RAW_TOUCHED_DAYS
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.fleet import land_vehicles
from ev_sessions_tests.parts import Row, listed_vehicle
from ev_sessions_tests.raw_rows import DAY, NOW, at, derive_days, empty, insert, rows_of, session, uid

OWNER, CAR = uid("user of v1"), uid("v1")
DAYS = DayRange(DAY, DAY + timedelta(days=3))
SECOND, THIRD, LAST = DAY + timedelta(days=1), DAY + timedelta(days=2), DAYS.last


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("fleet") / "fleet.duckdb").writing() as connection:
        yield connection


@pytest.fixture
def connection(warehouse: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Four days of a vehicle that was always there, which had a session on the second; all of them derived."""
    empty(warehouse)
    list_vehicle(warehouse)
    charged = {"energy_charged_kwh": Decimal(30), "initial_soc_pct": Decimal(20), "final_soc_pct": Decimal(80)}
    insert(warehouse, RAW_SESSIONS, session("s1", day=SECOND) | {"unplug_time": at(f"{SECOND} 20:00")} | charged)
    derive_days(warehouse, DAYS.first, DAYS.last)
    return warehouse


def list_vehicle(connection: duckdb.DuckDBPyConnection, *, later: int = 0, **fields: object) -> None:
    """A snapshot of the vehicle's owner, `later` hours after the first."""
    land_vehicles(
        connection,
        [listed_vehicle(CAR, OWNER, **fields)],
        users_read=[OWNER],
        seen_at=NOW + timedelta(hours=later),
        run_id=f"fleet-{later}",
    )


def to_derive(connection: duckdb.DuckDBPyConnection) -> list[date]:
    return [row["session_day"] for row in rows_of(connection, RAW_TOUCHED_DAYS)]


def due(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """How many vehicles were due on each of the days, once what was touched is derived again."""
    derive_days(connection, DAY - timedelta(days=40))
    return [row["vehicles_due"] for row in rows_of(connection, FLEET_DAILY) if row["session_day"] in DAYS]


def test_a_battery_that_becomes_known_has_the_vehicles_sessions_judged_again(connection: duckdb.DuckDBPyConnection) -> None:
    list_vehicle(connection, later=1, battery_capacity_kwh=Decimal(120))
    assert to_derive(connection) == [SECOND]
    derive_days(connection, DAY)
    (row,) = rows_of(connection, ANALYTICS_SESSIONS)
    assert row["flags"] == ["capacity_unlike_vehicle", "incomplete_figures"]


def test_a_vehicle_said_to_be_younger_than_its_session_keeps_that_out(connection: duckdb.DuckDBPyConnection) -> None:
    list_vehicle(connection, later=1, created_at=at(f"{LAST} 00:00"))
    derive_days(connection, DAY)
    assert rows_of(connection, ANALYTICS_SESSIONS) == []
    (kept_out,) = rows_of(connection, RAW_QUARANTINE)
    assert kept_out["reasons"] == ["before_the_vehicle: Plugged in more than 1 days before the vehicle was created"]


def test_days_before_its_creation_and_after_its_deletion_are_due_no_more(connection: duckdb.DuckDBPyConnection) -> None:
    list_vehicle(connection, later=1, created_at=at(f"{SECOND} 09:00"), deleted_at=at(f"{SECOND} 21:00"))
    assert due(connection) == [0, 1, 1, 0]


def test_a_vehicle_that_comes_back_is_due_on_the_days_that_it_was_missing(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("UPDATE raw.vehicles SET missing_since = ?", [at(f"{SECOND} 03:15")])
    derive_days(connection, DAYS.first, DAYS.last)
    list_vehicle(connection, later=1)
    assert to_derive(connection) == [THIRD, LAST]
    assert due(connection) == [1, 1, 1, 1]


@pytest.mark.parametrize("fields", [{}, {"model": "Zoe"}, {"deleted_at": at(f"{LAST} 23:00")}])
def test_what_changes_no_figure_has_no_day_derived_again(connection: duckdb.DuckDBPyConnection, fields: Row) -> None:
    list_vehicle(connection, later=1, **fields)
    assert to_derive(connection) == []


def test_a_day_that_waits_already_keeps_who_touched_it(connection: duckdb.DuckDBPyConnection) -> None:
    for hours, size in enumerate((50, 60), start=1):
        list_vehicle(connection, later=hours, battery_capacity_kwh=Decimal(size))
    ((run_id,),) = connection.execute("SELECT run_id FROM raw.touched_days").fetchall()
    assert run_id == "fleet-1"
