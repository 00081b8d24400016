"""Months in a real installation: a backfill of days, and the daemon then has the months summed up that it touched."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from ev_sessions.days import DayRange
from ev_sessions_tests.e2e.operated import LOCATION, Operation, operation_over
from ev_sessions_tests.pipeline import sandbox_with
from ev_sessions_tests.processes import graphql, wait_until

DAYS = DayRange(date(2025, 2, 26), date(2025, 3, 1))
DAILY = ("raw_sessions", "sessions", "daily_energy", "daily_savings", "rule_hits", "unread_vehicle_days", "fleet_daily")
SENSOR = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__", "sensorName": "monthly_refresh"}
TICKS = "query ticks($of: SensorSelector!) {sensorOrError(sensorSelector: $of) {... on Sensor {sensorState {ticks {status}}}}}"


def has_ticked(operation: Operation) -> bool:
    """Whether the sensor has looked once: what was reported before its first look, it leaves to the next run's report."""
    answer = graphql(operation.port, TICKS, {"of": SENSOR}) or {"sensorOrError": {}}
    ticks = answer["sensorOrError"].get("sensorState", {"ticks": []})["ticks"]
    return any(tick["status"] in {"SUCCESS", "SKIPPED"} for tick in ticks)


def has_read_days(run: Mapping[str, object]) -> bool:
    return run.get("dagster/asset_partition_range_end") == DAYS.last.isoformat() and run["status"] == "SUCCESS"


def sums_months(run: Mapping[str, object]) -> bool:
    return run.get("dagster/asset_partition_range_start") == "2025-02-01" and run["status"] == "SUCCESS"


def test_a_backfill_over_everything_is_accepted_and_the_months_it_touched_are_summed_up_by_themselves(tmp_path: Path) -> None:
    with operation_over(sandbox_with(end=DAYS.last, days=len(DAYS)), tmp_path) as operation, operation.started():
        pipeline, page = operation.pipeline, operation.page
        page.start_sensor("monthly_refresh")
        wait_until("the sensor has looked once", lambda: has_ticked(operation), operation.ui)
        assert pipeline.refresh(DayRange(DAYS.first, DAYS.first)).success
        assert page.backfill((*DAILY, "monthly_savings"), DAYS) == "LaunchBackfillSuccess"
        wait_until("the days have been read", lambda: any(has_read_days(run) for run in page.runs()), operation.ui)
        wait_until("a run has summed months up", lambda: any(sums_months(run) for run in page.runs()), operation.ui)
        wait_until("all runs are over", page.runs_are_over, operation.ui)
    days = "SELECT date_trunc('month', report_date)::DATE, sum(sessions) FROM analytics.daily_savings GROUP BY ALL ORDER BY ALL"
    months = "SELECT report_month, sum(sessions) FROM analytics.monthly_savings GROUP BY ALL ORDER BY ALL"
    assert len(pipeline.rows(months)) == 2
    assert pipeline.rows(months) == pipeline.rows(days)
