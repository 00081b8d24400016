"""Charging sessions, typed, and how a page of them is decoded.

A record that does not fit its type is handed back as `Rejected`; it never costs the records beside it. Numbers are decimals
read from the JSON text and rounded half even to six places, stamps are aware and in UTC.

A page is decoded at once where nothing about it is odd, which is many times faster, else record by record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from functools import partial
from typing import Annotated
from uuid import UUID

import msgspec

from ev_sessions.partner_api.errors import UnreadableAnswer
from ev_sessions.partner_api.json_text import NotJsonError, elements, members
from ev_sessions.partner_api.personal import is_code, marked, without_persons
from ev_sessions.partner_api.rejected import Rejected, as_text, sift

Stamp = Annotated[datetime, msgspec.Meta(tz=True)]

_SIX_PLACES = Decimal("0.000001")
# 18 digits in all, so quantizing to six places refuses what DECIMAL(18,6) cannot hold. A context of its own, for the
# caller's may be anything.
_DECIMAL_18 = Context(prec=18, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])

_STAMPS = (
    "plug_in_time",
    "unplug_time",
    "inferred_session_end",
    "desired_charging_start_time",
    "desired_charging_end_time",
    "charge_deadline",
)
_NUMBERS = (
    "target_soc_pct",
    "initial_soc_pct",
    "final_soc_pct",
    "energy_charged_kwh",
    "avg_charge_power_kw",
    "peak_charge_power_kw",
    "actual_cost_eur",
    "expected_savings_eur",
    "actual_savings_eur",
)
# What msgspec calls the field that holds the unknown ones. The API could have one that is called so.
_OWN_FIELD = "(extra)"
# A number field that holds a string: msgspec would take "12.3" and even "NaN" for a decimal.
_TEXT_FOR_NUMBER = re.compile(rb'_(?:pct|kwh|kw|eur)"\s*:\s*"')
# Texts that tell what is wrong with an id, a number, a stamp or a truth, and are nothing else: the number of a telephone is
# shorter than most of an id, longer than an amount, and no date.
_LIKE_AN_ID = re.compile("[0-9]{1,4}|[0-9a-fA-F-]{16,40}")
_LIKE_A_NUMBER = re.compile(
    r"[+-]?[0-9]{0,6}(?:[.,][0-9]{0,12})?(?:[eE][+-]?[0-9]{1,3})? ?(?:kWh|Wh|kW|W|EUR|€|%)?|NaN|[+-]?Infinity"
)
_LIKE_A_STAMP = re.compile(
    "(?:[0-9]{4}[-./][0-9]{1,2}[-./][0-9]{1,2}|[0-9]{1,2}[-./][0-9]{1,2}[-./][0-9]{4})"
    "(?:[Tt ][0-9]{1,2}(?:[:.,][0-9]{1,9}){0,3} ?(?:[Zz]|[+-][0-9]{1,2}:?[0-9]{0,2})?)?"
)
_LIKE_A_TRUTH = re.compile("(?i:true|false|yes|no|on|off)")
_LEGIBLE = {
    "id": _LIKE_AN_ID,
    "is_at_home": _LIKE_A_TRUTH,
    **dict.fromkeys(_NUMBERS, _LIKE_A_NUMBER),
    **dict.fromkeys(_STAMPS, _LIKE_A_STAMP),
}


def to_six_places(value: Decimal) -> Decimal:
    """`value` rounded half even to six decimal places.

    Raises:
        ValueError: it is no finite number below 10^12 in size, and so does not fit DECIMAL(18,6).
    """
    try:
        rounded = _DECIMAL_18.quantize(value, _SIX_PLACES)
    except InvalidOperation:
        raise ValueError("the number does not fit 12 digits before and 6 after the point") from None
    if rounded.is_nan():
        raise ValueError("not a number")
    return rounded


def to_utc(stamp: datetime) -> datetime:
    """The aware `stamp` in UTC; ValueError where that lies outside the years 1 to 9999."""
    try:
        return stamp.astimezone(UTC)
    except OverflowError:
        raise ValueError("the stamp lies outside the years 1 to 9999 in UTC") from None


class SessionRecord(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A completed charging session as the API sends it; null and missing are both None.

    Stamps are aware and in UTC, numbers have six decimal places: percent, kWh, kW, EUR. `extra` is the JSON text of the object
    of all fields that are not declared here, None where there are none. There, and in `session_outcome`, marks stand for what
    may speak of a person (see `ev_sessions.partner_api.personal`).

    Raises:
        ValueError: a number or a stamp outside what can be stored.
    """

    id: UUID
    plug_in_time: Stamp
    unplug_time: Stamp | None = None
    inferred_session_end: Stamp | None = None
    desired_charging_start_time: Stamp | None = None
    desired_charging_end_time: Stamp | None = None
    charge_deadline: Stamp | None = None
    target_soc_pct: Decimal | None = None
    initial_soc_pct: Decimal | None = None
    final_soc_pct: Decimal | None = None
    energy_charged_kwh: Decimal | None = None
    avg_charge_power_kw: Decimal | None = None
    peak_charge_power_kw: Decimal | None = None
    actual_cost_eur: Decimal | None = None
    expected_savings_eur: Decimal | None = None
    actual_savings_eur: Decimal | None = None
    is_at_home: bool | None = None
    session_outcome: str | None = None
    # Under its own name, a field `extra` of the API would be taken for it.
    extra: str | None = msgspec.field(default=None, name=_OWN_FIELD)

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None:
                setattr(self, name, to_six_places(value))
        for name in _STAMPS:
            stamp = getattr(self, name)
            if stamp is not None and stamp.tzinfo is not UTC:
                setattr(self, name, to_utc(stamp))
        if self.session_outcome and not is_code(self.session_outcome):
            self.session_outcome = marked(self.session_outcome)

    def to_json(self) -> str:
        """The record as the text of a JSON object: the fields that have a value, those of `extra` included."""
        known = _ENCODER.encode(msgspec.structs.replace(self, extra=None)).decode()
        return known if self.extra is None else f"{known[:-1]},{self.extra[1:]}"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list of sessions: the API's count of the whole list, and this part of it."""

    total: int
    sessions: list[SessionRecord]
    rejected: list[Rejected]

    @property
    def records(self) -> int:
        """How many records the page held."""
        return len(self.sessions) + len(self.rejected)


def read_page(body: bytes) -> Page:
    """A page of sessions from the body of an answer.

    Raises:
        UnreadableAnswer: the body is not an object with a `total` (an integer, 0 or more) and a list `items`.
    """
    return _read_quickly(body) or _read_carefully(body)


class _Page(msgspec.Struct):
    total: Annotated[int, msgspec.Meta(ge=0)]
    items: list[SessionRecord]


class _PageFields(msgspec.Struct):
    items: list[dict[str, msgspec.Raw]]


_ENCODER = msgspec.json.Encoder(decimal_format="number")
_PAGE = msgspec.json.Decoder(_Page)
_PAGE_FIELDS = msgspec.json.Decoder(_PageFields)
_TOTAL = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=0)])
_SESSION = msgspec.json.Decoder(SessionRecord)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KNOWN = frozenset(SessionRecord.__struct_fields__) - {"extra"}


def _read_quickly(body: bytes) -> Page | None:
    """The page, decoded at once; None where anything about it asks for care."""
    if b"\\" in body or _OWN_FIELD.encode() in body or _TEXT_FOR_NUMBER.search(body):
        return None
    try:
        page = _PAGE.decode(body)
        fields = _PAGE_FIELDS.decode(body)
    except (ValueError, RecursionError):
        return None
    # msgspec silently keeps the last value of a repeated name. Two of the names are the page's own.
    if body.count(b'":') != 2 + sum(map(len, fields.items)):
        return None
    return Page(page.total, page.items, [])


def _read_carefully(body: bytes) -> Page:
    """The page, decoded record by record."""
    try:
        envelope = dict(members(as_text(body)))
        total = _TOTAL.decode(envelope["total"])
        items = elements(envelope["items"])
    except KeyError as missing:
        raise UnreadableAnswer(f"the page lacks {missing.args[0]!r}") from None
    except (NotJsonError, msgspec.DecodeError) as error:
        raise UnreadableAnswer(f"the page is not an object with total and items: {error}") from None
    sessions, rejected = sift(items, _session, partial(without_persons, legible=_LEGIBLE))
    return Page(total, sessions, rejected)


def _session(raw: str) -> SessionRecord:
    """The session whose JSON text is `raw`; ValueError where it does not fit."""
    fields = _FIELDS.decode(raw)
    # Counting is quick and may be wrong about names with a space behind them or texts within texts; cutting is right.
    if raw.count('":') != len(fields) and len(members(raw)) != len(fields):
        raise ValueError("a field is given twice")
    for name in _NUMBERS:
        if name in fields and bytes(fields[name]).startswith(b'"'):
            raise ValueError(f"Expected a number, got text - at `$.{name}`")
    # By name: another order is no other content.
    unknown = {name: fields[name] for name in sorted(fields.keys() - _KNOWN)}
    if not unknown:
        return _SESSION.decode(raw)
    session = _SESSION.decode(msgspec.json.encode({name: fields[name] for name in fields.keys() & _KNOWN}))
    session.extra = without_persons(msgspec.json.encode(unknown).decode())
    return session
