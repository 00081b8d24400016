"""No secret is anywhere after the full way, failures that quote it and alerts included."""

from __future__ import annotations

import base64
from pathlib import Path

from ev_sessions.automation.refresh import Kind as Refresh
from ev_sessions.automation.refresh import run_tags
from ev_sessions.sandbox import Sandbox
from ev_sessions.sandbox.faults import Kind
from ev_sessions_tests.e2e.operated import Operation, operation_over
from ev_sessions_tests.pipeline import sandbox_with, trailing
from ev_sessions_tests.processes import wait_until
from ev_sessions_tests.receiver import SECRET_PATH, receiving
from ev_sessions_tests.stored import text_of

DAYS = trailing(2)
SCHEDULED = {"dagster/schedule_name": "daily_refresh"}


def test_no_event_log_metadata_or_file_of_a_full_run_and_of_failed_ones_holds_a_secret(tmp_path: Path) -> None:
    sandbox = sandbox_with(vehicles=10)
    with receiving() as receiver:
        urls = {"alert_url": receiver.url, "heartbeat_url": receiver.url}
        with operation_over(sandbox, tmp_path, **urls) as operation, operation.started():
            for sensor in ("run_failure_alert", "heartbeat"):
                operation.page.start_sensor(sensor)
            run_of(operation, "SUCCESS")
            for kind in (Kind.USERS, Kind.TOKEN):
                sandbox.fail_next(2, kind=kind, status=401, body=" ".join(secrets_of(sandbox)).encode())
                run_of(operation, "FAILURE")
            wait_until("everybody was told", lambda: len(receiver.arrived) == 3, operation.ui)
    forbidden = [*secrets_of(sandbox), SECRET_PATH]
    assert len(forbidden) > 5
    places = {str(path): text for path in tmp_path.rglob("*") if path.is_file() for text in [text_of(path)]}
    places["alerts"] = repr([(method, body) for method, _, body in receiver.arrived])
    assert any("raw_sessions" in text for name, text in places.items() if name.endswith(".db"))
    assert [(name, secret) for name, text in places.items() for secret in forbidden if secret in text] == []


def run_of(operation: Operation, status: str) -> None:
    """Run the refresh to the end that it should come to."""
    run_id = operation.page.refresh(DAYS, run_tags(Refresh.DAILY_REFRESH, DAYS) | SCHEDULED)
    operation.wait_for(status, run_id)


def secrets_of(sandbox: Sandbox) -> list[str]:
    """Every secret of the API: the credentials in each of their forms, and all tokens."""
    pair = f"{sandbox.client_id}:{sandbox.client_secret}"
    return [sandbox.client_id, sandbox.client_secret, base64.b64encode(pair.encode()).decode(), *sandbox.tokens.issued]
