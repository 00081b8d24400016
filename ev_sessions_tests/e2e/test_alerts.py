"""The alert in a real daemon: a run that it launched and that failed is told; one of the command line is not."""

from __future__ import annotations

import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from ev_sessions.days import ONE_DAY, DayRange, utc_today
from ev_sessions_tests.e2e.test_sensors import FRESHNESS, LAUNCH
from ev_sessions_tests.pipeline import own_setting, pipeline_over, sandbox_with
from ev_sessions_tests.processes import LIMIT, ev_sessions, free_port, graphql, running, wait_until
from ev_sessions_tests.receiver import receiving

SENSOR = {
    "repositoryLocationName": "ev_sessions.definitions",
    "repositoryName": "__repository__",
    "sensorName": "run_failure_alert",
}
TICKS = """
query ticks($of: SensorSelector!) {
  sensorOrError(sensorSelector: $of) { ... on Sensor { sensorState { ticks(limit: 1) { status } } } }
}
"""


def has_looked(port: int) -> bool:
    """Whether the alert has ticked, so that it tells of what fails from now on."""
    found = (graphql(port, TICKS, {"of": SENSOR}) or {}).get("sensorOrError") or {}
    return any(tick["status"] == "SKIPPED" for tick in found.get("sensorState", {}).get("ticks", []))


def test_a_failed_run_of_the_daemon_is_told_and_one_of_the_command_line_is_not(tmp_path: Path) -> None:
    port = free_port()
    yesterday = utc_today(datetime.now(UTC)) - ONE_DAY
    with (
        receiving() as receiver,
        pipeline_over(sandbox_with(vehicles=2, days=1, end=yesterday, now=None), tmp_path) as pipeline,
        own_setting("schedules", "on"),
        own_setting("alert_url", receiver.url),
        own_setting("ui_url", f"http://127.0.0.1:{port}"),
        own_setting("min_free_gb", "1e9"),
    ):
        assert pipeline.refresh(DayRange(yesterday, yesterday)).success
        with running(*ev_sessions("ui", "--port", port), log=tmp_path / "ui.log") as ui:
            wait_until("the alert has looked once", lambda: has_looked(port), ui)
            with own_setting("client_secret", "wrong"):
                wrong = subprocess.run(ev_sessions("run", "--from", yesterday, "--to", yesterday), check=False)
                assert wrong.returncode == 1
            launched = (graphql(port, LAUNCH, {"of": FRESHNESS}) or {})["launchRun"]
            assert launched["__typename"] == "LaunchRunSuccess", launched
            wait_until("a message has arrived", lambda: bool(receiver.texts), ui)
            ui.send_signal(signal.SIGINT)
            assert ui.wait(LIMIT) == 0
    (text,) = receiver.texts
    assert text.startswith("freshness failed: ")
    assert "GB are free on the disk of" in text
    assert f"http://127.0.0.1:{port}/runs/" in text
    assert "It is not tried again by itself." in text
