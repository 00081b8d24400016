"""What stands in the database, the history and the folders against what has to stand there. Every difference is one sentence."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from ev_sessions.file_locks import is_held
from ev_sessions.tables import PUBLISHED_TABLES, SESSION_FIELDS
from ev_sessions.warehouse.publish import VIEWS
from ev_sessions_tests.soak.expected import Expected, Key

_FIELDS = ("org_id", "user_id", "electric_vehicle_id", *(column.name for column in SESSION_FIELDS))
_EXAMPLES = 3


@contextmanager
def reading(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection on which days are UTC days."""
    with duckdb.connect(database, read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def standing_keys(database: Path) -> set[Key]:
    """Vehicle and id of the sessions that stand in raw.sessions."""
    with reading(database) as connection:
        return _keys(connection)


def differences_in_tables(database: Path, expected: Expected, ever_stood: Collection[Key], final_through: date) -> list[str]:
    """Where the tables differ from the truth. `ever_stood`: the keys that stood in raw.sessions at any time."""
    with reading(database) as connection:
        return [
            *_sessions(connection, expected),
            *_derived_sessions(connection, expected),
            *_quarantine(connection, expected),
            *_fleet(connection, expected),
            *_sums(connection, expected),
            *_vanished(connection, expected, ever_stood),
            *_days(connection, expected, final_through),
            *_nothing_pending(connection),
        ]


def differences_in_what_is_published(database: Path, published: Path) -> list[str]:
    """Where the views for readers show something else than the tables hold."""
    with reading(database) as connection:
        connection.execute(f"ATTACH '{published / VIEWS}' AS published (READ_ONLY)")
        return [
            f"the published {table.full_name} {what} {rows} rows"
            for table in PUBLISHED_TABLES
            for what, left, right in (
                ("lacks", table.full_name, f"published.{table.full_name}"),
                ("has too much", f"published.{table.full_name}", table.full_name),
            )
            if (rows := _rows_only_in(connection, left, right))
        ]


def _rows_only_in(connection: duckdb.DuckDBPyConnection, left: str, right: str) -> int:
    ((rows,),) = connection.execute(f"SELECT count(*) FROM (FROM {left} EXCEPT ALL FROM {right})").fetchall()
    return int(rows)


def differences_in_what_is_held(instance: dg.DagsterInstance, state: Path) -> list[str]:
    """Runs that have not ended, places in pools, locks and staged parts: nothing of that may be left."""
    unfinished = [run.run_id for run in instance.get_runs() if not run.is_finished]
    storage = instance.event_log_storage
    slots = [key for key in storage.get_concurrency_keys() if storage.get_concurrency_info(key).claimed_slots]
    waiting = [key for key in storage.get_concurrency_keys() if storage.get_concurrency_info(key).pending_steps]
    held = [str(path.relative_to(state)) for path in state.rglob("*.lock") if is_held(path)]
    alive = [path.name for path in (state / "dagster" / "alive").glob("*.lock")]
    parts = [str(path.relative_to(state)) for path in (state / "stage").rglob("*.parquet")]
    return [
        _several(what, found)
        for what, found in (
            ("runs have not ended", unfinished),
            ("pools have places taken", slots),
            ("pools have steps waiting", waiting),
            ("locks are held", held),
            ("run locks are left", alive),
            ("staged files are left", parts),
        )
        if found
    ]


def _keys(connection: duckdb.DuckDBPyConnection) -> set[Key]:
    return set(connection.execute("SELECT electric_vehicle_id, id FROM raw.sessions").fetchall())


def _sessions(connection: duckdb.DuckDBPyConnection, expected: Expected) -> Iterator[str]:
    rows = connection.execute(f"SELECT {', '.join(_FIELDS)}, session_day, extra FROM raw.sessions").fetchall()
    found = {(row[2], row[_FIELDS.index("id")]): row for row in rows}
    if len(found) != len(rows):
        yield f"raw.sessions has {len(rows) - len(found)} keys twice"
    yield from _differences(
        "raw.sessions",
        {key: (*row[:-1], json.loads(row[-1]) if row[-1] else {}) for key, row in found.items()},
        {
            key: (*(row[name] for name in _FIELDS), row["plug_in_time"].astimezone(UTC).date(), _plain(row["extra"]))
            for key, row in expected.sessions.items()
        },
    )


def _derived_sessions(connection: duckdb.DuckDBPyConnection, expected: Expected) -> Iterator[str]:
    columns = ("energy_charged_kwh", "actual_cost_eur", "actual_savings_eur")
    query = f"SELECT electric_vehicle_id, id, report_date, {', '.join(columns)} FROM analytics.sessions"
    yield from _differences(
        "analytics.sessions",
        {tuple(row[:2]): row[2:] for row in connection.execute(query).fetchall()},
        {key: (expected.report_date(row), *(row[name] for name in columns)) for key, row in expected.sessions.items()},
    )


def _quarantine(connection: duckdb.DuckDBPyConnection, expected: Expected) -> Iterator[str]:
    found = sorted(payload for (payload,) in connection.execute("SELECT payload FROM raw.quarantine").fetchall())
    yield from _differences("raw.quarantine", _counted(found), _counted(expected.malformed))


def _fleet(connection: duckdb.DuckDBPyConnection, expected: Expected) -> Iterator[str]:
    vehicles = connection.execute(
        "SELECT electric_vehicle_id, user_id, price_zone, created_at, deleted_at, missing_since FROM raw.vehicles"
    ).fetchall()
    yield from _differences(
        "raw.vehicles",
        {row[0]: (str(row[1]), *row[2:]) for row in vehicles},
        {
            vehicle: (car["owner"]["id"], car["price_zone"], _stamp(car["created_at"]), _stamp(car["deleted_at"]), None)
            for vehicle, car in expected.vehicles.items()
        },
    )
    users = connection.execute("SELECT user_id, external_user_id, deleted_at, missing_since FROM raw.users").fetchall()
    yield from _differences(
        "raw.users",
        {row[0]: row[1:] for row in users},
        {key: (user["external_user_id"], _stamp(user["deleted_at"]), None) for key, user in expected.users.items()},
    )


def _sums(connection: duckdb.DuckDBPyConnection, expected: Expected) -> Iterator[str]:
    by_vehicle = "session_day", "report_date", "electric_vehicle_id"
    sums = "sessions", "energy_kwh", "cost_eur", "savings_eur"
    energy = {key: values[:2] for key, values in expected.by_vehicle_day().items()}
    for table, grain, columns, wanted in (
        ("fleet_daily", ("session_day",), sums, expected.by_day()),
        ("daily_savings", by_vehicle, sums, expected.by_vehicle_day()),
        ("daily_energy", by_vehicle, sums[:2], energy),
        ("monthly_savings", ("user_id", "report_month"), sums, expected.by_user_month()),
    ):
        query = f"SELECT {', '.join(grain + columns)} FROM analytics.{table} WHERE sessions > 0"
        rows = connection.execute(query).fetchall()
        found = {row[: len(grain)]: row[len(grain) :] for row in rows}
        if len(found) != len(rows):
            yield f"analytics.{table} has {len(rows) - len(found)} rows twice"
        yield from _differences(f"analytics.{table}", found, wanted)


def _vanished(connection: duckdb.DuckDBPyConnection, expected: Expected, ever_stood: Collection[Key]) -> Iterator[str]:
    versions = connection.execute(
        "SELECT electric_vehicle_id, id, arg_max(end_reason, fetched_at) FROM raw.session_versions "
        "ANTI JOIN raw.sessions USING (electric_vehicle_id, id) GROUP BY ALL"
    ).fetchall()
    gone = {tuple(row[:2]) for row in versions}
    lost = set(ever_stood) - gone - _keys(connection)
    if lost:
        yield f"{len(lost)} sessions stood once and are neither in raw.sessions nor in raw.session_versions"
    invented = gone - expected.withdrawn
    if invented:
        yield f"{len(invented)} sessions of raw.session_versions are gone, and the API never withdrew them"
    others = [key for *key, reason in versions if reason != "vanished"]
    if others:
        yield f"{len(others)} sessions are gone for another reason than having vanished"


def _days(connection: duckdb.DuckDBPyConnection, expected: Expected, final_through: date) -> Iterator[str]:
    rows = connection.execute(
        "SELECT session_day, is_final, vehicles_due = vehicles_read, quarantined FROM analytics.fleet_daily ORDER BY session_day"
    ).fetchall()
    missing = sorted(set(expected.days) - {row[0] for row in rows})
    if missing:
        yield _several("days have no row in analytics.fleet_daily", missing)
    provisional = [row[0] for row in rows if row[0] <= final_through and not row[1]]
    if provisional:
        yield _several(f"days up to {final_through} are not final", provisional)
    unread = [row[0] for row in rows if not row[2]]
    if unread:
        yield _several("days have vehicles due that were not read", unread)
    quarantined = sum(row[3] for row in rows)
    if quarantined != len(expected.malformed):
        yield f"analytics.fleet_daily counts {quarantined} quarantined records, and the API sends {len(expected.malformed)}"


def _nothing_pending(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    for marks in ("touched_days", "touched_months"):
        waiting = len(connection.table(f"raw.{marks}"))
        if waiting:
            yield f"raw.{marks}: {waiting} wait to be derived again"


def _differences(table: str, found: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> Iterator[str]:
    for what, keys in (
        ("lacks", sorted(wanted.keys() - found.keys(), key=str)),
        ("has too much", sorted(found.keys() - wanted.keys(), key=str)),
        ("differs in", sorted((key for key in wanted.keys() & found.keys() if found[key] != wanted[key]), key=str)),
    ):
        if keys:
            shown = "; ".join(f"{_name(key)}: {_contrast(found.get(key), wanted.get(key))}" for key in keys[:_EXAMPLES])
            yield f"{table} {what} {len(keys)} of {len(wanted)} rows, such as {shown}"


def _name(key: object) -> str:
    return " ".join(str(part) for part in key) if isinstance(key, tuple) else str(key)


def _contrast(found: object, wanted: object) -> str:
    """Both, or only the places in which they differ."""
    if isinstance(found, tuple) and isinstance(wanted, tuple):
        return ", ".join(f"{is_} instead of {should}" for is_, should in zip(found, wanted, strict=True) if is_ != should)
    return "not there" if found is None else str(found)


def _counted(values: list[str]) -> dict[str, int]:
    return {value: values.count(value) for value in values}


def _several(what: str, found: Collection[object]) -> str:
    return f"{len(found)} {what}, such as {', '.join(str(each) for each in list(found)[:_EXAMPLES])}"


def _plain(extra: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(extra, default=float))
    return plain


def _stamp(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
