"""Who lives in the sandbox: invented people, their cars, and the habits by which they plug in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid5

from ev_sessions.sandbox.chance import stream
from ev_sessions.sandbox.options import SandboxOptions

_NAMESPACE = UUID("5f1d6f0e-6a0c-4f0e-9d7b-0c2a7a2f6d11")
_FIRST_NAMES = ("Ada", "Bela", "Carla", "Dorian", "Elif", "Fiete", "Greta", "Hanno", "Ines", "Jarle", "Kaja", "Levi")
_LAST_NAMES = ("Amsel", "Birke", "Distel", "Eiche", "Farn", "Ginster", "Hasel", "Iltis", "Jasmin", "Kiefer", "Linde")
_STREETS = ("Amselweg", "Birkenallee", "Chaussee des Essais", "Distelgasse", "Essai Street", "Farnsteig")
_CARS = (
    ("Volkswagen", "ID.3", 58_000),
    ("Renault", "Zoe", 52_000),
    ("Fiat", "500e", 42_000),
    ("Hyundai", "Ioniq 5", 77_000),
    ("Tesla", "Model 3", 60_000),
    ("Skoda", "Enyaq", 82_000),
    ("BMW", "iX", 100_000),
    ("Mini", "Cooper SE", 40_000),
)
_HOME_CHARGERS_W = (3_700, 7_400, 11_000, 22_000)
_HOME_CHARGER_WEIGHTS = (0.15, 0.25, 0.5, 0.1)
_COUNTRY = {"AT": "AT", "DE_LU": "DE", "EE": "EE", "IT_NORD": "IT", "PT": "PT", "SE_3": "SE", "UK": "GB"}


@dataclass(frozen=True, slots=True)
class Habit:
    """A way to live with a car. Hours are local; the chances to plug in go from Monday to Sunday."""

    name: str
    weight: float
    plug_in_chance: tuple[float, ...]
    arrival_hour: float
    arrival_spread: float
    leaves_hour: float
    daytime_chance: float


HABITS = (
    Habit("commuter", 0.5, (0.95, 0.95, 0.95, 0.95, 0.9, 0.6, 0.8), 18.3, 1.6, 7.2, 0.1),
    Habit("home_office", 0.3, (0.9, 0.9, 0.9, 0.9, 0.9, 0.75, 0.7), 16.5, 2.8, 9.0, 0.6),
    Habit("weekend", 0.2, (0.35, 0.35, 0.35, 0.6, 0.95, 0.95, 0.95), 17.5, 3.0, 9.5, 0.45),
)


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A car and how it is used. Wh, W, percent; instants are seconds since the epoch, UTC."""

    id: UUID
    user_number: int
    user_id: UUID
    number: int
    habit: Habit
    maker: str
    model: str
    battery_wh: int
    charger_w: int
    price_zone: str
    target_pct: int
    created: int
    deleted: int | None


def organisation(seed: int) -> UUID:
    """The organisation of the fleet that `seed` makes."""
    return uuid5(_NAMESPACE, f"{seed}/organisation")


def user_id(seed: int, number: int) -> UUID:
    """The user with that number; number 0 is the administrator, who owns no car."""
    return uuid5(_NAMESPACE, f"{seed}/user/{number}")


def user_count(options: SandboxOptions) -> int:
    """All users, the administrator included."""
    return 1 - (-options.vehicles // options.vehicles_per_user)


def build_vehicles(options: SandboxOptions, zones: tuple[str, ...]) -> Iterator[Vehicle]:
    """The fleet, in order; a household lives in one of the price `zones`."""
    return (_vehicle(options, zones, number) for number in range(options.vehicles))


def _vehicle(options: SandboxOptions, zones: tuple[str, ...], number: int) -> Vehicle:
    user_number = 1 + number // options.vehicles_per_user
    chance = stream(options.seed, "vehicle", number)
    maker, model, battery_wh = chance.choice(_CARS)
    created, deleted = _life(options, number)
    return Vehicle(
        id=uuid5(_NAMESPACE, f"{options.seed}/vehicle/{number}"),
        user_number=user_number,
        user_id=user_id(options.seed, user_number),
        number=number,
        habit=chance.choices(HABITS, [habit.weight for habit in HABITS])[0],
        maker=maker,
        model=model,
        battery_wh=battery_wh,
        charger_w=chance.choices(_HOME_CHARGERS_W, _HOME_CHARGER_WEIGHTS)[0],
        price_zone=stream(options.seed, "zone", user_number).choice(zones),
        target_pct=chance.choice((80, 80, 90, 100)),
        created=created,
        deleted=deleted,
    )


def _life(options: SandboxOptions, number: int) -> tuple[int, int | None]:
    """When a car joins and when it leaves: mostly long before the history and never."""
    chance = stream(options.seed, "life", number)
    begin = int(datetime.combine(options.history.first, time(), UTC).timestamp())
    span = int(timedelta(days=options.days).total_seconds())
    joins_late, leaves = chance.random() < options.added_rate, chance.random() < options.deleted_rate
    before = int(timedelta(days=chance.randint(30, 700)).total_seconds())
    created = begin + chance.randrange(span // 2) if joins_late else begin - before
    return created, begin + span // 2 + chance.randrange(span // 2) if leaves else None


def user_record(options: SandboxOptions, number: int, price_zone: str) -> dict[str, Any]:
    """A user as the API lists one; `deleted_at` is left null."""
    chance = stream(options.seed, "user", number)
    first_name, last_name = chance.choice(_FIRST_NAMES), chance.choice(_LAST_NAMES)
    zip_code = chance.randint(10_000, 99_999)
    return {
        "id": str(user_id(options.seed, number)),
        "email": f"{first_name}.{last_name}.{number}@household.invalid".lower(),
        "role": "user" if number else "admin",
        "external_user_id": f"C-{100_000 + number}",
        "first_name": first_name,
        "last_name": f"{last_name}-{number}",
        "phone_number": f"+00 555 {number:07d}",
        "street": f"{chance.choice(_STREETS)} {number}",
        # The documentation's examples contradict its types, so both are served.
        "zip_code": zip_code if number % 2 else str(zip_code),
        "city": "Musterstadt",
        "country_iso2": _COUNTRY[price_zone],
        "created_at": None,
        "deleted_at": None,
    }


def vehicle_record(vehicle: Vehicle, owner: dict[str, Any], now: int) -> dict[str, Any]:
    """A vehicle as the API lists it at `now`."""
    deleted = vehicle.deleted is not None and vehicle.deleted <= now
    return {
        "id": str(vehicle.id),
        "owner": {
            "id": owner["id"],
            "email": owner["email"],
            "first_name": owner["first_name"],
            "last_name": owner["last_name"],
            "external_id": owner["external_user_id"],
        },
        "name": f"Car of {owner['first_name']} {owner['last_name']}",
        "vin": f"WSANDBOX{vehicle.number:09d}",
        "device_model": {
            "manufacturer": vehicle.maker,
            "model": vehicle.model,
            "year": 2019 + vehicle.number % 6,
            "device_type": {"name": "electric_vehicle"},
        },
        "created_at": stamp(vehicle.created),
        "updated_at": stamp(vehicle.deleted if deleted and vehicle.deleted else vehicle.created),
        "deleted_at": stamp(vehicle.deleted) if deleted and vehicle.deleted else None,
        "price_zone": vehicle.price_zone,
        "lifecycle_state": "deleted" if deleted else "active",
        "is_authenticated": not deleted,
        "is_smart_optimization_active": not deleted,
        "battery_capacity_kwh": vehicle.battery_wh / 1000,
    }


def stamp(seconds: int) -> str:
    """The instant as the API writes it, for example 2026-03-01T17:42:10Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:-6] + "Z"
