"""A sensor in a real daemon: it sees what is unread, launches a run for it, and the run reads it."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ev_sessions.days import ONE_DAY, DayRange, utc_today
from ev_sessions_tests.pipeline import own_setting, pipeline_over, sandbox_with
from ev_sessions_tests.processes import LIMIT, ev_sessions, free_port, graphql, running, wait_until

RUNS = "{runsOrError {... on Runs {results {jobName status tags {key value}}}}}"
LAUNCH = """
mutation launch($of: ExecutionParams!) {
  launchRun(executionParams: $of) { __typename ... on PythonError {message} }
}
"""
FRESHNESS = {
    "selector": {
        "repositoryLocationName": "ev_sessions.definitions",
        "repositoryName": "__repository__",
        "jobName": "freshness",
    }
}


def runs_of(port: int, **tags: str) -> list[dict[str, Any]]:
    """The runs with these tags: `jobName`, `status` and the tags of each."""
    answer = graphql(port, RUNS) or {"runsOrError": {"results": []}}
    runs = [
        {"jobName": run["jobName"], "status": run["status"]} | {tag["key"]: tag["value"] for tag in run["tags"]}
        for run in answer["runsOrError"]["results"]
    ]
    return [run for run in runs if tags.items() <= run.items()]


def test_days_that_nobody_has_read_are_read_by_a_run_that_the_daemon_launches_and_freshness_started_by_hand_agrees(
    tmp_path: Path,
) -> None:
    by_gaps = {"dagster/sensor_name": "gaps"}
    yesterday = utc_today(datetime.now(UTC)) - ONE_DAY
    missing = DayRange(yesterday - timedelta(days=3), yesterday - ONE_DAY)
    sandbox = sandbox_with(vehicles=3, days=4, end=yesterday, now=None)
    with (
        pipeline_over(sandbox, tmp_path) as pipeline,
        own_setting("schedules", "on"),
        own_setting("lookback_days", "30"),
        own_setting("min_free_gb", "0"),
    ):
        # A first run makes the fleet known.
        assert pipeline.refresh(DayRange(yesterday, yesterday)).success
        sandbox.counts.reset()
        port = free_port()
        with running(*ev_sessions("ui", "--port", port), log=tmp_path / "ui.log") as ui:
            wait_until("a sensor has launched a run that is over", lambda: is_over(runs_of(port, **by_gaps)), ui)
            (run,) = runs_of(port, **by_gaps)
            launched = (graphql(port, LAUNCH, {"of": FRESHNESS}) or {})["launchRun"]
            assert launched["__typename"] == "LaunchRunSuccess", launched
            wait_until("the checks have run", lambda: is_over(runs_of(port, jobName="freshness")), ui)
            (checked,) = runs_of(port, jobName="freshness")
            ui.send_signal(signal.SIGINT)
            assert ui.wait(LIMIT) == 0
        assert (run["status"], checked["status"]) == ("SUCCESS", "SUCCESS")
        assert run["dagster/asset_partition_range_start"] == missing.first.isoformat()
        assert run["dagster/asset_partition_range_end"] == missing.last.isoformat()
        assert (sandbox.counts.sessions, sandbox.counts.users) == (3, 0)
        assert pipeline.rows("SELECT count(*), min(vehicles_read) FROM analytics.fleet_daily") == [(4, 3)]


def is_over(runs: list[dict[str, Any]]) -> bool:
    """Whether there are runs, and all have ended."""
    return bool(runs) and all(run["status"] in {"SUCCESS", "FAILURE", "CANCELED"} for run in runs)
