"""Users and vehicles, typed, and how lists of them are decoded.

The types are an allow-list: a name, an address or an e-mail is never kept, not in a rejected record either. A text stays where it
looks like what its field is for: a customer number, a country, one of a program's own values. Maker and model are words; what has
signs that neither has, as e-mails and addresses do, is none. Only ids and stamps have to fit their types. What merely describes
a user or a vehicle is None where it makes no sense, for the sessions of a vehicle must not be lost to the spelling of its model.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import MAXYEAR, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from ev_sessions.partner_api.errors import UnreadableAnswer
from ev_sessions.partner_api.json_text import NotJsonError, elements
from ev_sessions.partner_api.personal import is_code, without_persons
from ev_sessions.partner_api.records import Stamp, to_six_places, to_utc
from ev_sessions.partner_api.rejected import Rejected, as_text, fields_of, sift


class User(msgspec.Struct, frozen=True):
    """A customer of the organisation. The stamp is aware and in UTC; null and missing are both None."""

    id: UUID
    role: str | None
    external_user_id: str | None
    country_iso2: str | None
    deleted_at: datetime | None


class Vehicle(msgspec.Struct, frozen=True):
    """An electric vehicle. `user_id` is its owner, or the user who was asked about where the API names none.

    The battery's capacity is in kWh with six decimal places; stamps are aware and in UTC; null and missing are both None.
    """

    id: UUID
    user_id: UUID
    manufacturer: str | None
    model: str | None
    model_year: int | None
    battery_capacity_kwh: Decimal | None
    price_zone: str | None
    lifecycle_state: str | None
    is_authenticated: bool | None
    is_smart_optimization_active: bool | None
    created_at: datetime | None
    updated_at: datetime | None
    deleted_at: datetime | None


def read_users(body: bytes) -> tuple[list[User], list[Rejected]]:
    """The users in the body of an answer.

    Raises:
        UnreadableAnswer: the body is not a JSON list.
    """
    return sift(_list(body), _user, partial(_allowed, _SentUser.__struct_fields__))


def read_vehicles(body: bytes, user_id: UUID) -> tuple[list[Vehicle], list[Rejected]]:
    """The vehicles in the body of an answer about the user `user_id`.

    Raises:
        UnreadableAnswer: the body is not a JSON list.
    """
    shown = set(_SentVehicle.__struct_fields__) - {"owner"}
    return sift(_list(body), partial(_vehicle, user_id), partial(_allowed, shown))


class _SentUser(msgspec.Struct):
    """A user as the API sends it. The documentation contradicts itself about the types of the texts."""

    id: UUID
    role: Any = None
    external_user_id: Any = None
    country_iso2: Any = None
    deleted_at: Stamp | None = None


class _SentOwner(msgspec.Struct):
    id: UUID | None = None


class _SentVehicle(msgspec.Struct):
    """A vehicle as the API sends it."""

    id: UUID
    owner: _SentOwner | None = None
    device_model: Any = None
    battery_capacity_kwh: Any = None
    price_zone: Any = None
    lifecycle_state: Any = None
    is_authenticated: Any = None
    is_smart_optimization_active: Any = None
    created_at: Stamp | None = None
    updated_at: Stamp | None = None
    deleted_at: Stamp | None = None


# No white space and no @, as the names and the e-mails of people have.
_CUSTOMER_NUMBER = re.compile("[A-Za-z0-9][A-Za-z0-9._:/|+=~-]{0,63}")
_COUNTRY = re.compile("[A-Za-z]{2}")
_CAR = re.compile(r"\w[\w .+!()/'&-]{0,39}")

_USER = msgspec.json.Decoder(_SentUser)
_VEHICLE = msgspec.json.Decoder(_SentVehicle, float_hook=Decimal)


def _list(body: bytes) -> list[str]:
    try:
        return elements(as_text(body))
    except NotJsonError as error:
        raise UnreadableAnswer(f"the answer is not a list: {error}") from None


def _allowed(names: Collection[str], raw: str) -> str:
    """Of a record's text the fields called `names`, as JSON text, with marks for what may speak of a person."""
    fields = ",".join(f'"{name}":{text}' for name, text in fields_of(raw).items() if name in names)
    return without_persons("{" + fields + "}")


def _user(raw: str) -> User:
    sent = _USER.decode(raw)
    return User(
        id=sent.id,
        role=_code(sent.role),
        external_user_id=_text(sent.external_user_id, _CUSTOMER_NUMBER),
        country_iso2=_text(sent.country_iso2, _COUNTRY),
        deleted_at=_utc(sent.deleted_at),
    )


def _vehicle(asked_user_id: UUID, raw: str) -> Vehicle:
    sent = _VEHICLE.decode(raw)
    model = sent.device_model if isinstance(sent.device_model, dict) else {}
    owner_id = sent.owner.id if sent.owner else None
    return Vehicle(
        id=sent.id,
        user_id=owner_id or asked_user_id,
        manufacturer=_text(model.get("manufacturer"), _CAR),
        model=_text(model.get("model"), _CAR),
        model_year=_year(model.get("year")),
        battery_capacity_kwh=_number(sent.battery_capacity_kwh),
        price_zone=_code(sent.price_zone),
        lifecycle_state=_code(sent.lifecycle_state),
        is_authenticated=_truth(sent.is_authenticated),
        is_smart_optimization_active=_truth(sent.is_smart_optimization_active),
        created_at=_utc(sent.created_at),
        updated_at=_utc(sent.updated_at),
        deleted_at=_utc(sent.deleted_at),
    )


def _utc(stamp: datetime | None) -> datetime | None:
    return None if stamp is None else to_utc(stamp)


def _text(value: object, form: re.Pattern[str]) -> str | None:
    """A text of that form, or a number for one: the documentation's examples have both for the same field."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if form.fullmatch(text) else None


def _code(value: object) -> str | None:
    return value if isinstance(value, str) and is_code(value) else None


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _year(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAXYEAR else None


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    try:
        return to_six_places(Decimal(value))
    except ValueError:
        return None
