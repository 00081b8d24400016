"""Lands staged answers: one transaction after which the raw tables say what the newest answers say, whatever their order.

What is done stands in `sql/landing/`, step by step. The rule under all of it: a session is where its newest sighting saw it,
unless an answer read later covers that day and no longer lists it. So answers may land late, twice, or in any order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from glob import escape
from pathlib import Path
from typing import Any

import duckdb

from ev_sessions.errors import PermanentError
from ev_sessions.limits import Limits
from ev_sessions.stage.parts import READS_FILE, REJECTED_FILE, SESSIONS_FILE
from ev_sessions.warehouse.judging import into_quarantine
from ev_sessions.warehouse.rules import BY_NAME, NEIGHBOUR_DAYS, REACH_DAYS
from ev_sessions.warehouse.scripts import frugally, read_script, run_script, run_sql, transaction
from ev_sessions.warehouse.versions import CHANGEABLE

# The API's fields in which a restated row differs from what it was.
_CHANGED_FIELDS = "list_filter([{}], lambda field: field IS NOT NULL)".format(
    ", ".join(f"if(session.{field.name} IS DISTINCT FROM former.{field.name}, '{field.name}', NULL)" for field in CHANGEABLE)
)

# What follows once the answers are known and fit the days asked for.
_STEPS = ("3_hold", "4_decide", "5_sessions", "6_versions", "7_quarantine", "8_ledger", "9_touched", "10_report")

# SQL that is made from what stands elsewhere.
_PARTS = {
    "changed_fields": _CHANGED_FIELDS,
    "id_of_two_vehicles": f"{BY_NAME['id_of_two_vehicles'].name}: {BY_NAME['id_of_two_vehicles'].meaning}",
    "into_quarantine": into_quarantine(),
    "neighbour_days": str(NEIGHBOUR_DAYS),
    "reach_days": str(REACH_DAYS),
}

# Enough for two weeks of 20,000 vehicles behind 10 million rows.
_MEGABYTES = 256


class WrongSessionDay(PermanentError):
    """The API does not list sessions under the days that the setting SESSION_DAY says."""


@dataclass(frozen=True, slots=True)
class LandedDay:
    """How a session day stands after a landing: the whole day, not only the vehicles that landed.

    `vehicles_read` and `vehicles_failed` count vehicles by their latest read of the day (held ones count as failed). Sums
    are None where no row has a value; `quarantined` counts the records under quarantine whose window includes the day.

    The rest is this landing's. `changed_rows` counts the restated rows of the day. `restated_...` is what restating did to the
    day's sums, new minus old: of a row that moved the old values at the day that it left, the new ones at the other.
    `vanished_...` is what the rows had that are no longer listed. In both an unknown value counts as 0. Rows that are now sent in
    a form that cannot be used are in neither: they are under quarantine.
    """

    day: date
    rows: int
    vehicles_read: int
    vehicles_failed: int
    energy_kwh: Decimal | None
    cost_eur: Decimal | None
    savings_eur: Decimal | None
    changed_rows: int
    vanished_rows: int
    quarantined: int
    restated_kwh: Decimal
    restated_cost_eur: Decimal
    restated_savings_eur: Decimal
    vanished_kwh: Decimal
    vanished_cost_eur: Decimal
    vanished_savings_eur: Decimal


@dataclass(frozen=True, slots=True)
class LandingReport:
    """What a landing did.

    `days` has the figures of every day of the windows landed, in order; `touched_days` those to be derived again, which may
    lie outside the windows. `landed_rows` counts rows that stand as these answers have them, new, restated or the same;
    `vanished` those that are no longer listed; `moved` those that changed their day; `quarantined` the records put under
    quarantine; `stale_reads` the answers whose every day had been read later already. The effects of restating and vanishing are
    those of `LandedDay`, over all days.
    """

    days: dict[date, LandedDay] = field(default_factory=dict)
    touched_days: list[date] = field(default_factory=list)
    landed_rows: int = 0
    restated: int = 0
    vanished: int = 0
    moved: int = 0
    quarantined: int = 0
    held_vehicles: int = 0
    stale_reads: int = 0
    restated_kwh: Decimal = Decimal(0)
    restated_cost_eur: Decimal = Decimal(0)
    restated_savings_eur: Decimal = Decimal(0)
    vanished_kwh: Decimal = Decimal(0)
    vanished_cost_eur: Decimal = Decimal(0)
    vanished_savings_eur: Decimal = Decimal(0)


def land(
    connection: duckdb.DuckDBPyConnection,
    parts: Sequence[Path],
    *,
    run_id: str,
    landed_at: datetime,
    zones: Mapping[str, str],
    default_time_zone: str,
    hold_share: float,
    limits: Limits,
) -> LandingReport:
    """Land the part folders `parts` (see `ev_sessions.stage.parts`) in one transaction, or nothing of them.

    Args:
        connection: From `Database.writing`.
        parts: Folders of staged answers; they are read, not removed.
        run_id: The run, written beside every row.
        landed_at: The present instant (aware).
        zones: The IANA time zone of every price zone; stamped on a session when it first lands.
        default_time_zone: The one where the vehicle's price zone is unknown.
        hold_share: A read in which a vehicle loses a greater share of its rows is held until a later one says the same.
        limits: Those of the quality rules.

    Raises:
        WrongSessionDay: too many rows fall outside the windows asked for (rule 29); nothing is written.
    """
    values: dict[str, object] = {
        "reads": _files(parts, READS_FILE),
        "sessions": _files(parts, SESSIONS_FILE),
        "rejected": _files(parts, REJECTED_FILE),
        "run_id": run_id,
        "landed_at": landed_at,
        "price_zones": list(zones.keys()),
        "time_zones": list(zones.values()),
        "default_time_zone": default_time_zone,
        "hold_share": hold_share,
    }
    if not parts:
        return LandingReport()
    return frugally(connection, _MEGABYTES, lambda: _land(connection, values, limits))


def _land(connection: duckdb.DuckDBPyConnection, values: dict[str, object], limits: Limits) -> LandingReport:
    with transaction(connection):
        run_script(connection, "sql/landing/1_reads.sql", values)
        extent = _extent(connection)
        if extent is None:
            return LandingReport()
        run_script(connection, "sql/landing/2_answers.sql", values | extent)
        _require_days_that_fit(connection, limits)
        for step in _STEPS:
            run_sql(connection, read_script(f"sql/landing/{step}.sql", **_PARTS), values | extent)
        return _report(connection)


def _files(parts: Sequence[Path], name: str) -> list[str]:
    return [escape(str(part / name)) for part in parts]


def _extent(connection: duckdb.DuckDBPyConnection) -> dict[str, object] | None:
    """The days and times of the staged reads, by which the large tables are narrowed; None: there are no reads."""
    names = ("first_day", "last_day", "earliest_read", "latest_read")
    bounds = _row(connection, "SELECT min(first_day), max(last_day), min(fetched_at), max(fetched_at) FROM staged_reads")
    return None if bounds[0] is None else dict(zip(names, bounds, strict=True))


def _require_days_that_fit(connection: duckdb.DuckDBPyConnection, limits: Limits) -> None:
    """Rule 29: so many rows outside the windows asked for, of so many vehicles, are no matter of single records.

    Days that no session can have (1970-01-01, 0001-01-01) do not count: they stand for a stamp that is missing.
    """
    rows, outside, vehicles = _row(
        connection,
        """
        SELECT
            (SELECT count(*) FROM sightings) + (SELECT count(*) FROM rejections),
            count(*),
            count(DISTINCT electric_vehicle_id)
        FROM rejections
        WHERE rules[1] = 'outside_window' AND year(session_day) >= $first_year
        """,
        {"first_year": limits.value("first_year")},
    )
    if vehicles >= limits.value("outside_vehicles") and outside > limits.value("outside_share") * rows:
        raise WrongSessionDay(
            f"{outside} of {rows} sessions, of {vehicles} vehicles, fall outside the days asked for, so nothing was landed: "
            "run `ev-sessions doctor --probe` and set EV_SESSIONS_SESSION_DAY to what it prints"
        )


def _report(connection: duckdb.DuckDBPyConnection) -> LandingReport:
    figures = [LandedDay(*row) for row in connection.execute("FROM day_figures").fetchall()]
    touched = connection.execute("FROM touched ORDER BY session_day").fetchall()
    return LandingReport(
        {day.day: day for day in figures},
        [day for (day,) in touched],
        *_row(connection, "FROM landing_counts"),
    )


def _row(connection: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, object] | None = None) -> tuple[Any, ...]:
    return connection.execute(query, values).fetchall()[0]
