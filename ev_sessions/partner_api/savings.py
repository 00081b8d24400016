"""The API's own sums of savings, typed leniently: their shape is known from the twin of a page, and a sum is never worth a crash.

What cannot be understood is handed back as `UnexpectedAnswer`, which shows how the answer was built and none of its values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from ev_sessions.partner_api.errors import UnreadableAnswer
from ev_sessions.partner_api.records import to_six_places

_WH_PER_KWH = 1000
_LONGEST_MONTH = timedelta(days=32)
_HALF_A_MONTH = timedelta(days=15)
_LONGEST_SHAPE = 400
_DEEPEST_SHAPE = 8
# Words and short numbers: an id that stands for a name is neither.
_FIELD_NAME = re.compile(r"[a-z]{1,24}[0-9]{0,3}(?:_[a-z]{1,24}[0-9]{0,3}|_[0-9]{1,4}){0,5}")


@dataclass(frozen=True, slots=True)
class MonthSavings:
    """What the API says of one vehicle and month, named by its first day: kWh and EUR with six places; None: not given."""

    month: date
    sessions: int | None
    energy_kwh: Decimal | None
    savings_eur: Decimal | None


@dataclass(frozen=True, slots=True)
class UnexpectedAnswer:
    """An answer of a shape that is not known. `shape` shows its fields and the kinds of their values, cut short, on one line."""

    shape: str


def read_monthly_savings(body: bytes) -> list[MonthSavings] | UnexpectedAnswer:
    """The months in an answer about one vehicle, each once.

    Raises:
        UnreadableAnswer: the body is not JSON, or nested too deep to be read.
    """
    answer = _decode(body)
    entries = answer.get("data") if isinstance(answer, dict) else None
    months = [_month_savings(entry) for entry in entries] if isinstance(entries, list) else [None]
    known = [month for month in months if month is not None]
    if len(known) < len(months) or len({month.month for month in known}) < len(known):
        return UnexpectedAnswer(_shape(answer))
    return known


def read_organisation_savings(body: bytes) -> Decimal | UnexpectedAnswer:
    """The savings of all electric vehicles (EUR, six places) in an answer about the organisation.

    Raises:
        UnreadableAnswer: the body is not JSON, or nested too deep to be read.
    """
    answer = _decode(body)
    savings = _number(_at(answer, "electric_vehicle_savings"))
    return UnexpectedAnswer(_shape(answer)) if savings is None else savings


def _decode(body: bytes) -> Any:  # noqa: ANN401 - whatever was sent
    try:
        return _JSON.decode(body)
    except msgspec.DecodeError:
        raise UnreadableAnswer("the answer is not JSON") from None
    except RecursionError:
        raise UnreadableAnswer("the answer is nested too deep to be read") from None


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # the exponent has too many digits
        return Decimal("NaN")


_JSON = msgspec.json.Decoder(float_hook=_decimal)


def _month_savings(entry: object) -> MonthSavings | None:
    """The entry's figures; None where its month, or every figure, is missing, or a count is no whole number."""
    month = _month(_at(entry, "period", "start_period"), _at(entry, "period", "end_period"))
    sessions = _number(_at(entry, "electric_vehicle", "charge_session_count"))
    watt_hours = _number(_at(entry, "electric_vehicle", "estimated_consumption_wh"))
    savings = _number(_at(entry, "savings", "total"))
    if month is None or (sessions is None and watt_hours is None and savings is None):
        return None
    if sessions is not None and sessions != int(sessions):
        return None
    energy = None if watt_hours is None else to_six_places(watt_hours / _WH_PER_KWH)
    return MonthSavings(month, None if sessions is None else int(sessions), energy, savings)


def _month(start: object, end: object) -> date | None:
    """The first day of the month of a period's middle: its ends may be local midnights, and the last one in it or after it."""
    first, last = _instant(start), _instant(end)
    if first is None:
        return None
    length = 2 * _HALF_A_MONTH if last is None else last - first
    if not timedelta(0) <= length <= _LONGEST_MONTH:
        return None
    try:
        return (first + length / 2).date().replace(day=1)
    except OverflowError:  # the middle lies after the year 9999
        return None


def _instant(text: object) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text) if isinstance(text, str) else None
        return instant and (instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None


def _number(value: object) -> Decimal | None:
    """A JSON number, or a text that is one, as some servers send decimals."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    try:
        return to_six_places(Decimal(value))
    except (InvalidOperation, ValueError):
        return None


def _at(value: object, *path: str) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _shape(value: object) -> str:
    shape = _built(value)
    return shape if len(shape) <= _LONGEST_SHAPE else f"{shape[:_LONGEST_SHAPE]}..."


def _built(value: object, level: int = 0) -> str:
    """How `value` is built, without any value: of a list the first element. A name that is no field's may be a person's."""
    match value:
        case dict() | list() if level == _DEEPEST_SHAPE:
            return "..."
        case dict():
            names = ((name if _FIELD_NAME.fullmatch(name) else "?", part) for name, part in value.items())
            return "{" + ", ".join(f"{name}: {_built(part, level + 1)}" for name, part in names) + "}"
        case list():
            return f"[{_built(value[0], level + 1)}, {len(value)} in all]" if value else "[]"
        case _:
            return _kind(value)


def _kind(value: object) -> str:
    match value:
        case str():
            return "text"
        case bool():
            return "true or false"
        case None:
            return "null"
        case _:
            return "number"
