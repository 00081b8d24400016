"""Landing a window into a table of 10 million sessions, and into an empty one.

A program: the arguments are numbers of vehicles; prints one JSON object, for each number the seconds of both landings. The
window is a trailing one: of its 14 days 13 stand already, one session in 33 is restated, the last day is new.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from ev_sessions.days import DayRange
from ev_sessions.limits import Limits
from ev_sessions.price_zones import time_zones
from ev_sessions.stage.parts import READS_FILE, REJECTED_FILE, SESSIONS_FILE
from ev_sessions.stage.schemas import READS, REJECTED, SESSIONS
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.landing import land

DAILY_REFRESHES = 90
"""Days for which the ledger has a read of every vehicle's trailing window, as after three months of the schedule."""
WINDOW = DayRange(date(2025, 12, 31), date(2026, 1, 13))
"""A trailing window of 14 days that begins on the last day of a month: none touches more days of the months that it is in."""
PARTS = 20
READ_AT = datetime(2026, 1, 14, 3, 15, tzinfo=UTC)
RUN = "benchmark"


@dataclass(frozen=True, slots=True)
class Size:
    """The large table: one session per vehicle and day, up to the day before the window's last. 10 million, unless told."""

    vehicles: int = 20_000
    days: int = 500


_VALUES: dict[str, object] = {
    "refreshes": DAILY_REFRESHES,
    "window": len(WINDOW),
    "window_first": WINDOW.first,
    "window_last": WINDOW.last,
    "parts": PARTS,
    "org": "00000000-0000-0000-0000-000000000001",
}

# A vehicle's number is its id and, with its owner's, never changes; a session's id is random, as the API's are.
_FLEET = """
    CREATE TEMP TABLE cars AS
    SELECT
        number,
        $org::UUID AS org_id,
        md5('user' || number)::UUID AS user_id,
        md5('vehicle' || number)::UUID AS electric_vehicle_id
    FROM range($vehicles) AS series(number)
"""
_FLEET_ROWS = """
    INSERT INTO raw.vehicles BY NAME
    SELECT
        org_id, user_id, electric_vehicle_id, 'DE_LU' AS price_zone,
        $read_at AS first_seen_at, $read_at AS last_seen_at, 'benchmark' AS run_id
    FROM cars
"""
_SESSION_ROWS = """
    INSERT INTO raw.sessions BY NAME
    SELECT
        org_id, user_id, electric_vehicle_id,
        uuid() AS id,
        day + INTERVAL 17 HOUR + INTERVAL (number % 300) MINUTE AS plug_in_time,
        plug_in_time + INTERVAL 5 HOUR AS unplug_time,
        80 AS target_soc_pct, 40 AS initial_soc_pct, 80 AS final_soc_pct,
        if(number % 100 = 99, -1, 5 + (number % 400) / 10) AS energy_charged_kwh,
        energy_charged_kwh * 0.21 AS actual_cost_eur,
        energy_charged_kwh * 0.06 AS actual_savings_eur,
        true AS is_at_home, 'charged' AS session_outcome,
        day::DATE AS session_day, 'DE_LU' AS price_zone, 'Europe/Berlin' AS time_zone,
        'none' AS content_hash, 1 AS version,
        day + INTERVAL 1 DAY AS first_seen_at, first_seen_at AS valid_from,
        $read_at - INTERVAL 1 DAY AS fetched_at, 'benchmark' AS run_id
    FROM (SELECT $first + INTERVAL (number) DAY AS day FROM range($days) AS series(number)) AS days
    CROSS JOIN cars
    ORDER BY day
"""
_LEDGER_ROWS = """
    INSERT INTO raw.fetches BY NAME
    SELECT
        org_id, user_id, electric_vehicle_id,
        ($window_last - INTERVAL (age + $window) DAY)::DATE AS first_day,
        ($window_last - INTERVAL (age + 1) DAY)::DATE AS last_day,
        'complete' AS outcome, $window AS reported_total, $window AS accepted_rows, 0 AS rejected_rows, 0 AS outside_rows,
        1 AS requests, 1 AS pages, 0 AS retries, 1 AS reads,
        $read_at - INTERVAL (age + 1) DAY AS fetched_at, fetched_at AS landed_at, 'benchmark' AS run_id
    FROM range($refreshes) AS series(age)
    CROSS JOIN cars
"""
_ANSWERS = """
    CREATE OR REPLACE TEMP TABLE answers AS
    SELECT * REPLACE (
        $read_at AS fetched_at,
        if(hash(id) % 33 = 0, actual_savings_eur + 0.01, actual_savings_eur) AS actual_savings_eur
    )
    FROM raw.sessions
    WHERE session_day >= $window_first
    UNION ALL BY NAME
    SELECT * REPLACE (
        uuid() AS id,
        $window_last AS session_day,
        plug_in_time + INTERVAL 1 DAY AS plug_in_time,
        unplug_time + INTERVAL 1 DAY AS unplug_time,
        $read_at AS fetched_at
    )
    FROM raw.sessions
    WHERE session_day = ($window_last - INTERVAL 1 DAY)::DATE
"""
_SESSIONS = """
    SELECT * FROM answers SEMI JOIN (FROM cars WHERE number % $parts = $part) USING (electric_vehicle_id)
"""
_READS = """
    SELECT
        org_id, user_id, electric_vehicle_id,
        $window_first AS first_day, $window_last AS last_day,
        'complete' AS outcome, $window AS reported_total, $window AS accepted_rows, 0 AS rejected_rows, 0 AS outside_rows,
        1 AS requests, 1 AS pages, 0 AS retries, 1 AS reads, NULL AS error, $read_at AS fetched_at
    FROM cars
    WHERE number % $parts = $part
"""


def landing_seconds(folder: Path, fleets: list[int], size: Size) -> dict[int, dict[str, float]]:
    """For each number of vehicles the seconds that landing their window takes: `empty`, `full`. Databases go to `folder`."""
    full = Database(folder / "full.duckdb")
    large(full, size, folder / "before")
    found = {}
    for number, vehicles in enumerate(fleets):
        parts = staged(full, folder / str(vehicles), vehicles, READ_AT + timedelta(hours=number))
        empty = Database(folder / f"empty_{vehicles}.duckdb")
        with_fleet(empty, size)
        found[vehicles] = {"empty": land_parts(empty, parts), "full": land_parts(full, parts)}
    return found


def large(database: Database, size: Size, folder: Path) -> None:
    """Make the large table in `database`; staged answers go to `folder`."""
    with_fleet(database, size, _SESSION_ROWS, _LEDGER_ROWS)
    # The rows of the window get the hashes that a landing gives them: only then is a row that did not change seen as such.
    land_parts(database, staged(database, folder, size.vehicles, READ_AT - timedelta(hours=12)))


def with_fleet(database: Database, size: Size, *rows: str) -> None:
    """Make the fleet of `size` in `database`, and what the statements `rows` insert."""
    values = {"vehicles": size.vehicles, "days": size.days, "first": WINDOW.last - timedelta(days=size.days), "read_at": READ_AT}
    with database.writing() as connection:
        for statement in (_FLEET, _FLEET_ROWS, *rows):
            _run(connection, statement, values)


def land_parts(database: Database, parts: list[Path]) -> float:
    """Land `parts`; the seconds that it took."""
    began = time.monotonic()
    with database.writing() as connection:
        land(
            connection,
            parts,
            run_id=RUN,
            landed_at=READ_AT + timedelta(days=1),
            zones=time_zones({}),
            default_time_zone="UTC",
            hold_share=0.5,
            limits=Limits(),
        )
    return time.monotonic() - began


def staged(database: Database, folder: Path, vehicles: int, read_at: datetime) -> list[Path]:
    """Part folders with the answers of the first `vehicles` cars, read at `read_at`."""
    parts = [folder / f"part-{number + 1:05d}" for number in range(PARTS)]
    with database.reading() as connection:
        _run(connection, _FLEET, {"vehicles": vehicles})
        _run(connection, _ANSWERS, {"read_at": read_at})
        for number, part in enumerate(parts):
            part.mkdir(parents=True)
            for name, query, schema in ((SESSIONS_FILE, _SESSIONS, SESSIONS), (READS_FILE, _READS, READS)):
                rows = _run(connection, query, {"read_at": read_at, "part": number}).to_arrow_table()
                pq.write_table(rows.select(schema.names).cast(schema), part / name)
            pq.write_table(REJECTED.empty_table(), part / REJECTED_FILE)
    return parts


def _run(connection: duckdb.DuckDBPyConnection, query: str, more: dict[str, object]) -> duckdb.DuckDBPyConnection:
    (statement,) = duckdb.extract_statements(query)
    values = _VALUES | more
    return connection.execute(statement, {name: values[name] for name in statement.named_parameters})


if __name__ == "__main__":
    print(json.dumps(landing_seconds(Path(), [int(number) for number in sys.argv[1:]], Size())))
