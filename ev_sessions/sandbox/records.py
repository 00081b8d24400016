"""A session record as the API's contract types it: the judge of what is well formed, written apart from the client.

`typed_row` reads the JSON text of one record the slow and plain way, so that tests compare the client with something that
shares no code with it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

from ev_sessions.tables import DECIMAL, SESSION_FIELDS, STAMP

Row = dict[str, Any]

_FIELDS = {column.name: column for column in SESSION_FIELDS}
_STEP = Decimal("0.000001")
_BOUND = Decimal(10**12)


class MalformedRecordError(ValueError):
    """A record that breaks the contract; the message names the field."""


def typed_row(body: bytes) -> Row:
    """The record in `body`: all eighteen fields (null where it has none) and `extra`, a dict of the fields that are unknown.

    Ids are UUIDs, stamps aware and in UTC, numbers decimals rounded half even to six places.

    Raises:
        MalformedRecordError: a field is not of its type, or `id` or `plug_in_time` is missing.
    """
    record = json.loads(body, parse_float=Decimal, parse_int=Decimal, parse_constant=_refuse_constant)
    row: Row = {name: _typed(name, record.get(name)) for name in _FIELDS}
    row["extra"] = {name: value for name, value in record.items() if name not in _FIELDS}
    return row


def is_well_formed(body: bytes) -> bool:
    """Whether `typed_row` can read `body`."""
    try:
        typed_row(body)
    except MalformedRecordError:
        return False
    return True


def _typed(name: str, value: object) -> object:
    column = _FIELDS[name]
    if value is None:
        if column.required:
            raise MalformedRecordError(f"{name} is missing")
        return None
    try:
        return _PARSERS[column.type](value)
    except (TypeError, ValueError, ArithmeticError):
        raise MalformedRecordError(f"{name} is {value!r}, which is no {column.type}") from None


def _uuid(value: object) -> UUID:
    return UUID(_text(value))


def _stamp(value: object) -> datetime:
    stamp = datetime.fromisoformat(_text(value))
    if stamp.tzinfo is None:
        raise ValueError("no time zone")
    return stamp.astimezone(UTC)


def _decimal(value: object) -> Decimal:
    if not isinstance(value, Decimal):
        raise TypeError("not a number")
    rounded = value.quantize(_STEP)
    if abs(rounded) >= _BOUND:
        raise ValueError("too large")
    return rounded


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedRecordError(f"{name} is no JSON number")


_PARSERS = {"UUID": _uuid, STAMP: _stamp, DECIMAL: _decimal, "BOOLEAN": _boolean, "VARCHAR": _text}
