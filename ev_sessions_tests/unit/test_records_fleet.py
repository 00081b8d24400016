"""Users and vehicles as the partner API sends them: what is kept of them, and what never is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from ev_sessions.partner_api import UnreadableAnswer, User, Vehicle
from ev_sessions.partner_api.fleet_records import read_users, read_vehicles

USER_ID = UUID("1d7f9a10-9d1a-4c9b-8f2e-3c2b1a0f9e8d")
OWNER_ID = UUID("2e8f0b21-0e2b-4d0c-9f3f-4d3c2b1f0f9e")
VEHICLE_ID = UUID("3f901c32-1f3c-4e1d-8040-5e4d3c2f101f")
CREATED = "2025-01-02T03:04:05Z"

PERSONAL = ("Jane", "Doe", "jane@example.org", "Main Street", "10115")
USER: dict[str, Any] = {
    "id": str(USER_ID),
    "email": "jane@example.org",
    "first_name": "Jane",
    "last_name": "Doe",
    "street": "Main Street 1",
    "zip_code": 10115,
    "role": "user",
    "external_user_id": "K-1",
    "country_iso2": "DE",
    "deleted_at": "2026-01-01T00:00:00+01:00",
}
VEHICLE: dict[str, Any] = {
    "id": str(VEHICLE_ID),
    "owner": {"id": str(OWNER_ID), "email": "jane@example.org", "first_name": "Jane", "last_name": "Doe", "external_id": "K-1"},
    "device_model": {"manufacturer": "Volkswagen", "model": "ID.3", "year": 2022, "device_type": {"id": 1}},
    "created_at": CREATED,
    "updated_at": "2026-02-01T00:00:00Z",
    "deleted_at": None,
    "price_zone": "DE_LU",
    "lifecycle_state": "active",
    "is_authenticated": True,
    "is_smart_optimization_active": False,
    "battery_capacity_kwh": 58.00000004,
    "name": "Jane's car",
}


def test_of_a_user_only_what_is_needed_is_kept() -> None:
    users, rejected = read_users(json.dumps([USER]).encode())
    assert users == [User(USER_ID, "user", "K-1", "DE", datetime(2025, 12, 31, 23, 0, tzinfo=UTC))]
    assert rejected == []
    assert not any(word in repr(users) for word in PERSONAL)


def test_numbers_are_taken_for_the_texts_that_the_documentation_shows_as_either() -> None:
    ((user,), _) = read_users(json.dumps([USER | {"external_user_id": 4711}]).encode())
    assert user.external_user_id == "4711"


def test_fields_that_a_user_lacks_are_none() -> None:
    assert read_users(json.dumps([{"id": str(USER_ID)}]).encode())[0] == [User(USER_ID, None, None, None, None)]


@pytest.mark.parametrize(
    "broken", [USER | {"id": "jane"}, USER | {"deleted_at": "yesterday"}, USER | {"deleted_at": "0001-01-01T00:00:00+05:00"}]
)
def test_a_rejected_user_shows_nothing_personal(broken: dict[str, Any]) -> None:
    users, (rejected,) = read_users(json.dumps([USER, broken]).encode())
    assert [user.id for user in users] == [USER_ID]
    assert json.loads(rejected.raw).keys() == set(User.__struct_fields__)
    assert not any(word in rejected.raw + rejected.reason for word in PERSONAL)


@pytest.mark.parametrize("text", ["Jane Doe", "jane@example.org", "Jane Doe, Main Street 1", "+43 660 1234567", "山田 太郎", ""])
def test_a_text_that_does_not_look_like_what_its_field_is_for_is_unknown(text: str) -> None:
    ((user,), _) = read_users(json.dumps([USER | dict.fromkeys(("role", "country_iso2", "external_user_id"), text)]).encode())
    ((vehicle,), _) = read_vehicles(
        json.dumps([VEHICLE | dict.fromkeys(("price_zone", "lifecycle_state"), text)]).encode(), USER_ID
    )
    assert (user.role, user.country_iso2, user.external_user_id) == (None, None, None)
    assert (vehicle.price_zone, vehicle.lifecycle_state) == (None, None)


@pytest.mark.parametrize("number", ["K-1", "0000123456", "crm:eu/4711", "a3f0c7d2-5b7e-4a55-9a0d-7a1d3c110000"])
def test_a_customer_number_stays_as_it_was_sent(number: str) -> None:
    ((user,), _) = read_users(json.dumps([USER | {"external_user_id": number}]).encode())
    assert user.external_user_id == number


@pytest.mark.parametrize(
    "name", ["Škoda", "Mercedes-Benz", "BYD", "e-Niro (2022)", "Lynk & Co", "Cee'd", "MINI/BMW", "500e 42 kWh"]
)
def test_maker_and_model_stay_as_they_were_sent(name: str) -> None:
    model = {"manufacturer": name, "model": name}
    ((vehicle,), _) = read_vehicles(json.dumps([VEHICLE | {"device_model": model}]).encode(), USER_ID)
    assert (vehicle.manufacturer, vehicle.model) == (name, name)


@pytest.mark.parametrize("text", ["jane@example.org", "Jane's car, Main Street 1", 'Jane "the car"', "Jane\nDoe", "a" * 41, " "])
def test_what_no_maker_writes_is_no_maker_and_no_model(text: str) -> None:
    model = {"manufacturer": text, "model": text}
    ((vehicle,), _) = read_vehicles(json.dumps([VEHICLE | {"device_model": model}]).encode(), USER_ID)
    assert (vehicle.manufacturer, vehicle.model) == (None, None)


def test_a_user_that_is_no_object_is_rejected_without_its_text() -> None:
    _, rejected = read_users(b'[null, "jane@example.org", {"id": NaN, "email": "jane@example.org"}]')
    assert [record.raw for record in rejected] == ["{}", "{}", '{"id":NaN}']


def test_a_vehicle_is_read_with_its_model_and_its_owner() -> None:
    vehicles, rejected = read_vehicles(json.dumps([VEHICLE]).encode(), USER_ID)
    assert rejected == []
    assert vehicles == [
        Vehicle(
            id=VEHICLE_ID,
            user_id=OWNER_ID,
            manufacturer="Volkswagen",
            model="ID.3",
            model_year=2022,
            battery_capacity_kwh=Decimal("58.000000"),
            price_zone="DE_LU",
            lifecycle_state="active",
            is_authenticated=True,
            is_smart_optimization_active=False,
            created_at=datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC),
            updated_at=datetime(2026, 2, 1, tzinfo=UTC),
            deleted_at=None,
        )
    ]
    assert not any(word in repr(vehicles) for word in PERSONAL)


@pytest.mark.parametrize("owner", [None, {}, {"id": None}])
def test_a_vehicle_without_an_owner_belongs_to_the_user_who_was_asked_about(owner: object) -> None:
    ((vehicle,), _) = read_vehicles(json.dumps([VEHICLE | {"owner": owner}]).encode(), USER_ID)
    assert vehicle.user_id == USER_ID


@pytest.mark.parametrize(
    ("field", "sent", "name"),
    [
        ("device_model", "ID.3", "manufacturer"),
        ("device_model", {"manufacturer": ["VW"]}, "manufacturer"),
        ("device_model", {"year": "2022"}, "model_year"),
        ("device_model", {"year": True}, "model_year"),
        ("device_model", {"year": 10**30}, "model_year"),
        ("battery_capacity_kwh", "58", "battery_capacity_kwh"),
        ("battery_capacity_kwh", True, "battery_capacity_kwh"),
        ("battery_capacity_kwh", 1e300, "battery_capacity_kwh"),
        ("is_authenticated", "yes", "is_authenticated"),
        ("price_zone", {"name": "DE_LU"}, "price_zone"),
    ],
)
def test_a_vehicle_is_not_lost_to_a_description_that_makes_no_sense(field: str, sent: object, name: str) -> None:
    ((vehicle,), rejected) = read_vehicles(json.dumps([VEHICLE | {field: sent}]).encode(), USER_ID)
    assert rejected == []
    assert vehicle.id == VEHICLE_ID
    assert getattr(vehicle, name) is None


@pytest.mark.parametrize("broken", [{"id": None}, {"created_at": "2025-01-02"}, {"owner": {"id": "jane"}}, {"deleted_at": 5}])
def test_a_vehicle_that_cannot_be_planned_by_is_rejected_without_its_owner(broken: dict[str, Any]) -> None:
    vehicles, (rejected,) = read_vehicles(json.dumps([VEHICLE | broken, VEHICLE]).encode(), USER_ID)
    assert [vehicle.id for vehicle in vehicles] == [VEHICLE_ID]
    assert not any(word in rejected.raw + rejected.reason for word in PERSONAL)


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"<html>", b'{"items": []}', b"[{}", b"[1 2]", b"[] []"])
def test_a_body_that_is_no_list_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableAnswer):
        read_users(body)
    with pytest.raises(UnreadableAnswer):
        read_vehicles(body, USER_ID)
