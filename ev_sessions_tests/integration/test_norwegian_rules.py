"""The rules over 35,377 real home sessions: how many break each, which domain knowledge the limits were chosen by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from ev_sessions.limits import Limits
from ev_sessions.tables import SESSION_FIELDS
from ev_sessions.warehouse.connection import Database
from ev_sessions_tests.raw_rows import derive_days

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "sessions_norway.csv.gz"
SESSIONS = 35_377

pytestmark = pytest.mark.skipif(not RECORDED.exists(), reason="the recorded sessions (../shared/data) are not on this machine")

# Everything that the sessions were landed with, had they been landed: read long after, all at once.
_LOAD = f"""
    INSERT INTO raw.sessions BY NAME
    SELECT
        {", ".join(f'"{column.name}"::{column.type} AS "{column.name}"' for column in SESSION_FIELDS)},
        org_id::UUID AS org_id,
        user_id::UUID AS user_id,
        electric_vehicle_id::UUID AS electric_vehicle_id,
        plug_in_time::TIMESTAMPTZ::DATE AS session_day,
        'Europe/Oslo' AS time_zone,
        id AS content_hash,
        1 AS version,
        $read_at AS first_seen_at,
        $read_at AS valid_from,
        $read_at AS fetched_at,
        'landing' AS run_id
    FROM read_csv($file, all_varchar = true)
"""


@pytest.fixture(scope="module")
def norway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("norway") / "norway.duckdb").writing() as connection:
        connection.execute(_LOAD, {"file": str(RECORDED), "read_at": "2021-09-01T03:15:00Z"})
        ((first, last),) = connection.execute("SELECT min(session_day), max(session_day) FROM raw.sessions").fetchall()
        derive_days(connection, first, last, limits=Limits())
        yield connection


HITS = {
    "no_end": 38,
    "short_stay": 45,
    "long_stay": 875,
    "little_energy": 432,
    "negative_cost": 168,
    "negative_savings": 3_423,
    "no_counterfactual": 61,
    "incomplete_figures": 878,
    "overlap": 87,
    "gain_without_energy": 8,
    "split_stay": 544,
}


def hits(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    found = connection.execute("SELECT rule, sum(hits)::BIGINT FROM analytics.rule_hits GROUP BY rule").fetchall()
    return {rule: count for rule, count in found if rule != "unusual_volume"}


def test_as_many_real_sessions_break_each_rule_as_ever(norway: duckdb.DuckDBPyConnection) -> None:
    assert hits(norway) == HITS
