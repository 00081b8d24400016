"""Makes the tables of the schema `analytics` from those of `raw`, whole days at a time.

What the columns mean is in `ev_sessions.tables`; how they are computed is in `models/*.sql`; here is only the order. All of
it can be done again at any time: the same raw tables give the same derived ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import duckdb

from ev_sessions.days import DayRange
from ev_sessions.limits import Limits
from ev_sessions.settings import ReportDate
from ev_sessions.tables import (
    ANALYTICS_SESSIONS,
    DAILY_ENERGY,
    DAILY_SAVINGS,
    FLEET_DAILY,
    RULE_HITS,
    UNREAD_VEHICLE_DAYS,
    Table,
)
from ev_sessions.warehouse.coverage import coverage
from ev_sessions.warehouse.judging import facts, judged, novelties, quarantine, rule_hits, volume
from ev_sessions.warehouse.measures import measures_of
from ev_sessions.warehouse.monthly import pending_months
from ev_sessions.warehouse.scripts import frugally, read_script, run_sql, transaction
from ev_sessions.warehouse.settings_history import SettingsInForce, record_settings

_PER_VEHICLE = {
    "grain": ", ".join(DAILY_ENERGY.key),
    "rows": "analytics.sessions SEMI JOIN asked_days USING (session_day)",
}
# The left join gives a day without sessions its row.
_PER_DAY = {
    "grain": "session_day",
    "rows": "asked_days LEFT JOIN analytics.sessions USING (session_day)",
}


# Enough for three months of 20,000 vehicles.
_MEGABYTES = 128
_MOST_DAYS = 92


@dataclass(frozen=True, slots=True)
class DayFigures:
    """What stands in the derived tables for one session day.

    Sums are None where no value is known, ratios also where their denominator is not above 0. `read_coverage` is vehicles
    read over vehicles due; `cost_coverage` and `savings_coverage` are shares of the energy; `is_final` False means that the
    figures are provisional, and `sessions_maturity` and `energy_maturity` then tell how much of them is usually there at that
    age. Instants are aware UTC. What further fields mean stands with analytics.fleet_daily in `ev_sessions.tables`.
    """

    session_day: date
    sessions: int
    daily_energy_rows: int
    daily_savings_rows: int
    rule_hits_rows: int
    unread_vehicle_days_rows: int
    energy_kwh: Decimal | None
    cost_eur: Decimal | None
    savings_eur: Decimal | None
    savings_rate: float | None
    vehicles_due: int
    vehicles_read: int
    vehicles_failed: int
    read_coverage: float | None
    cost_coverage: float | None
    savings_coverage: float | None
    quarantined: int
    is_final: bool
    vehicles_read_early: int
    data_through: datetime | None
    final_since: datetime | None
    changed_after_final: int | None
    sessions_maturity: float | None
    energy_maturity: float | None


@dataclass(frozen=True, slots=True)
class Novelty:
    """Something that the API sent and its documentation does not name. `kind` is `session_outcome` or `field`."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class DeriveReport:
    """What was derived, and what that leaves to be done.

    `days` are in order: those asked for, and those that a landing had touched. `touched_months` are all months (their first
    days) that wait to be summed up again, whoever touched them. `novelties` are those that were never found before.
    """

    days: tuple[DayFigures, ...]
    touched_months: tuple[date, ...]
    novelties: tuple[Novelty, ...]


def derive(
    connection: duckdb.DuckDBPyConnection,
    days: DayRange,
    *,
    run_id: str,
    report_date: ReportDate,
    lookback_days: int,
    limits: Limits,
    derived_at: datetime,
) -> DeriveReport:
    """Judge and derive `days` and every day in raw.touched_days afresh, and empty raw.touched_days.

    All of it is one transaction, unless more days are touched than a run of a backfill covers: then the others follow, so many
    at a time, the newest first. Months that this changes are marked in raw.touched_months.

    `derived_at` (aware) stands in every row. `lookback_days` is how long after its end (days) a day must have been read
    to be final. `limits` are those of the quality rules.

    Raises:
        duckdb.Error: nothing is changed by the transaction that failed, and its days stay touched.
    """
    values = {
        "run_id": run_id,
        "report_date": report_date.value,
        "lookback_days": lookback_days,
        "derived_at": derived_at,
    }
    settings = SettingsInForce(report_date, limits)
    figures: list[DayFigures] = []
    novelties: list[Novelty] = []
    for chunk in _chunks(connection, days):
        derived, found = _derive_frugally(connection, settings, values | {"days": chunk})
        figures += derived
        novelties += found
    figures.sort(key=lambda day: day.session_day)
    return DeriveReport(tuple(figures), tuple(pending_months(connection)), tuple(novelties))


def _chunks(connection: duckdb.DuckDBPyConnection, days: DayRange) -> Iterator[list[date]]:
    """The days of one transaction each: those asked for come first, with as many touched ones as one can take."""
    rows = connection.execute("SELECT session_day FROM raw.touched_days ORDER BY session_day DESC").fetchall()
    others = [day for (day,) in rows if day not in days]
    yield [*days, *others[:_MOST_DAYS]]
    for start in range(_MOST_DAYS, len(others), _MOST_DAYS):
        yield others[start : start + _MOST_DAYS]


def _derive_frugally(
    connection: duckdb.DuckDBPyConnection, settings: SettingsInForce, values: Mapping[str, object]
) -> tuple[list[DayFigures], list[Novelty]]:
    return frugally(connection, _MEGABYTES, lambda: _derive(connection, settings, values))


def _derive(
    connection: duckdb.DuckDBPyConnection, settings: SettingsInForce, values: Mapping[str, object]
) -> tuple[list[DayFigures], list[Novelty]]:
    with transaction(connection):
        record_settings(connection, settings, values)
        _keep(connection, "asked_days", read_script("models/asked_days.sql"), values)
        _keep(connection, "contents_before", read_script("models/month_contents.sql"), values)
        novelties = _judge(connection, settings.limits, values)
        _derive_sessions(connection, settings.limits, values)
        _derive_days(connection, settings.limits, values)
        _keep(connection, "contents_after", read_script("models/month_contents.sql"), values)
        run_sql(connection, read_script("models/touched_months.sql", month_days=read_script("models/month_days.sql")), values)
        connection.execute("DELETE FROM raw.touched_days WHERE session_day IN (SELECT session_day FROM asked_days)")
        rows = run_sql(connection, read_script("models/day_figures.sql")).fetchall()
        return [DayFigures(*row) for row in rows], novelties


def _judge(connection: duckdb.DuckDBPyConnection, limits: Limits, values: Mapping[str, object]) -> list[Novelty]:
    """Say which sessions break which rules, list in quarantine what is kept out, and give back what was never found before."""
    _keep(connection, "judged", judged(limits), values)
    run_sql(connection, quarantine(limits), values)
    rows = run_sql(connection, novelties(), values).fetchall()
    return [Novelty(*row) for row in rows]


def _derive_sessions(connection: duckdb.DuckDBPyConnection, limits: Limits, values: Mapping[str, object]) -> None:
    model = read_script("models/sessions.sql", facts=facts(limits), kept_out="raw.quarantine")
    _replace(connection, ANALYTICS_SESSIONS, model, values)
    for table in (DAILY_ENERGY, DAILY_SAVINGS):
        _replace(connection, table, measures_of(table, **_PER_VEHICLE), values)


def _derive_days(connection: duckdb.DuckDBPyConnection, limits: Limits, values: Mapping[str, object]) -> None:
    _keep(connection, "finality", read_script("models/finality.sql", coverage=coverage()), values)
    _keep(connection, "measures", measures_of(FLEET_DAILY, **_PER_DAY), values)
    for name in ("changes", "followed", "seen", "maturity", "quarantined_records"):
        _keep(connection, name, read_script(f"models/{name}.sql"), values)
    _keep(connection, "volume", volume(limits), values)
    _replace(connection, FLEET_DAILY, read_script("models/fleet_daily.sql"), values)
    _replace(connection, RULE_HITS, rule_hits(), values)
    _replace(connection, UNREAD_VEHICLE_DAYS, read_script("models/unread_vehicle_days.sql"), values)


def _keep(connection: duckdb.DuckDBPyConnection, name: str, query: str, values: Mapping[str, object]) -> None:
    run_sql(connection, f"CREATE OR REPLACE TEMP TABLE {name} AS {query}", values)


def _replace(connection: duckdb.DuckDBPyConnection, table: Table, model: str, values: Mapping[str, object]) -> None:
    run_sql(connection, read_script("models/replace.sql", table=table.full_name, model=model), values)
