"""`ev-sessions ui` for real: Dagster's page, its code server and its daemon, which backfills two days."""

from __future__ import annotations

import signal
from pathlib import Path

from ev_sessions_tests.e2e.operated import Page, nobody_is_left_of
from ev_sessions_tests.pipeline import LONG_AFTER, pipeline_over, sandbox_with, trailing
from ev_sessions_tests.processes import LIMIT, ev_sessions, free_port, running, wait_until

DAYS = trailing(2)
PARTITIONED = ("raw_sessions", "sessions", "daily_energy", "daily_savings", "rule_hits", "unread_vehicle_days", "fleet_daily")


def test_the_page_shows_our_assets_its_daemon_backfills_two_days_in_one_run_and_ctrl_c_ends_all_of_it(tmp_path: Path) -> None:
    with pipeline_over(sandbox_with(vehicles=5, malformed_rate=0.1), tmp_path) as pipeline:
        # A first run makes the fleet known; the days of the backfill stay unread.
        assert pipeline.refresh(trailing(3).split(1)[0]).success
        pipeline.sandbox.counts.reset()
        port = free_port()
        page = Page(port)
        with running(*ev_sessions("ui", "--port", port), log=tmp_path / "ui.log") as ui:
            wait_until("the page shows the assets", lambda: bool(page.assets()), ui)
            assert page.assets() == dict.fromkeys(("raw_users", "raw_vehicles", "raw_reconciliations"), False) | dict.fromkeys(
                (*PARTITIONED, "touched_months", "monthly_savings"), True
            )

            assert page.backfill(PARTITIONED, DAYS) == "LaunchBackfillSuccess"
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
        ((quarantined,),) = pipeline.rows("SELECT count(*) FROM raw.quarantine WHERE first_day >= ?", DAYS.first)
        assert quarantined == truth.malformed
