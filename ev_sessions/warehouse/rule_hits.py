"""Questions about what the quality rules found: how often each was broken, and which rows they are.

Counts may go into Dagster's events. The rows are for people who may see them: they hold ids and what the API sent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Any
from uuid import UUID

import duckdb

from ev_sessions.days import DayRange
from ev_sessions.limits import Limits
from ev_sessions.tables import SESSION_FIELDS
from ev_sessions.warehouse import ledger
from ev_sessions.warehouse.judging import judged, session_hits
from ev_sessions.warehouse.rules import BY_NAME, RULES, About, Rule, Severity, UnknownRule
from ev_sessions.warehouse.scripts import read_script, run_sql
from ev_sessions.warehouse.settings_history import newest_settings

RULES_ABOUT_ROWS = tuple(rule for rule in RULES if rule.about in {About.SESSION, About.RECORD})
"""Rules that single sessions or records break."""


@dataclass(frozen=True, slots=True)
class Hits:
    """How often `rule` was broken on a session day: sessions or records; of count_mismatch vehicles, of unusual_volume 1."""

    session_day: date
    rule: Rule
    count: int


@dataclass(frozen=True, slots=True)
class BadRow:
    """A session, or a record that could not be used, and one rule that it breaks. `meaning` has the limits filled in.

    `values` are the API's fields as raw.sessions has them, by name; None for a record that is not there. That has the `payload`.
    """

    session_day: date
    electric_vehicle_id: UUID
    record_key: str
    rule: Rule
    meaning: str
    values: Mapping[str, object] | None
    payload: str | None


@dataclass(frozen=True, slots=True)
class BadRows:
    """The first of the rows that were asked for, and how many there are for each rule."""

    rows: tuple[BadRow, ...]
    counts: Mapping[Rule, int]


def rule_about_rows(name: str) -> Rule:
    """The rule called `name`.

    Raises:
        UnknownRule: there is none, or no single row breaks it.
    """
    rule = BY_NAME.get(name)
    if rule is None:
        close = get_close_matches(name, BY_NAME, n=1)
        hint = f"did you mean {close[0]}?" if close else "see the page of the quality rules"
        raise UnknownRule(f"there is no rule {name!r}; {hint}")
    if rule not in RULES_ABOUT_ROWS:
        raise UnknownRule(f"no single row breaks {name}: analytics.rule_hits has the days, or a check of its own tells")
    return rule


def derived_days(connection: duckdb.DuckDBPyConnection) -> DayRange | None:
    """From the first day that is derived to the last; None: none is."""
    ((first, last),) = connection.execute("SELECT min(session_day), max(session_day) FROM analytics.fleet_daily").fetchall()
    return DayRange(first, last) if first else None


def bad_rows(
    connection: duckdb.DuckDBPyConnection,
    days: DayRange,
    rules: Collection[Rule],
    *,
    vehicle: UUID | None,
    limit: int,
) -> BadRows:
    """The rows of `days` that break one of `rules`, of one `vehicle` or of all (None): the newest `limit` of them.

    Those that are kept out or flagged were judged when they were derived; those that are only counted are judged now. The limits
    are those in force when was derived last, whatever the settings of who asks.
    """
    in_force = newest_settings(connection)
    limits = in_force.limits if in_force else Limits()
    sought = {"rules": [rule.name for rule in rules], "vehicle": vehicle}
    ledger.ask_about(connection, days)
    records = read_script("models/quarantined_records.sql")
    run_sql(connection, read_script("questions/bad_rows.sql", quarantined_records=records), sought)
    if any(rule.severity is Severity.INFO for rule in rules):
        run_sql(connection, read_script("questions/unusual_rows.sql", session_hits=session_hits(f"({judged(limits)})")), sought)
    counts = connection.execute("SELECT rule, count(*) FROM bad_rows GROUP BY rule").fetchall()
    fields = ", ".join(f"session.{field.name}" for field in SESSION_FIELDS)
    shown = run_sql(connection, read_script("questions/shown_rows.sql", fields=fields), {"limit": limit}).fetchall()
    return BadRows(
        tuple(_bad_row(row, limits) for row in shown),
        {rule: count for rule in RULES for name, count in counts if name == rule.name},
    )


def rule_hits(connection: duckdb.DuckDBPyConnection, days: DayRange) -> list[Hits]:
    """Every rule that was broken on one of `days`, by day and rule; how often the answers' length was wrong, the ledger knows."""
    rows = run_sql(connection, read_script("questions/rule_hits.sql"), {"first": days.first, "last": days.last}).fetchall()
    mismatch = BY_NAME["count_mismatch"]
    mismatches = [Hits(day.session_day, mismatch, day.count) for day in ledger.count_mismatches(connection, days)]
    return sorted([*(Hits(day, BY_NAME[name], count) for day, name, count in rows), *mismatches], key=_place)


def sessions_judged(connection: duckdb.DuckDBPyConnection, days: DayRange) -> int:
    """The sessions and records of those of `days` that are derived, kept out or not."""
    totals = ledger.totals(connection, days)
    return totals.sessions + totals.quarantined


def _place(hits: Hits) -> tuple[date, int, str]:
    return hits.session_day, hits.rule.number, hits.rule.name


def _bad_row(row: Sequence[Any], limits: Limits) -> BadRow:
    day, vehicle, key, name, meaning, payload, price_zone, *values = row
    fields = dict(zip((field.name for field in SESSION_FIELDS), values, strict=True))
    rule = BY_NAME[name]
    told = meaning or rule.meaning_under(limits, price_zone)
    return BadRow(day, vehicle, key, rule, told, fields if payload is None else None, payload)
