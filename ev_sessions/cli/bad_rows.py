"""`ev-sessions bad-rows`: the sessions and records that quality rules keep out, flag or count, for a person or a program."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

import typer

from ev_sessions.cli.values import as_json_value, as_text
from ev_sessions.settings import Settings
from ev_sessions.tables import SESSION_FIELDS
from ev_sessions.warehouse.publish import as_it_is_now, published_views
from ev_sessions.warehouse.rule_hits import RULES_ABOUT_ROWS, BadRow, BadRows, bad_rows, derived_days, rule_about_rows
from ev_sessions.warehouse.rules import Family, Rule, Severity, UnknownRule

_FIELDS = {field.name: field for field in SESSION_FIELDS}
_STAY = ("plug_in_time", "unplug_time", "inferred_session_end")
_SOC = ("initial_soc_pct", "final_soc_pct", "target_soc_pct")

# The fields that the rules of a family look at.
_TELLING = {
    Family.IDENTITY: ("plug_in_time", "session_outcome", "is_at_home"),
    Family.TIME: (*_STAY, "desired_charging_start_time", "desired_charging_end_time", "charge_deadline"),
    Family.ENERGY: ("energy_charged_kwh", "avg_charge_power_kw", "peak_charge_power_kw", "is_at_home", *_STAY),
    Family.STATE_OF_CHARGE: ("energy_charged_kwh", *_SOC),
    Family.MONEY: ("energy_charged_kwh", "actual_cost_eur", "actual_savings_eur", "expected_savings_eur"),
    Family.SEQUENCE: (*_STAY, "energy_charged_kwh", "initial_soc_pct", "final_soc_pct"),
    Family.VOLUME: (*_STAY,),
}

_FACTS = ("session_day", "electric_vehicle_id", "record_key", "rule", "family", "severity", "meaning")

_PAYLOAD_SHOWN = 500


def sought_rules(rule: str | None, family: Family | None, severity: Severity | None) -> list[Rule]:
    """The rules that are asked for; unless one of them is named, those that only count are left out.

    Raises:
        UnknownRule: there is no such rule, or no single row breaks it, or it is of another family or severity.
    """
    if rule is not None:
        found = rule_about_rows(rule)
        _require_same(found, "family", found.family, family)
        _require_same(found, "severity", found.severity, severity)
        return [found]
    severities = {severity} if severity else {Severity.ERROR, Severity.WARN}
    return [found for found in RULES_ABOUT_ROWS if found.severity in severities and family in {None, found.family}]


def _require_same(rule: Rule, kind: str, own: str, asked: str | None) -> None:
    if asked not in {None, own}:
        raise UnknownRule(f"the rule {rule.name} is one of {kind} {own}, not {asked}; leave --{kind} out")


def show_bad_rows(
    environ: Mapping[str, str],
    first: date | None,
    last: date | None,
    rules: Sequence[Rule],
    vehicle: UUID | None,
    limit: int,
    render: Callable[[BadRows], str],
) -> None:
    """Print, as `render` has them, the published rows of the days `first` to `last` (None: of all) that break one of `rules`.

    Raises:
        DatabaseMissing: nothing is published yet.
    """
    settings = Settings.from_env(environ)
    views = published_views(settings)
    with as_it_is_now(views).reading() as connection:
        derived = derived_days(connection)
        days = derived and derived.clip(first, last)
        found = bad_rows(connection, days, rules, vehicle=vehicle, limit=limit) if days else BadRows((), {})
    typer.echo(render(found), nl=False)


def as_lines(found: BadRows) -> str:
    """For a person: each row with what it breaks and the values that matter, then how many there are for each rule."""
    lines = [line for row in found.rows for line in _lines(row)]
    return "".join(f"{line}\n" for line in [*lines, *_summary(found)])


def as_json(found: BadRows) -> str:
    """One JSON object: the rows, and how many there are for each rule."""
    rows = [{**_facts(row), "values": row.values and _plain(row.values), "payload": row.payload} for row in found.rows]
    return json.dumps({"rows": rows, "counts": {rule.name: count for rule, count in found.counts.items()}}) + "\n"


def as_csv(found: BadRows) -> str:
    """A line per row, with every field that the API has."""
    table = io.StringIO()
    fields = [name for name in _FIELDS if name != "id"]
    writer = csv.DictWriter(table, [*_FACTS, *fields, "payload"], lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({**_facts(row), **_plain(row.values or {}), "payload": row.payload} for row in found.rows)
    return table.getvalue()


def _lines(row: BadRow) -> Iterator[str]:
    kind = "record" if row.values is None else "session"
    yield f"{row.session_day}  vehicle {row.electric_vehicle_id}  {kind} {row.record_key}"
    yield f"            {row.rule.severity} {row.rule.name}: {_printable(row.meaning)}"
    yield f"            {_told(row)}"


def _told(row: BadRow) -> str:
    """The values that the rule looks at, or the record as it was sent."""
    values = row.values
    if values is None:
        return _printable(row.payload or "")[:_PAYLOAD_SHOWN]
    return ", ".join(f"{name} {as_text(values[name], _FIELDS[name])}" for name in _TELLING[row.rule.family])


def _summary(found: BadRows) -> Iterator[str]:
    total = sum(found.counts.values())
    for rule, count in found.counts.items():
        yield f"{count:>9,}  {rule.severity:<5}  {rule.name}"
    more = f"; the newest {len(found.rows)} stand above, --limit shows more" if total > len(found.rows) else ""
    yield f"{total:>9,}  in all{more}" if total else "no such row"


def _facts(row: BadRow) -> dict[str, str]:
    values = (
        row.session_day,
        row.electric_vehicle_id,
        row.record_key,
        row.rule.name,
        row.rule.family,
        row.rule.severity,
        row.meaning,
    )
    return dict(zip(_FACTS, map(str, values), strict=True))


def _plain(values: Mapping[str, object]) -> dict[str, Any]:
    return {name: as_json_value(value) for name, value in values.items() if name != "id"}


def _printable(text: str) -> str:
    """Others' words without what moves the cursor."""
    return "".join(character if character.isprintable() else " " for character in text)
