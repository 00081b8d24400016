"""A simulated session as JSON text: in full, with the gaps that real data has, restated, or broken."""

from __future__ import annotations

from enum import StrEnum
from random import Random
from typing import NamedTuple
from uuid import UUID

from ev_sessions.sandbox.charging import SECONDS_PER_HOUR, Charge, Stay
from ev_sessions.sandbox.households import stamp

_NULL = "null"
# How often the platform fails to see something, about as real home charging has it.
_NO_END_CHANCE = 0.001
_NO_UNPLUG_CHANCE = 0.02
_INFERRED_END_CHANCE = 0.5
_NO_SOC_CHANCE = 0.03
_NO_MONEY_CHANCE = 0.025
_OMITTED_CHANCE = 0.05
_UNKNOWN_FIELD_CHANCE = 0.01
_ENERGY_RESTATED_CHANCE = 0.3
# Of a session at home: mostly there is nothing to say. The one value is none that the documentation names.
_OUTCOMES = ("interrupted", None, None, None, None)


class Session(NamedTuple):
    """A session before it is written down. States of charge in tenths of a percent, the rest as in `Stay` and `Charge`."""

    id: UUID
    stay: Stay
    charge: Charge
    at_home: bool
    initial_soc: int
    final_soc: int
    target_soc: int


class Gaps(NamedTuple):
    """What the platform failed to see. `omitted`: a field without a value is left out instead of sent as null."""

    unplug: bool
    end: bool
    inferred: bool
    soc: bool
    money: bool
    omitted: bool
    unknown_field: bool
    outcome: str | None

    @classmethod
    def draw(cls, chance: Random) -> Gaps:
        """The gaps of one session."""
        end = chance.random() < _NO_END_CHANCE
        return cls(
            end=end,
            unplug=end or chance.random() < _NO_UNPLUG_CHANCE,
            inferred=chance.random() < _INFERRED_END_CHANCE,
            soc=chance.random() < _NO_SOC_CHANCE,
            money=chance.random() < _NO_MONEY_CHANCE,
            omitted=chance.random() < _OMITTED_CHANCE,
            unknown_field=chance.random() < _UNKNOWN_FIELD_CHANCE,
            outcome=chance.choice(_OUTCOMES),
        )


class Breakage(StrEnum):
    """A way in which a record breaks the contract."""

    MISSING_ID = "missing_id"
    BAD_ID = "bad_id"
    NO_PLUG_IN = "no_plug_in"
    NAIVE_STAMP = "naive_stamp"
    TEXT_FOR_NUMBER = "text_for_number"
    TOO_LARGE = "too_large"
    NAN = "nan"
    """Not JSON at all: it spoils its page for a reader that decodes pages whole. Never drawn by chance."""


COMMON_BREAKAGES = tuple(breakage for breakage in Breakage if breakage is not Breakage.NAN)

_BROKEN_FIELD = {
    Breakage.MISSING_ID: ("id", None),
    Breakage.BAD_ID: ("id", '"4711"'),
    Breakage.NO_PLUG_IN: ("plug_in_time", _NULL),
    Breakage.NAIVE_STAMP: ("plug_in_time", '"2026-03-01T17:42:10"'),
    Breakage.TEXT_FOR_NUMBER: ("energy_charged_kwh", '"12,5"'),
    Breakage.TOO_LARGE: ("energy_charged_kwh", "1e30"),
    Breakage.NAN: ("actual_cost_eur", "NaN"),
}


def body(session: Session, gaps: Gaps, breakage: Breakage | None = None) -> bytes:
    """The JSON text of a session that has ended."""
    fields = _fields(session)
    for name in _missing(gaps):
        fields[name] = _NULL
    if not gaps.end and (gaps.inferred or gaps.unplug):
        fields["inferred_session_end"] = _quoted_stamp(session.stay.end)
    if session.at_home and gaps.outcome:
        fields["session_outcome"] = f'"{gaps.outcome}"'
    if gaps.omitted:
        fields = {name: token for name, token in fields.items() if token != _NULL}
    if gaps.unknown_field:
        fields["grid_signal"] = '"eco"'
    return _join(_broken(fields, breakage))


def running_body(session: Session) -> bytes:
    """The JSON text of a session that is still under way: what is known at plug-in."""
    known = ("id", "plug_in_time", "charge_deadline", "target_soc_pct", "initial_soc_pct", "is_at_home")
    return _join({name: token if name in known else _NULL for name, token in _fields(session).items()})


def broken_body(session_id: UUID, plug_in: int, breakage: Breakage) -> bytes:
    """A short record that breaks the contract in that way."""
    fields = {"id": f'"{session_id}"', "plug_in_time": _quoted_stamp(plug_in), "energy_charged_kwh": "1.000"}
    return _join(_broken(fields, breakage))


def restated(session: Session, chance: Random) -> Session:
    """The session with its cost corrected against the same counterfactual, and now and then its energy too."""
    charge = session.charge
    shift = chance.choice((-1, 1)) * (1 + round(abs(charge.cost) * chance.uniform(0, 0.05)))
    energy = charge.energy_wh + (charge.energy_wh // 100 if chance.random() < _ENERGY_RESTATED_CHANCE else 0)
    charge = charge._replace(energy_wh=energy, cost=charge.cost + shift, savings=charge.savings - shift)
    return session._replace(charge=charge)


def _fields(session: Session) -> dict[str, str]:
    """All eighteen fields as JSON tokens."""
    stay, charge = session.stay, session.charge
    return {
        "id": f'"{session.id}"',
        "plug_in_time": _quoted_stamp(stay.plug_in),
        "unplug_time": _quoted_stamp(stay.end),
        "inferred_session_end": _NULL,
        "desired_charging_start_time": _quoted_stamp(charge.first),
        "desired_charging_end_time": _quoted_stamp(charge.last),
        "charge_deadline": _quoted_stamp(stay.deadline),
        "target_soc_pct": _fixed(session.target_soc, 1),
        "initial_soc_pct": _fixed(session.initial_soc, 1),
        "final_soc_pct": _fixed(session.final_soc, 1),
        "energy_charged_kwh": _fixed(charge.energy_wh, 3),
        "avg_charge_power_kw": _fixed(_average_power(charge), 3),
        "peak_charge_power_kw": _fixed(stay.power_w, 3),
        "actual_cost_eur": _fixed(charge.cost, 4),
        "expected_savings_eur": _fixed(charge.expected_savings, 4),
        "actual_savings_eur": _fixed(charge.savings, 4),
        "is_at_home": "true" if session.at_home else "false",
        "session_outcome": _NULL if session.at_home else '"not_at_home"',
    }


def _missing(gaps: Gaps) -> list[str]:
    names = []
    if gaps.unplug:
        names.append("unplug_time")
    if gaps.soc:
        names += ["target_soc_pct", "initial_soc_pct", "final_soc_pct"]
    if gaps.money:
        names += ["actual_cost_eur", "expected_savings_eur", "actual_savings_eur"]
    return names


def _average_power(charge: Charge) -> int | None:
    return charge.energy_wh * SECONDS_PER_HOUR // charge.seconds if charge.seconds else None


def _broken(fields: dict[str, str], breakage: Breakage | None) -> dict[str, str]:
    if breakage is None:
        return fields
    name, token = _BROKEN_FIELD[breakage]
    kept = {field: value for field, value in fields.items() if field != name}
    return kept if token is None else {**kept, name: token}


def _fixed(units: int | None, places: int) -> str:
    """A decimal number of exactly that many places, from whole units of the last one."""
    return _NULL if units is None else f"{units / 10**places:.{places}f}"


def _quoted_stamp(seconds: int) -> str:
    return f'"{stamp(seconds)}"'


def _join(fields: dict[str, str]) -> bytes:
    return ("{" + ",".join(f'"{name}":{token}' for name, token in fields.items()) + "}").encode()
