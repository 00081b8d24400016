"""`ev-sessions ui` for real: Dagster's page, its code server and its daemon, which backfills two days."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from ev_sessions_tests.pipeline import LONG_AFTER, pipeline_over, sandbox_with, trailing
from ev_sessions_tests.processes import LIMIT, ev_sessions, free_port, graphql, running, wait_until

DAYS = trailing(2)
PARTITIONED = ("raw_sessions", "sessions", "daily_energy", "daily_savings", "fleet_daily")

ASSETS = "{assetNodes {assetKey {path} isPartitioned}}"
RUNS = "{runsOrError {... on Runs {results {status tags {key value}}}}}"
LAUNCH = """
mutation launch($of: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $of) { __typename ... on PythonError {message} }
}
"""


class Page:
    """Dagster's web page on `port`, asked as a browser asks it."""

    def __init__(self, port: int) -> None:
        self._port = port

    def assets(self) -> dict[str, bool]:
        """The assets that it shows, and whether each has partitions; none while the code location loads."""
        nodes = (graphql(self._port, ASSETS) or {"assetNodes": []})["assetNodes"]
        return {node["assetKey"]["path"][-1]: node["isPartitioned"] for node in nodes}

    def backfill(self) -> str:
        """Launch a backfill of `DAYS`; what became of that."""
        wanted = {
            "assetSelection": [{"path": [name]} for name in PARTITIONED],
            "partitionNames": [day.isoformat() for day in DAYS],
        }
        launched: dict[str, str] = (graphql(self._port, LAUNCH, {"of": wanted}) or {})["launchPartitionBackfill"]
        return launched["__typename"]

    def runs(self) -> list[dict[str, Any]]:
        """The runs in the history, the newest first: their `status` and their tags."""
        answer = graphql(self._port, RUNS) or {"runsOrError": {"results": []}}
        return [
            {"status": run["status"]} | {tag["key"]: tag["value"] for tag in run["tags"]}
            for run in answer["runsOrError"]["results"]
        ]

    def runs_are_over(self) -> bool:
        """Whether there are runs, and all have ended."""
        statuses = {run["status"] for run in self.runs()}
        return bool(statuses) and statuses <= {"SUCCESS", "FAILURE", "CANCELED"}


def nobody_is_left_of(group: int) -> bool:
    """Whether no process of the process group is alive."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_page_shows_our_assets_its_daemon_backfills_two_days_in_one_run_and_ctrl_c_ends_all_of_it(tmp_path: Path) -> None:
    with pipeline_over(sandbox_with(vehicles=5, malformed_rate=0.1), tmp_path) as pipeline:
        # A first run makes the fleet known; the days of the backfill stay unread.
        assert pipeline.refresh(trailing(3).split(1)[0]).success
        pipeline.sandbox.counts.reset()
        port = free_port()
        page = Page(port)
        with running(*ev_sessions("ui", "--port", port), log=tmp_path / "ui.log") as ui:
            wait_until("the page shows the assets", lambda: bool(page.assets()), ui)
            assert page.assets() == {"raw_users": False, "raw_vehicles": False} | dict.fromkeys(PARTITIONED, True)

            assert page.backfill() == "LaunchBackfillSuccess"
            wait_until("the daemon has run the backfill", page.runs_are_over, ui)
            (run,) = page.runs()
            assert run["status"] == "SUCCESS"
            assert run["dagster/asset_partition_range_start"] == DAYS.first.isoformat()
            assert run["dagster/asset_partition_range_end"] == DAYS.last.isoformat()
            assert pipeline.sandbox.counts.sessions == 5

            ui.send_signal(signal.SIGINT)
            assert ui.wait(LIMIT) == 0
            wait_until("the daemon and the code server have ended too", lambda: nobody_is_left_of(ui.pid))

        truth = pipeline.sandbox.truth.totals(DAYS.first, DAYS.last, LONG_AFTER)
        for table, what in (
            ("raw.sessions", "count(*), sum(energy_charged_kwh)"),
            ("analytics.fleet_daily", "sum(sessions), sum(energy_kwh)"),
        ):
            found = pipeline.rows(f"SELECT {what} FROM {table} WHERE session_day BETWEEN ? AND ?", DAYS.first, DAYS.last)
            assert found == [(truth.rows, truth.energy_kwh)]
        ((quarantined,),) = pipeline.rows("SELECT count(*) FROM raw.quarantine WHERE first_day = ?", DAYS.first)
        assert quarantined == truth.malformed
