"""The simulated fleet under the rules: what it invents is as plausible as real sessions are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ev_sessions.sandbox import Sandbox
from ev_sessions.tables import ANALYTICS_SESSIONS, RAW_QUARANTINE, RAW_SESSIONS, RAW_VEHICLES, RULE_HITS
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.rules import RULES, Severity
from ev_sessions_tests.pipeline import LONG_AFTER, sandbox_with
from ev_sessions_tests.raw_rows import Row, derive_days, insert, rows_of

SEVERITY = {rule.name: rule.severity for rule in RULES}


def listed(sandbox: Sandbox) -> Iterator[Row]:
    """Every session of the fleet as it would stand in raw.sessions, read long after."""
    days = sandbox.options.history
    for session in sandbox.truth.fleet_sessions(days.first, days.last, LONG_AFTER):
        yield {
            **session,
            "extra": json.dumps(session["extra"]) if session["extra"] else None,
            "session_day": session["plug_in_time"].date(),
            "time_zone": "Europe/Berlin",
            "content_hash": str(session["id"]),
            "version": 1,
            **dict.fromkeys(("first_seen_at", "valid_from", "fetched_at"), LONG_AFTER),
            "run_id": "landing",
        }


def fleet(sandbox: Sandbox) -> Iterator[Row]:
    """Its vehicles, as far as the rules look at them."""
    for vehicle in sandbox.truth.vehicles(None, LONG_AFTER):
        yield {
            "org_id": sandbox.truth.org_id,
            "user_id": vehicle["owner"]["id"],
            "electric_vehicle_id": vehicle["id"],
            **{name: vehicle[name] for name in ("created_at", "battery_capacity_kwh", "price_zone")},
            **dict.fromkeys(("first_seen_at", "last_seen_at"), LONG_AFTER),
            "run_id": "fleet",
        }


# Five weeks over the change of the clocks.
@pytest.mark.parametrize("seed", [1, 2])
def test_a_simulated_fleet_breaks_no_error_rule_and_few_others(tmp_path: Path, seed: int) -> None:
    sandbox = sandbox_with(vehicles=25, days=35, seed=seed, added_rate=0.2, deleted_rate=0.2, restated_rate=0.1)
    sessions = list(listed(sandbox))
    with Database(tmp_path / "sandbox.duckdb").writing() as connection:
        insert(connection, RAW_VEHICLES, *fleet(sandbox))
        insert(connection, RAW_SESSIONS, *sessions)
        derive_days(connection, sandbox.options.history.first, sandbox.options.history.last)
        assert rows_of(connection, RAW_QUARANTINE) == []
        derived, hits = rows_of(connection, ANALYTICS_SESSIONS), rows_of(connection, RULE_HITS)
    assert len(derived) == len(sessions) > 500
    assert sum(bool(row["flags"]) for row in derived) < 0.1 * len(derived)
    assert {row["rule"] for row in hits if SEVERITY[row["rule"]] is Severity.INFO} >= {"negative_savings", "unknown_outcome"}
    assert max(hits_of(hits).values()) < 0.25 * len(sessions)


def hits_of(rows: list[Row]) -> dict[str, int]:
    """How many sessions break each rule."""
    return {name: sum(row["hits"] for row in rows if row["rule"] == name) for name in {row["rule"] for row in rows}}
