"""Makes the tables of the schema `analytics` from those of `raw`, whole days at a time.

What the columns mean is in `ev_sessions.tables`; how they are computed is in `models/*.sql`; here is only the order. All of
it can be done again at any time: the same raw tables give the same derived ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from importlib.resources import files

import duckdb

from ev_sessions.days import DayRange
from ev_sessions.settings import ReportDate
from ev_sessions.tables import (
    ANALYTICS_SESSIONS,
    ANALYTICS_TABLES,
    DAILY_ENERGY,
    DAILY_SAVINGS,
    FLEET_DAILY,
    Table,
)
from ev_sessions.warehouse.scripts import transaction

_GROUPS_PER_VEHICLE = {
    "grain": ", ".join(DAILY_ENERGY.key),
    "rows": "analytics.sessions SEMI JOIN asked_days USING (session_day)",
}
# The left join gives a day without sessions its row.
_GROUPS_PER_DAY = {
    "grain": "session_day",
    "rows": "asked_days LEFT JOIN analytics.sessions USING (session_day)",
}


@dataclass(frozen=True, slots=True)
class DayFigures:
    """What stands in the derived tables for one session day.

    Sums are None where no value is known, ratios also where their denominator is not above 0. `read_coverage` is vehicles
    read over vehicles due; `cost_coverage` and `savings_coverage` are shares of the energy; `is_final` False means that the
    figures are provisional.
    """

    session_day: date
    sessions: int
    daily_energy_rows: int
    daily_savings_rows: int
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


@dataclass(frozen=True, slots=True)
class DeriveReport:
    """The days that were derived, in order: those asked for, and those that a landing had touched."""

    days: tuple[DayFigures, ...]


def derive(
    connection: duckdb.DuckDBPyConnection,
    days: DayRange,
    *,
    run_id: str,
    report_date: ReportDate,
    lookback_days: int,
    derived_at: datetime,
) -> DeriveReport:
    """Derive `days` and every day in raw.touched_days afresh, in one transaction, and empty raw.touched_days.

    `derived_at` (aware) stands in every row. `lookback_days` is how long after its end (days) a day must have been read
    to be final.

    Raises:
        duckdb.Error: nothing is changed then.
    """
    values = {
        "first": days.first,
        "last": days.last,
        "run_id": run_id,
        "report_date": report_date.value,
        "lookback_days": lookback_days,
        "derived_at": derived_at,
    }
    with transaction(connection):
        _run(connection, _model("ratio"), values)
        _run(connection, "CREATE OR REPLACE TEMP TABLE asked_days AS " + _model("asked_days"), values)
        for table in ANALYTICS_TABLES:
            _run(connection, f"DELETE FROM {table.full_name} WHERE session_day IN (SELECT session_day FROM asked_days)", values)
        _insert(connection, ANALYTICS_SESSIONS, _model("sessions"), values)
        _insert(connection, DAILY_ENERGY, _model("energy", **_GROUPS_PER_VEHICLE), values)
        _insert(connection, DAILY_SAVINGS, _model("savings", **_GROUPS_PER_VEHICLE), values)
        for name in ("coverage", "quarantined", "energy", "savings", "spread"):
            _run(connection, f"CREATE OR REPLACE TEMP TABLE {name} AS {_model(name, **_GROUPS_PER_DAY)}", values)
        _insert(connection, FLEET_DAILY, _model("fleet_daily"), values)
        _run(connection, "DELETE FROM raw.touched_days", values)
        figures = connection.execute(_model("day_figures")).fetchall()
    return DeriveReport(tuple(DayFigures(*row) for row in figures))


def _model(name: str, **parts: str) -> str:
    text = files("ev_sessions.warehouse").joinpath(f"models/{name}.sql").read_text(encoding="utf-8")
    for part, sql in parts.items():
        text = text.replace(f"{{{part}}}", sql)
    return text


def _insert(connection: duckdb.DuckDBPyConnection, table: Table, model: str, values: Mapping[str, object]) -> None:
    # In the order of the days, so that a later look at a few days need not scan the rest.
    _run(
        connection,
        f"INSERT INTO {table.full_name} BY NAME "
        f"SELECT *, $derived_at AS derived_at, $run_id AS derived_by_run_id FROM (\n{model}) ORDER BY session_day",
        values,
    )


def _run(connection: duckdb.DuckDBPyConnection, sql: str, values: Mapping[str, object]) -> None:
    (statement,) = duckdb.extract_statements(sql)
    connection.execute(statement, {name: values[name] for name in statement.named_parameters})
