"""Every way in which a run can die, in a real installation: killed, cancelled, everything killed; and several runs at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import pairwise

import pytest

from ev_sessions.automation.refresh import Kind as Refresh
from ev_sessions.automation.refresh import run_tags
from ev_sessions.days import DayRange
from ev_sessions.file_locks import locked
from ev_sessions.sandbox.faults import Kind
from ev_sessions_tests.e2e.operated import Operation, Stall, operation_over
from ev_sessions_tests.pipeline import LONG_AFTER, sandbox_with, trailing
from ev_sessions_tests.processes import LIMIT, wait_until

VEHICLES = 100
WORKERS = 8
PACE = 200
STALLED_AT = 60
WINDOWS = trailing(16).split(2)
PARTITIONED = ("raw_sessions", "sessions", "daily_energy", "daily_savings", "rule_hits", "unread_vehicle_days", "fleet_daily")


@pytest.fixture(scope="module")
def operation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operation]:
    """An installation in operation, over a fleet whose API allows exactly what the setting asks for at most."""
    sandbox = sandbox_with(vehicles=VEHICLES, vehicles_per_user=25, days=16, rate_limit=PACE)
    settings = {
        "max_concurrency": str(WORKERS),
        "max_requests_per_second": str(PACE),
        "max_partitions_per_run": "2",
        # A request that fails is for the step to repeat.
        "max_attempts": "1",
    }
    with operation_over(sandbox, tmp_path_factory.mktemp("operation"), **settings) as operation, operation.started():
        yield operation


def assert_lands_the_truth(operation: Operation, days: DayRange) -> None:
    truth = operation.pipeline.sandbox.truth.totals(days.first, days.last, LONG_AFTER)
    for table, what in (
        ("raw.sessions", "count(*), sum(energy_charged_kwh)"),
        ("analytics.fleet_daily", "sum(sessions), sum(energy_kwh)"),
    ):
        found = operation.pipeline.rows(f"SELECT {what} FROM {table} WHERE session_day BETWEEN ? AND ?", days.first, days.last)
        assert found == [(truth.rows, truth.energy_kwh)]


def retry_of(operation: Operation, run_id: str) -> str:
    """The run that Dagster started to repeat the run."""

    def found() -> list[str]:
        return [run["id"] for run in operation.page.runs() if run.get("dagster/parent_run_id") == run_id]

    wait_until("the run is retried", lambda: bool(found()), operation.ui)
    return found()[0]


def assert_goes_on(operation: Operation, run_id: str, *, from_parts: int, asked_before: int) -> None:
    """Wait for the end of the run, which took over so many vehicles' answers and asked only for the rest."""
    operation.wait_for("SUCCESS", run_id)
    assert operation.told_of(run_id, "raw_sessions")["vehicles_resumed"] == from_parts
    asked = operation.pipeline.sandbox.counts.sessions - asked_before
    # What the dead run had sent may have come in after its death.
    assert VEHICLES - from_parts <= asked <= VEHICLES - from_parts + WORKERS


def test_a_worker_that_is_killed_again_and_again_is_replaced_and_only_vehicles_without_a_durable_part_are_asked(
    operation: Operation,
) -> None:
    sandbox, run_id = operation.pipeline.sandbox, operation.page.refresh(WINDOWS[0])
    resumed = 0
    for request in (STALLED_AT, STALLED_AT // 2):
        with Stall.at(sandbox, request) as stall:
            assert stall.reached.wait(LIMIT)
            os.kill(operation.worker_of(run_id), signal.SIGKILL)
            operation.wait_for("FAILURE", run_id)
            assert operation.staged_vehicles() > resumed
            resumed, asked = operation.staged_vehicles(), sandbox.counts.sessions
            run_id = retry_of(operation, run_id)
    assert_goes_on(operation, run_id, from_parts=resumed, asked_before=asked)
    assert_lands_the_truth(operation, WINDOWS[0])
    operation.assert_nothing_is_held()


def test_a_run_cancelled_in_the_middle_of_the_fetch_holds_nothing_and_the_next_goes_on_from_its_parts(
    operation: Operation,
) -> None:
    sandbox = operation.pipeline.sandbox
    with Stall.at(sandbox, STALLED_AT) as stall:
        run_id = operation.page.refresh(WINDOWS[1])
        assert stall.reached.wait(LIMIT)
        assert operation.page.cancel(run_id) == "TerminateRunSuccess"
        operation.wait_for_cancellation(run_id)
        operation.assert_nothing_is_held()
        resumed, asked = operation.staged_vehicles(), sandbox.counts.sessions
    assert resumed > STALLED_AT - 2 * WORKERS
    assert_goes_on(operation, operation.page.refresh(WINDOWS[1]), from_parts=resumed, asked_before=asked)
    assert_lands_the_truth(operation, WINDOWS[1])
    assert operation.staged_vehicles() == 0


def test_a_run_can_be_cancelled_while_it_waits_in_the_queue_or_for_the_command_line_s_turn(operation: Operation) -> None:
    with locked(operation.pipeline.state / "asking.lock"):
        waiting = operation.page.refresh(WINDOWS[2])
        wait_until(
            "it waits for its turn",
            lambda: any("waits for its turn" in line for line in operation.log_of(waiting)),
            operation.ui,
        )
        queued = operation.page.refresh(WINDOWS[3])
        operation.wait_for("QUEUED", queued)
        for run_id in (queued, waiting):
            assert operation.page.cancel(run_id) == "TerminateRunSuccess"
            operation.wait_for_cancellation(run_id)
    operation.assert_nothing_is_held()


def test_a_run_can_be_cancelled_while_it_pauses_before_another_attempt(operation: Operation) -> None:
    operation.pipeline.sandbox.fail_next(kind=Kind.USERS)
    run_id = operation.page.refresh(WINDOWS[2])
    wait_until(
        "the second attempt has begun",
        lambda: any("attempt # 2" in line for line in operation.log_of(run_id)),
        operation.ui,
    )
    assert operation.page.cancel(run_id) == "TerminateRunSuccess"
    operation.wait_for_cancellation(run_id)
    operation.assert_nothing_is_held()


def test_of_several_runs_one_asks_at_a_time_within_one_pace_and_the_daily_refresh_goes_first(operation: Operation) -> None:
    page, sandbox = operation.page, operation.pipeline.sandbox
    refused = sandbox.counts.refused_429
    backfilled = DayRange(WINDOWS[4].first, WINDOWS[5].last)
    with locked(operation.pipeline.state / "asking.lock"):
        assert page.backfill(PARTITIONED, backfilled) == "LaunchBackfillSuccess"
        running = page.refresh(WINDOWS[3])
        operation.wait_for("STARTED", running)
        wait_until("both batches are queued", lambda: len(batches(operation)) == 2, operation.ui)
        targeted = page.refresh(WINDOWS[6], run_tags(Refresh.FAILED_VEHICLES, WINDOWS[6]))
        daily = page.refresh(WINDOWS[7], run_tags(Refresh.DAILY_REFRESH, WINDOWS[7]))
        operation.wait_for("QUEUED", daily)
    wait_until("all have ended", page.runs_are_over, operation.ui)
    runs = {run["id"]: run for run in page.runs()}
    order = sorted([running, targeted, daily, *batches(operation)], key=lambda run_id: float(runs[run_id]["startTime"]))
    assert order[:3] == [running, daily, targeted]
    assert [runs[run_id]["status"] for run_id in order] == ["SUCCESS"] * 5
    for earlier, later in pairwise(order):
        assert runs[earlier]["endTime"] <= runs[later]["startTime"]
    assert sandbox.counts.refused_429 == refused
    assert_lands_the_truth(operation, DayRange(WINDOWS[3].first, WINDOWS[7].last))


def batches(operation: Operation) -> list[str]:
    """The runs of the backfill."""
    return [run["id"] for run in operation.page.runs() if "dagster/backfill" in run]


def test_after_everything_was_killed_the_dead_run_is_ended_and_retried_and_goes_on_where_it_was(operation: Operation) -> None:
    sandbox = operation.pipeline.sandbox
    with Stall.at(sandbox, STALLED_AT) as stall:
        dead = operation.page.refresh(WINDOWS[2])
        assert stall.reached.wait(LIMIT)
        operation.kill_everything()
        resumed, asked = operation.staged_vehicles(), sandbox.counts.sessions
    with operation.started():
        operation.wait_for("FAILURE", dead)
        assert any("The process that ran it was killed" in line for line in operation.log_of(dead))
        assert_goes_on(operation, retry_of(operation, dead), from_parts=resumed, asked_before=asked)
        assert_lands_the_truth(operation, WINDOWS[2])
        operation.assert_nothing_is_held()
