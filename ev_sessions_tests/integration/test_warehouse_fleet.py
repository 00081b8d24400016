"""What the fleet's tables say after snapshots: nobody is deleted, and whoever is no longer listed is marked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest

from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.fleet import FleetChange, fleet, land_users, land_vehicles, listed_users
from ev_sessions_tests.parts import ORG, Row, listed_user, listed_vehicle

ANNA, BEN = UUID(int=11), UUID(int=12)
CAR, VAN = UUID(int=101), UUID(int=102)
SEEN_AT = datetime(2026, 3, 9, 3, 15, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path / "ev_sessions.duckdb").writing() as connection:
        yield connection


def _users(connection: duckdb.DuckDBPyConnection, *rows: Row, day: int = 0) -> FleetChange:
    return land_users(connection, rows, seen_at=SEEN_AT + day * DAY, run_id=f"run-{day}")


def _vehicles(
    connection: duckdb.DuckDBPyConnection, *rows: Row, read: tuple[UUID, ...] = (ANNA, BEN), day: int = 0
) -> FleetChange:
    return land_vehicles(connection, rows, users_read=read, seen_at=SEEN_AT + day * DAY, run_id=f"run-{day}")


def _missing(connection: duckdb.DuckDBPyConnection) -> dict[UUID, datetime | None]:
    return {vehicle.electric_vehicle_id: vehicle.missing_since for vehicle in fleet(connection, ORG)}


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


def test_a_vehicle_is_stored_as_it_was_listed(connection: duckdb.DuckDBPyConnection) -> None:
    listed = listed_vehicle(
        CAR,
        ANNA,
        manufacturer="Renault",
        model="Zoe",
        model_year=2021,
        battery_capacity_kwh=Decimal("52.000001"),
        price_zone="SE_1",
        is_authenticated=False,
        created_at=SEEN_AT - DAY,
    )
    assert _vehicles(connection, listed) == FleetChange(rows=1, added=1, missing=0)
    (row,) = _rows(connection, "FROM raw.vehicles")
    stored = dict(zip([name for name, *_ in _rows(connection, "DESCRIBE raw.vehicles")], row, strict=True))
    seen = {"first_seen_at": SEEN_AT, "last_seen_at": SEEN_AT, "missing_since": None, "run_id": "run-0"}
    assert stored == listed | seen


def test_a_later_snapshot_updates_and_keeps_the_time_of_the_first(connection: duckdb.DuckDBPyConnection) -> None:
    _users(connection, listed_user(ANNA, role="user"))
    assert _users(connection, listed_user(ANNA, role="staff"), day=1) == FleetChange(rows=1, added=0, missing=0)
    assert _rows(connection, "SELECT role, first_seen_at, last_seen_at, run_id FROM raw.users") == [
        ("staff", SEEN_AT, SEEN_AT + DAY, "run-1")
    ]


def test_a_snapshot_read_earlier_and_landed_later_changes_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    _users(connection, listed_user(ANNA, role="staff"), listed_user(BEN), day=1)
    _users(connection, listed_user(ANNA, role="user"))
    assert _rows(connection, "SELECT role, missing_since FROM raw.users ORDER BY user_id") == [("staff", None), (None, None)]


def test_a_user_who_is_no_longer_listed_is_marked_and_no_longer_asked_for(connection: duckdb.DuckDBPyConnection) -> None:
    _users(connection, listed_user(ANNA), listed_user(BEN))
    assert _users(connection, listed_user(ANNA), day=1) == FleetChange(rows=2, added=0, missing=1)
    assert listed_users(connection, ORG) == [ANNA]
    _users(connection, listed_user(ANNA), listed_user(BEN), day=2)
    assert listed_users(connection, ORG) == [ANNA, BEN]


def test_a_vehicle_is_marked_since_the_first_snapshot_without_it_until_it_comes_back(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    _vehicles(connection, listed_vehicle(CAR, ANNA), listed_vehicle(VAN, ANNA))
    _vehicles(connection, listed_vehicle(CAR, ANNA), day=1)
    _vehicles(connection, listed_vehicle(CAR, ANNA), day=2)
    assert _missing(connection) == {CAR: None, VAN: SEEN_AT + DAY}
    _vehicles(connection, listed_vehicle(VAN, ANNA), day=3, read=())
    assert _missing(connection) == {CAR: None, VAN: None}


def test_vehicles_of_a_user_whose_list_could_not_be_read_are_not_marked(connection: duckdb.DuckDBPyConnection) -> None:
    _vehicles(connection, listed_vehicle(CAR, ANNA), listed_vehicle(VAN, BEN))
    _vehicles(connection, listed_vehicle(CAR, ANNA), read=(ANNA,), day=1)
    assert _missing(connection) == {CAR: None, VAN: None}


def test_a_user_with_no_vehicle_left_has_all_of_his_marked(connection: duckdb.DuckDBPyConnection) -> None:
    _vehicles(connection, listed_vehicle(CAR, ANNA))
    _vehicles(connection, read=(ANNA,), day=1)
    assert _missing(connection) == {CAR: SEEN_AT + DAY}


def test_vehicles_of_a_user_who_is_listed_no_more_are_marked_though_nobody_asked_for_them(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    _users(connection, listed_user(ANNA), listed_user(BEN))
    _vehicles(connection, listed_vehicle(CAR, ANNA), listed_vehicle(VAN, BEN))
    _users(connection, listed_user(ANNA), day=1)
    _vehicles(connection, listed_vehicle(CAR, ANNA), read=(ANNA,), day=1)
    assert _missing(connection) == {CAR: None, VAN: SEEN_AT + DAY}


def test_a_vehicle_that_changes_hands_follows_its_new_owner(connection: duckdb.DuckDBPyConnection) -> None:
    _vehicles(connection, listed_vehicle(CAR, ANNA))
    assert _vehicles(connection, listed_vehicle(CAR, BEN), day=1) == FleetChange(rows=1, added=0, missing=0)
    assert [vehicle.user_id for vehicle in fleet(connection, ORG)] == [BEN]


def test_a_vehicle_listed_under_two_users_is_stored_once(connection: duckdb.DuckDBPyConnection) -> None:
    assert _vehicles(connection, listed_vehicle(CAR, ANNA), listed_vehicle(CAR, BEN)).rows == 1


def test_the_fleet_of_one_organisation_leaves_those_of_others_alone(connection: duckdb.DuckDBPyConnection) -> None:
    other = UUID(int=99)
    _users(connection, listed_user(BEN, org_id=other))
    _users(connection, listed_user(ANNA), day=1)
    assert (listed_users(connection, ORG), listed_users(connection, other)) == ([ANNA], [BEN])


def test_an_empty_list_of_users_says_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    _users(connection, listed_user(ANNA))
    _users(connection, day=1)
    assert listed_users(connection, ORG) == [ANNA]


def test_a_snapshot_that_cannot_be_stored_changes_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    _users(connection, listed_user(ANNA))
    with pytest.raises(duckdb.Error):
        _users(connection, listed_user(BEN), listed_user(ANNA, org_id="no uuid"), day=1)
    assert listed_users(connection, ORG) == [ANNA]
