"""The rules over 35,377 real home sessions: how many break each, which domain knowledge the limits were chosen by."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import duckdb
import pytest

from ev_sessions.limits import Limits
from ev_sessions.tables import SESSION_FIELDS
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.judging import judged
from ev_sessions.warehouse.rules import RULES
from ev_sessions_tests.raw_rows import derive_days

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "sessions_norway.csv.gz"
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


SESSIONS = 35_377
RULE = {rule.name: rule for rule in RULES}

# How many break each rule; all other rules about sessions none.
HITS = {
    "no_end": 38,
    "short_stay": 45,
    "long_stay": 875,
    "little_energy": 432,
    "negative_cost": 168,
    "negative_savings": 3_423,
    "no_counterfactual": 61,
    "incomplete_figures": 878,
    "gain_without_energy": 8,
    # The later one of two. 144 share time with another.
    "overlap": 87,
    "split_stay": 544,
}


def hits(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Sessions that break each rule. Rules about whole days are none about sessions."""
    found = connection.execute("SELECT rule, sum(hits)::BIGINT FROM analytics.rule_hits GROUP BY rule").fetchall()
    return {rule: count for rule, count in found if RULE[rule].breaks}


def test_as_many_real_sessions_break_each_rule_as_ever(norway: duckdb.DuckDBPyConnection) -> None:
    assert hits(norway) == HITS


@pytest.mark.parametrize(
    ("rule", "percent"),
    [
        ("no_end", "0.1"),
        ("short_stay", "0.13"),
        ("long_stay", "2.5"),
        ("very_long_stay", "0"),
        ("little_energy", "1.2"),
        ("charging_beyond_stay", "0"),
        ("negative_cost", "0.5"),
        ("incomplete_figures", "2.5"),
        ("overlap", "0.2"),
        ("split_stay", "1.5"),
    ],
)
def test_the_share_of_real_sessions_that_break_a_rule_is_as_specified(
    norway: duckdb.DuckDBPyConnection, rule: str, percent: str
) -> None:
    share = Decimal(100 * hits(norway).get(rule, 0)) / SESSIONS
    assert share.quantize(Decimal(percent), ROUND_HALF_EVEN) == Decimal(percent)


def test_negative_savings_are_specified_as_a_share_of_the_sessions_with_savings(norway: duckdb.DuckDBPyConnection) -> None:
    ((known,),) = norway.execute("SELECT count(actual_savings_eur) FROM raw.sessions").fetchall()
    assert round(100 * hits(norway)["negative_savings"] / known, 1) == 9.9


def test_no_real_session_is_kept_out(norway: duckdb.DuckDBPyConnection) -> None:
    assert norway.execute("SELECT count(*) FROM raw.quarantine").fetchall() == [(0,)]
    assert norway.execute("SELECT count(*) FROM analytics.sessions").fetchall() == [(SESSIONS,)]


def test_without_slack_a_few_real_sessions_charge_for_longer_than_they_stay(norway: duckdb.DuckDBPyConnection) -> None:
    verdicts = judged(Limits.of({"charging_slack_hours": 0}), days="SELECT DISTINCT session_day FROM raw.sessions")
    ((found,),) = norway.execute(
        f"SELECT count(*) FROM ({verdicts}) WHERE list_contains(warnings, 'charging_beyond_stay')"
    ).fetchall()
    assert round(100 * found / SESSIONS, 1) == 0.4
