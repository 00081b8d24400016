"""Judging a trailing window by the quality rules, beside landing it: where nothing stands yet, and behind 10 million sessions.

A program: the argument is the number of vehicles; prints one JSON object with what `landing`, `judging` and the whole of
`deriving` took, `empty` and `full`. One session in 100 breaks an error rule; those of the past are in quarantine already.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import duckdb

from benchmarks.large_table import READ_AT, RUN, WINDOW, Size, land_parts, large, staged, with_fleet
from benchmarks.published import Took, derive_days, timed
from ev_sessions.limits import Limits
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.judging import judged, quarantine
from ev_sessions.warehouse.scripts import frugally, read_script, run_sql

_MEGABYTES = 128
"""What deriving gives itself."""

_PAST_QUARANTINE = """
    INSERT INTO raw.quarantine BY NAME
    SELECT
        org_id, user_id, electric_vehicle_id, id::VARCHAR AS record_key, id AS session_id, ['negative_energy'] AS rules,
        ['negative_energy: Energy below 0'] AS reasons, true AS in_sessions, repeat('.', 600) AS payload,
        session_day AS first_day, session_day AS last_day, first_seen_at, fetched_at, run_id
    FROM raw.sessions
    WHERE energy_charged_kwh < 0
"""


def judging_seconds(folder: Path, size: Size) -> dict[str, dict[str, Took]]:
    """What landing, judging and deriving the window take for the fleet of `size`, without a past and with one."""
    full, empty = Database(folder / "full.duckdb"), Database(folder / "empty.duckdb")
    large(full, size, folder / "before")
    with full.writing() as connection:
        connection.execute(_PAST_QUARANTINE)
    with_fleet(empty, size)
    parts = staged(full, folder / "night", size.vehicles, READ_AT + timedelta(hours=1))
    return {"empty": _steps(empty, parts), "full": _steps(full, parts)}


def _steps(database: Database, parts: list[Path]) -> dict[str, Took]:
    landing, _ = timed(lambda: land_parts(database, parts))
    judging, _ = timed(lambda: _judge(database))
    deriving, _ = timed(lambda: derive_days(database, WINDOW, READ_AT + timedelta(days=1)))
    return {"landing": landing, "judging": judging, "deriving": deriving}


def _judge(database: Database) -> None:
    with database.writing() as connection:
        frugally(connection, _MEGABYTES, lambda: _judge_within(connection))


def _judge_within(connection: duckdb.DuckDBPyConnection) -> None:
    values = {"days": list(WINDOW), "run_id": RUN}
    run_sql(connection, f"CREATE OR REPLACE TEMP TABLE asked_days AS {read_script('models/asked_days.sql')}", values)
    run_sql(connection, f"CREATE OR REPLACE TEMP TABLE judged AS {judged(Limits())}", values)
    run_sql(connection, quarantine(Limits()), values)


if __name__ == "__main__":
    print(json.dumps(judging_seconds(Path(), Size(int(sys.argv[1])))))
