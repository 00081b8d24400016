"""Whether what is derived adds up: each table to `analytics.sessions`, and each published file to its table (rule 33).

What is unread, which no session shows, adds up to `analytics.fleet_daily`.

Only sums per day and month leave this module. It reads the days asked about and the months that their sessions are in, never
the history.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb

from ev_sessions.days import DayRange
from ev_sessions.tables import (
    ANALYTICS_SESSIONS,
    DAILY_ENERGY,
    DAILY_SAVINGS,
    FLEET_DAILY,
    MONTHLY_SAVINGS,
    UNREAD_VEHICLE_DAYS,
    Table,
)
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.failures import DatabaseMissing
from ev_sessions.warehouse.monthly import pending_months
from ev_sessions.warehouse.publish import as_it_is_now, views_path
from ev_sessions.warehouse.scripts import read_script, run_sql

# What is compared, as single sessions have it. A table that is made from them has it under the same name, or not at all.
_OF_SESSIONS = {
    "sessions": "count(*)",
    "energy_kwh": "sum(energy_charged_kwh)",
    "cost_eur": "sum(actual_cost_eur)",
    "savings_eur": "sum(actual_savings_eur)",
}

# The sums of each table, where they are not those of columns of the same names.
_SUMS: Mapping[Table, Mapping[str, str]] = {
    ANALYTICS_SESSIONS: _OF_SESSIONS,
    FLEET_DAILY: {name: f"sum({name})" for name in _OF_SESSIONS} | {"vehicles_unread": "sum(vehicles_due - vehicles_read)"},
    UNREAD_VEHICLE_DAYS: {"vehicles_unread": "count(*)"},
}

# Where a table has no row.
_NOTHING: Mapping[str, object] = {"sessions": 0, "energy_kwh": None, "cost_eur": None, "savings_eur": None, "vehicles_unread": 0}


@dataclass(frozen=True, slots=True)
class _Sums:
    """The value of each of `measures`, by session day, or by the first day of the month."""

    measures: Sequence[str]
    by_day: Mapping[date, Mapping[str, object]]

    def of(self, day: date) -> Mapping[str, object]:
        """Those of `day`, also where there is no row."""
        return self.by_day.get(day, _NOTHING)


@dataclass(frozen=True, slots=True)
class _Cut:
    """How `table` is summed: per `grain`, over the rows whose `column` lies in a range."""

    table: Table
    grain: str
    column: str

    @classmethod
    def as_stored(cls, table: Table) -> _Cut:
        """By the day, or month, that the table has."""
        column = str(table.cut_by)
        return cls(table, column, column)


_SESSIONS = _Cut.as_stored(ANALYTICS_SESSIONS)
_SESSIONS_BY_MONTH = _Cut(ANALYTICS_SESSIONS, "date_trunc('month', report_date)::DATE", "report_date")
_FLEET = _Cut.as_stored(FLEET_DAILY)
_DAILY = (*map(_Cut.as_stored, (DAILY_ENERGY, DAILY_SAVINGS)), _FLEET)
_UNREAD = _Cut.as_stored(UNREAD_VEHICLE_DAYS)
_MONTHLY = _Cut.as_stored(MONTHLY_SAVINGS)


@dataclass(frozen=True, slots=True)
class Difference:
    """Two sums that should be the same: `found` in `place`, and `expected` in `origin`, from which it was made.

    `day` is a session day, or of a monthly table the first day of the month. None: no value is known.
    """

    place: str
    day: date
    measure: str
    found: object
    origin: str
    expected: object

    def __str__(self) -> str:
        return f"{self.measure} of {self.day} is {self.found} in {self.place} and {self.expected} in {self.origin}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs, and what could not be compared yet: months that wait to be summed up, session days to be published."""

    differences: tuple[Difference, ...] = ()
    months_waiting: int = 0
    days_unpublished: int = 0


def compare_tables(connection: duckdb.DuckDBPyConnection, days: DayRange) -> Comparison:
    """The tables beside what they add up to: the daily ones over `days`, the monthly one over the months that these are in."""
    sums = {cut: _sums(connection, cut, days) for cut in (_SESSIONS, *_DAILY, _UNREAD)}
    by_day = [
        _differences(cut.table.full_name, sums[cut], origin.table.full_name, sums[origin], list(days))
        for cut, origin in (*((cut, _SESSIONS) for cut in _DAILY), (_UNREAD, _FLEET))
    ]
    months, pending = _months(connection, days), pending_months(connection)
    by_month = [_month_differences(connection, month) for month in months if month not in pending]
    return Comparison(tuple(chain(*by_day, *by_month)), months_waiting=len(months) - len(by_month))


def compare_published(connection: duckdb.DuckDBPyConnection, folder: Path, days: DayRange) -> Comparison:
    """What is published in `folder` beside the tables of `connection`, over `days` and the months that these are in.

    What was derived again since it was published is left out, and so are months that wait to be summed up.

    Raises:
        EvSessionsError: the published files cannot be read. Where there are none yet, no day counts as published.
    """
    derived, pending = _derivations(connection, FLEET_DAILY, days), pending_months(connection)
    try:
        with as_it_is_now(Database(views_path(folder))).reading() as published:
            same = derived.items() & _derivations(published, FLEET_DAILY, days).items()
            compared = {day for day, _ in same}
            by_day = [_published_differences(connection, published, cut, days, compared) for cut in (_SESSIONS, *_DAILY, _UNREAD)]
            months = [month for month in _months(connection, days) if month not in pending]
            by_month = [_published_month_differences(connection, published, month) for month in months]
            return Comparison(tuple(chain(*by_day, *by_month)), days_unpublished=len(derived) - len(compared))
    except DatabaseMissing:
        return Comparison(days_unpublished=len(derived))


def compare_months(connection: duckdb.DuckDBPyConnection, folder: Path, months: Collection[date]) -> tuple[Difference, ...]:
    """What differs of `months` (first days), summed up: the table from `analytics.sessions`, files in `folder` from the table.

    Those that were touched again since are left out.

    Raises:
        EvSessionsError: the published files cannot be read.
    """
    settled = sorted(set(months).difference(pending_months(connection)))
    of_tables = [_month_differences(connection, month) for month in settled]
    with as_it_is_now(Database(views_path(folder))).reading() as published:
        of_files = [_published_month_differences(connection, published, month) for month in settled]
        return tuple(chain(*of_tables, *of_files))


def days_of_months(connection: duckdb.DuckDBPyConnection, months: Collection[date]) -> DayRange:
    """The session days, from the first to the last, of what `analytics.sessions` has from the first of `months` to the last."""
    first, last = min(months), DayRange.month(max(months)).last
    question = "SELECT min(session_day), max(session_day) FROM analytics.sessions WHERE report_date BETWEEN ? AND ?"
    ((first_day, last_day),) = connection.execute(question, [first, last]).fetchall()
    return DayRange(first_day or first, last_day or last)


def in_words(differences: Sequence[Difference], days: DayRange) -> str:
    """The first of `differences`, how many more there are, and what mends them: deriving `days`, on which they stand, again."""
    others = f", and {len(differences) - 1} more differ" if len(differences) > 1 else ""
    return (
        f"{differences[0]}{others}; `ev-sessions requarantine --from {days.first} --to {days.last}` derives the days, and sums "
        "their months up, again"
    )


def _month_differences(connection: duckdb.DuckDBPyConnection, month: date) -> Iterator[Difference]:
    days = DayRange.month(month)
    found, expected = _sums(connection, _MONTHLY, days), _sums(connection, _SESSIONS_BY_MONTH, days)
    return _differences(_MONTHLY.table.full_name, found, ANALYTICS_SESSIONS.full_name, expected, [month])


def _published_month_differences(
    connection: duckdb.DuckDBPyConnection, published: duckdb.DuckDBPyConnection, month: date
) -> Iterator[Difference]:
    days = DayRange.month(month)
    if _derivations(connection, MONTHLY_SAVINGS, days) == _derivations(published, MONTHLY_SAVINGS, days):
        yield from _published_differences(connection, published, _MONTHLY, days, [month])


def _published_differences(
    connection: duckdb.DuckDBPyConnection,
    published: duckdb.DuckDBPyConnection,
    cut: _Cut,
    days: DayRange,
    compared: Collection[date],
) -> Iterator[Difference]:
    name = cut.table.full_name
    return _differences(f"the published {name}", _sums(published, cut, days), name, _sums(connection, cut, days), compared)


def _differences(place: str, found: _Sums, origin: str, expected: _Sums, days: Collection[date]) -> Iterator[Difference]:
    """Where `found` is not `expected`: of `days`, and of the measures that both have."""
    for day in sorted(days):
        here, there = found.of(day), expected.of(day)
        for measure in found.measures:
            if measure in expected.measures and here[measure] != there[measure]:
                yield Difference(place, day, measure, here[measure], origin, there[measure])


def _months(connection: duckdb.DuckDBPyConnection, days: DayRange) -> list[date]:
    """The months that `days` are in by the calendar, or their sessions by the report date: their first days, in order."""
    by_month = _Cut(ANALYTICS_SESSIONS, _SESSIONS_BY_MONTH.grain, _SESSIONS.column)
    return sorted({day.replace(day=1) for day in days}.union(_sums(connection, by_month, days).by_day))


def _sums(connection: duckdb.DuckDBPyConnection, cut: _Cut, days: DayRange) -> _Sums:
    names = cut.table.column_names
    measures = _SUMS.get(cut.table, {name: f"sum({name})" for name in _OF_SESSIONS if name in names})
    rows = _of_days(connection, cut, days, ", ".join(measures.values()))
    return _Sums(list(measures), {day: dict(zip(measures, values, strict=True)) for day, *values in rows})


def _derivations(connection: duckdb.DuckDBPyConnection, table: Table, days: DayRange) -> dict[date, tuple[object, ...]]:
    """When, and by which run, the rows of each of `days` were derived."""
    rows = _of_days(connection, _Cut.as_stored(table), days, "max(derived_at), max(derived_by_run_id)")
    return {day: tuple(derivation) for day, *derivation in rows}


def _of_days(connection: duckdb.DuckDBPyConnection, cut: _Cut, days: DayRange, aggregates: str) -> list[tuple[Any, ...]]:
    parts = {"table": cut.table.full_name, "grain": cut.grain, "cut_by": cut.column, "aggregates": aggregates}
    bounds = {"first": days.first, "last": days.last}
    return run_sql(connection, read_script("questions/sums.sql", **parts), bounds).fetchall()
