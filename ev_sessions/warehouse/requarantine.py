"""Judging again what stands: which days that is, and what it changed. Deriving does the judging."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import duckdb

from ev_sessions.days import DayRange
from ev_sessions.warehouse.ledger import totals
from ev_sessions.warehouse.rules import BY_NAME, Rule
from ev_sessions.warehouse.scripts import read_script, run_sql, transaction
from ev_sessions.warehouse.settings_history import SettingsInForce

# In raw.touched_days and raw.touched_months, what is marked here can be told from what a landing changed.
_MARK = "requarantine"


@dataclass(frozen=True, slots=True)
class Verdicts:
    """How the rules stand over some days: the sessions in quarantine (vehicle and key), and how often each rule is broken.

    `kept_out` counts these sessions and, besides, the records that were refused when they were read.
    """

    quarantined: frozenset[tuple[object, str]]
    kept_out: int
    hits: Mapping[Rule, int]


def touch_again(
    connection: duckdb.DuckDBPyConnection, days: DayRange, *, settings: SettingsInForce, touched_at: datetime
) -> list[date]:
    """Mark the derived days of `days` to be derived again, and their months to be summed up; give all of `days` that are marked.

    Where that was done before and deriving was stopped, it goes on: days derived since, by the same `settings`, are not marked.
    """
    bounds = {"first": days.first, "last": days.last}
    values = {**bounds, "settings": settings.as_json(), "touched_at": touched_at, "run_id": _MARK}
    with transaction(connection):
        run_sql(connection, read_script("sql/touch_again.sql"), values)
    marked = "SELECT session_day FROM raw.touched_days WHERE session_day BETWEEN $first AND $last ORDER BY session_day"
    return [day for (day,) in connection.execute(marked, bounds).fetchall()]


def was_stopped(connection: duckdb.DuckDBPyConnection, days: DayRange) -> bool:
    """Whether marks of a former `touch_again` are left on `days` or their months. A read-only connection will do."""
    values = {"first": days.first, "last": days.last, "run_id": _MARK}
    ((left,),) = run_sql(connection, read_script("questions/marks_left.sql"), values).fetchall()
    return bool(left)


def days_judged_otherwise(connection: duckdb.DuckDBPyConnection, settings: SettingsInForce, *, first: date) -> int:
    """How many of the derived days from `first` on stand as other settings than `settings` have them."""
    question = read_script("questions/judged_otherwise.sql")
    ((count,),) = run_sql(connection, question, {"settings": settings.as_json(), "first": first}).fetchall()
    return int(count)


def verdicts(connection: duckdb.DuckDBPyConnection, days: DayRange) -> Verdicts:
    """The verdicts that stand over `days`. A read-only connection will do."""
    bounds = {"first": days.first, "last": days.last}
    quarantined = connection.execute(
        "SELECT electric_vehicle_id, record_key FROM raw.quarantine WHERE in_sessions AND first_day BETWEEN $first AND $last",
        bounds,
    ).fetchall()
    hits = connection.execute(
        "SELECT rule, sum(hits) FROM analytics.rule_hits WHERE session_day BETWEEN $first AND $last GROUP BY rule", bounds
    ).fetchall()
    kept_out = totals(connection, days).quarantined
    return Verdicts(frozenset(quarantined), kept_out, {BY_NAME[name]: count for name, count in hits})
