"""Questions about what the quality rules found: how often each was broken, and which rows they are.

Counts may go into Dagster's events. The rows are for people who may see them: they hold ids and what the API sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import duckdb

from ev_sessions.days import DayRange
from ev_sessions.warehouse import ledger
from ev_sessions.warehouse.rules import BY_NAME, Rule
from ev_sessions.warehouse.scripts import read_script, run_sql

COUNT_MISMATCH = BY_NAME["count_mismatch"]


@dataclass(frozen=True, slots=True)
class Hits:
    """How often `rule` was broken on a session day: sessions or records; of count_mismatch vehicles, of unusual_volume 1."""

    session_day: date
    rule: Rule
    count: int


def rule_hits(connection: duckdb.DuckDBPyConnection, days: DayRange) -> list[Hits]:
    """Every rule that was broken on one of `days`, by day and rule; how often the answers' length was wrong, the ledger knows."""
    rows = run_sql(connection, read_script("questions/rule_hits.sql"), {"first": days.first, "last": days.last}).fetchall()
    mismatches = [Hits(day.session_day, COUNT_MISMATCH, day.count) for day in ledger.count_mismatches(connection, days)]
    return sorted([*(Hits(day, BY_NAME[name], count) for day, name, count in rows), *mismatches], key=_place)


def sessions_judged(connection: duckdb.DuckDBPyConnection, days: DayRange) -> int:
    """The sessions and records of those of `days` that are derived, kept out or not."""
    totals = ledger.totals(connection, days)
    return totals.sessions + totals.quarantined


def _place(hits: Hits) -> tuple[date, int, str]:
    return hits.session_day, hits.rule.number, hits.rule.name
