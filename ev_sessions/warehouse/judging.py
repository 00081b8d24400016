"""Puts the SQL together by which the quality rules judge sessions: the table of rules, the limits in force, `models/judged.sql`.

Whoever judges takes it from here: deriving, and what asks how figures would be under other limits or at another time.
"""

from __future__ import annotations

from decimal import Decimal

from ev_sessions.limits import Limits
from ev_sessions.tables import SESSION_FIELDS
from ev_sessions.warehouse.rules import BY_NAME, NEIGHBOUR_DAYS, REACH_DAYS, RULES, Family, Rule, Severity
from ev_sessions.warehouse.scripts import read_script

ASKED_DAYS = "SELECT session_day FROM asked_days"

# The sessions that the landing keeps out.
_UNUSABLE = """
    SELECT electric_vehicle_id, session_id AS id
    FROM raw.quarantine
    WHERE NOT in_sessions OR rules[1] = 'id_of_two_vehicles'
"""

# The API's fields of a row of raw.sessions, called session, as JSON.
_PAYLOAD = f"to_json(struct_pack({', '.join(f'{column.name} := session.{column.name}' for column in SESSION_FIELDS)}))"

_BREAKS = {rule: rule.breaks for rule in RULES if rule.breaks}


def judged(limits: Limits, *, sessions: str = "raw.sessions", days: str = ASKED_DAYS, unusable: str = _UNUSABLE) -> str:
    """The query that judges the rows of `sessions` on `days`: a row for each that breaks a rule.

    Its columns are electric_vehicle_id, id, session_day, price_zone and, as lists of names of rules, errors, warnings and infos.
    `sessions` is a relation with the columns of raw.sessions, which should have the rows of REACH_DAYS before and after `days`
    too; `days` is a query of session_day. What `unusable`, a query of electric_vehicle_id and id, has is nobody's neighbour: by
    default what the landing keeps out now.
    """
    return read_script(
        "models/judged.sql",
        facts=facts(limits, sessions=sessions, days=days),
        neighbours=_neighbours(limits, sessions, days, unusable),
        errors=_names(Severity.ERROR, limits),
        warnings=_names(Severity.WARN, limits),
        infos=_names(Severity.INFO, limits),
    )


def facts(limits: Limits, *, sessions: str = "raw.sessions", days: str = ASKED_DAYS) -> str:
    """The query of what the rules look at in the rows of `sessions` on `days`: `models/facts.sql`."""
    ranges = {name: _literal(limits, name) for name in ("soc_min_pct", "soc_max_pct", "target_soc_min_pct")}
    return read_script("models/facts.sql", sessions=sessions, days=days, **ranges)


def quarantine(limits: Limits) -> str:
    """The statements that bring raw.quarantine in line with the table judged: `models/quarantine.sql`."""
    rules = [rule for rule in _BREAKS if rule.severity is Severity.ERROR]
    reasons = " ".join(f"WHEN {_text(rule.name)} THEN {_reason(rule, limits)}" for rule in rules)
    return read_script("models/quarantine.sql", reason=f"CASE name {reasons} END", into_quarantine=into_quarantine())


def into_quarantine() -> str:
    """The statement that puts sessions into raw.quarantine: `models/into_quarantine.sql`."""
    return read_script("models/into_quarantine.sql", payload=_PAYLOAD)


def novelties() -> str:
    """The statement that takes down what was never found before: `models/novelties.sql`."""
    return read_script("models/novelties.sql", **{name: _BREAKS[BY_NAME[name]] for name in ("unknown_outcome", "new_field")})


def volume(limits: Limits) -> str:
    """The query of the days that have an unusual volume: `models/volume.sql`."""
    return read_script("models/volume.sql", **{name: _literal(limits, name) for name in ("volume_min", "volume_max")})


def rule_hits() -> str:
    """The query of analytics.rule_hits: `models/rule_hits.sql`."""
    rules = ", ".join(f"({_text(rule.name)}, {_text(rule.family)}, {_text(rule.severity)})" for rule in RULES)
    return read_script(
        "models/rule_hits.sql",
        session_hits=session_hits("judged"),
        rules=f"FROM (VALUES {rules}) AS rules(rule, family, severity)",
    )


def session_hits(verdicts: str) -> str:
    """The query of the hits that count among `verdicts`, a relation as `judged` gives it: `models/session_hits.sql`.

    A row for each session and rule.
    """
    return read_script("models/session_hits.sql", verdicts=verdicts)


def _neighbours(limits: Limits, sessions: str, days: str, unusable: str) -> str:
    apart = f"range(-{REACH_DAYS}, {REACH_DAYS + 1}) AS series(apart)"
    near = f"SELECT DISTINCT session_day + apart::INTEGER FROM ({days}) CROSS JOIN {apart}"  # noqa: S608 - SQL that is ours
    alone = (rule for rule in _BREAKS if rule.severity is Severity.ERROR and rule.family is not Family.SEQUENCE)
    return read_script(
        "models/neighbours.sql",
        facts=facts(limits, sessions=sessions, days=near),
        kept_out=" OR ".join(f"({_condition(rule, limits)})" for rule in alone),
        shared=f"{_literal(limits, 'overlap_minutes')} * INTERVAL 1 MINUTE",
        unusable=unusable,
        neighbour_days=str(NEIGHBOUR_DAYS),
        days=days,
    )


def _names(severity: Severity, limits: Limits) -> str:
    """The list of those rules of `severity` that are broken. A text that is split takes less time than a list that is sifted."""
    names = [f"if({_condition(rule, limits)}, {_text(rule.name)}, NULL)" for rule in _BREAKS if rule.severity is severity]
    return f"string_split(nullif(concat_ws(' ', {', '.join(names)}), ''), ' ')"


def _condition(rule: Rule, limits: Limits) -> str:
    return _BREAKS[rule].format(**{name: _literal(limits, name) for name in rule.limits})


def _literal(limits: Limits, name: str) -> str:
    """The limit as a number: of the session's price zone where zones have their own."""
    zones = " ".join(f"WHEN {_text(zone)} THEN {_number(value)}" for zone, value in sorted(limits.zones(name).items()))
    general = _number(limits.value(name))
    return f"(CASE price_zone {zones} ELSE {general} END)" if zones else f"({general})"


def _reason(rule: Rule, limits: Limits) -> str:
    zones = sorted({zone for name in rule.limits for zone in limits.zones(name)})
    own = " ".join(f"WHEN {_text(zone)} THEN {_meaning(rule, limits, zone)}" for zone in zones)
    general = _meaning(rule, limits)
    return f"CASE price_zone {own} ELSE {general} END" if own else general


def _meaning(rule: Rule, limits: Limits, price_zone: str | None = None) -> str:
    return _text(f"{rule.name}: {rule.meaning_under(limits, price_zone)}")


def _number(value: Decimal) -> str:
    digits = f"{value:f}"
    return digits if "." in digits else f"{digits}.0"


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
