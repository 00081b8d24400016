"""Rows of the raw tables, written by hand: what a test does not name has a plain value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid5

import duckdb

from ev_sessions.days import DayRange
from ev_sessions.limits import Limits
from ev_sessions.settings import ReportDate
from ev_sessions.tables import ALL_TABLES, Table
from ev_sessions.warehouse.derive import DeriveReport, derive
from ev_sessions.warehouse.scripts import transaction
from ev_sessions_tests.parts import id_in

DAY = date(2026, 3, 10)
NOW = datetime(2026, 6, 1, 3, 15, tzinfo=UTC)
LOOKBACK_DAYS = 14
DEFAULT_LIMITS = Limits()

Row = dict[str, Any]

_NAMES = UUID("00000000-0000-4000-8000-000000000000")


def uid(name: str) -> UUID:
    """The same id for the same name."""
    return uuid5(_NAMES, name)


def at(text: str) -> datetime:
    """The UTC stamp `YYYY-MM-DD HH:MM`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def vehicle(name: str, **changes: object) -> Row:
    """A vehicle that has always been there, of the user named alike."""
    return {
        **_owner(name),
        "price_zone": "DE_LU",
        "first_seen_at": NOW,
        "last_seen_at": NOW,
        "run_id": "fleet",
        **changes,
    }


def session(name: str, *, of: str = "v1", day: date = DAY, **changes: object) -> Row:
    """A session of the vehicle `of`, plugged in at noon of `day`, of which nothing else is known."""
    return {
        **_owner(of),
        "id": uid(name),
        "plug_in_time": datetime(day.year, day.month, day.day, 12, tzinfo=UTC),
        "session_day": day,
        "price_zone": "DE_LU",
        "time_zone": "Europe/Berlin",
        "content_hash": name,
        "version": 1,
        "first_seen_at": NOW,
        "valid_from": NOW,
        "fetched_at": NOW,
        "run_id": "landing",
        **changes,
    }


def read(of: str, first: date, last: date | None = None, **changes: object) -> Row:
    """A complete read of the vehicle `of` over the days `first` to `last`, with one session in it."""
    return {
        **_owner(of),
        "first_day": first,
        "last_day": last or first,
        "outcome": "complete",
        "reported_total": 1,
        "accepted_rows": 1,
        "rejected_rows": 0,
        "outside_rows": 0,
        "requests": 1,
        "pages": 1,
        "retries": 0,
        "reads": 1,
        "fetched_at": NOW,
        "landed_at": NOW,
        "run_id": "landing",
        **changes,
    }


def kept_out(
    key: str,
    *,
    of: str = "v1",
    first: date = DAY,
    last: date | None = None,
    reasons: Sequence[str] = ("malformed: not an object",),
    **changes: object,
) -> Row:
    """A record in quarantine that is no JSON at all."""
    return {
        **_owner(of),
        "record_key": key,
        "session_id": id_in(key),
        "rules": [reason.partition(":")[0] for reason in reasons],
        "reasons": list(reasons),
        "in_sessions": False,
        "payload": "garbage",
        "first_day": first,
        "last_day": last or first,
        "first_seen_at": NOW,
        "fetched_at": NOW,
        "run_id": "landing",
        **changes,
    }


def touched(day: date) -> Row:
    """A day whose rows a landing changed."""
    return {"session_day": day, "touched_at": NOW, "run_id": "landing"}


def insert(connection: duckdb.DuckDBPyConnection, table: Table, *rows: Row) -> None:
    """Insert rows; a column that a row does not name is null."""
    places = ", ".join("?" for _ in table.columns)
    with transaction(connection):
        for row in rows:
            unknown = row.keys() - set(table.column_names)
            assert not unknown, unknown
            values = [row.get(name) for name in table.column_names]
            connection.execute(f"INSERT INTO {table.full_name} VALUES ({places})", values)


def empty(connection: duckdb.DuckDBPyConnection) -> None:
    """Delete all rows of all tables."""
    with transaction(connection):
        for table in ALL_TABLES:
            connection.execute(f"TRUNCATE {table.full_name}")


def rows_of(connection: duckdb.DuckDBPyConnection, table: Table) -> list[Row]:
    """All rows of a table, in the order of its key."""
    relation = connection.table(table.full_name).order(", ".join(table.key))
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def derive_days(
    connection: duckdb.DuckDBPyConnection,
    first: date = DAY,
    last: date | None = None,
    *,
    report_date: ReportDate = ReportDate.SESSION_END,
    limits: Limits = DEFAULT_LIMITS,
    derived_at: datetime = NOW,
) -> DeriveReport:
    """Derive the days `first` to `last` (None: `first` alone)."""
    return derive(
        connection,
        DayRange(first, last or first),
        run_id="derive",
        report_date=report_date,
        lookback_days=LOOKBACK_DAYS,
        limits=limits,
        derived_at=derived_at,
    )


def _owner(vehicle_name: str) -> Mapping[str, UUID]:
    return {"org_id": uid("org"), "user_id": uid(f"user of {vehicle_name}"), "electric_vehicle_id": uid(vehicle_name)}
