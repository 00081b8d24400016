"""Sums report months up into `analytics.monthly_savings`: those that deriving has marked in `raw.touched_months`.

A month is cut by the local report date, a day by UTC, so a month has sessions of days outside it. How it is computed stands in
`models/monthly_savings.sql`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import duckdb

from ev_sessions.tables import MONTHLY_SAVINGS
from ev_sessions.warehouse.measures import measures_of
from ev_sessions.warehouse.scripts import frugally, read_script, run_sql, transaction

# The days narrow the search to a small part of the table.
_ROWS = (
    "analytics.sessions WHERE report_date BETWEEN $report_month::DATE AND last_day($report_month::DATE) "
    "AND session_day IN (SELECT session_day FROM month_days)"
)

# Enough for a month of 20,000 vehicles.
_MEGABYTES = 128


@dataclass(frozen=True, slots=True)
class MonthFigures:
    """What stands in `analytics.monthly_savings` for one month, named by its first day.

    Sums are None where no value is known, `savings_rate` also where its denominator is not above 0. A month without sessions
    has no `customers` and is not final. `data_through` is aware UTC.
    """

    report_month: date
    customers: int
    sessions: int
    energy_kwh: Decimal | None
    cost_eur: Decimal | None
    savings_eur: Decimal | None
    savings_rate: float | None
    is_final: bool
    data_through: datetime | None


def pending_months(connection: duckdb.DuckDBPyConnection) -> list[date]:
    """The months that wait to be summed up, by their first days, in order. A read-only connection will do."""
    return [month for (month,) in connection.execute("SELECT report_month FROM raw.touched_months ORDER BY ALL").fetchall()]


def sum_months(
    connection: duckdb.DuckDBPyConnection, months: Iterable[date], *, run_id: str, derived_at: datetime
) -> list[MonthFigures]:
    """Sum each of `months` (first days) up afresh and take its mark away, in one transaction a month.

    `derived_at` (aware) stands in every row. A month whose last session has left ends without rows.

    Raises:
        duckdb.Error: the month at hand and those after it stay as they were.
    """
    return [_sum_frugally(connection, {"report_month": month, "run_id": run_id, "derived_at": derived_at}) for month in months]


def _sum_frugally(connection: duckdb.DuckDBPyConnection, values: Mapping[str, object]) -> MonthFigures:
    return frugally(connection, _MEGABYTES, lambda: _sum(connection, values))


def _sum(connection: duckdb.DuckDBPyConnection, values: Mapping[str, object]) -> MonthFigures:
    measures = measures_of(MONTHLY_SAVINGS, grain="org_id, user_id", rows=_ROWS)
    parts = {"month_days": read_script("models/month_days.sql"), "measures": measures, "rows": _ROWS}
    with transaction(connection):
        rows = run_sql(connection, read_script("models/monthly_savings.sql", **parts), values).fetchall()
    return MonthFigures(*rows[0])
