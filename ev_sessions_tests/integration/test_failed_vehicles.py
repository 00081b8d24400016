"""Vehicles that could not be read: asked again alone, with growing pauses, up to a limit, and then told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from dagster._core.test_utils import create_run_for_test

from ev_sessions.automation.refresh import BACKGROUND_TAG, Kind, run_tags
from ev_sessions.days import DayRange
from ev_sessions.sandbox.faults import Quirks
from ev_sessions_tests.operation import Operation, days_of, later, night, operating, vehicle_of
from ev_sessions_tests.pipeline import failures, findings, sandbox_with, told_of_run

# A status that asking again at once does not change, so that a failure takes one request and no pause.
ILL = Quirks(status=418)
SENSORS = ("failed_vehicles", "gaps", "new_vehicles")


@pytest.fixture
def operation(tmp_path: Path) -> Iterator[Operation]:
    """Two vehicles, at the hour of the daily refresh, which looks back for two days."""
    sandbox = sandbox_with(vehicles=2, days=10, now=night("2025-03-28"))
    with operating(sandbox, tmp_path, lookback_days="2") as operation:
        yield operation


def test_a_vehicle_that_failed_is_asked_again_after_a_quarter_of_an_hour_alone_and_then_no_more(operation: Operation) -> None:
    sandbox, ill = operation.pipeline.sandbox, vehicle_of(operation)
    sandbox.quirks[ill] = ILL
    refreshed = operation.refresh()
    assert refreshed.success
    assert told_of_run(refreshed, "raw_sessions")["vehicles_failed"] == 1

    operation.now += later(minutes=14)
    assert operation.tick("failed_vehicles") == ([], "Nothing is due yet; the next is at 2025-03-28 03:30 UTC.")

    operation.now += later(minutes=1)
    (request,), _ = operation.tick("failed_vehicles")
    assert str(days_of(request)) == "2025-03-25..2025-03-27"
    assert request.tags["dagster/priority"] == "5"
    assert request.tags[BACKGROUND_TAG] == "failed_vehicles"
    assert str(ill) not in f"{request.run_key} {request.tags} {request.run_config}"

    del sandbox.quirks[ill]
    sandbox.counts.reset()
    again = operation.run(request)
    assert again.success
    assert (sandbox.counts.sessions, sandbox.counts.users, sandbox.counts.vehicles) == (1, 0, 0)
    assert findings(again)["every_vehicle_read"]

    operation.now += later(days=5)
    assert operation.tick("failed_vehicles") == ([], "Nothing is unread.")


def test_a_vehicle_that_always_fails_is_asked_after_growing_pauses_and_after_five_failures_told_instead(
    operation: Operation,
) -> None:
    operation.pipeline.sandbox.quirks[vehicle_of(operation)] = ILL
    operation.refresh()
    assert findings(operation.freshness())["vehicles_still_failed"]
    for pause in (later(minutes=15), later(hours=1), later(hours=4), later(hours=16)):
        operation.now += pause - later(minutes=1)
        assert operation.tick("failed_vehicles")[0] == []
        operation.now += later(minutes=1)
        (request,), _ = operation.tick("failed_vehicles")
        failed_again = operation.run(request)
        assert failed_again.success, failures(failed_again)
        assert told_of_run(failed_again, "raw_sessions")["vehicles_failed"] == 1

    operation.now += later(days=1)
    assert operation.tick("failed_vehicles") == ([], "Nothing is unread.")
    told = operation.freshness()
    assert not findings(told)["vehicles_still_failed"]
    (check,) = [each for each in told.get_asset_check_evaluations() if each.check_name == "vehicles_still_failed"]
    assert check.metadata["days"].value == ["2025-03-25", "2025-03-26", "2025-03-27"]
    assert "1 vehicles failed 5 times" in (check.description or "")
    assert str(vehicle_of(operation)) not in str(check)


def test_every_refresh_asks_a_given_up_vehicle_all_the_same_and_its_answer_ends_the_matter(tmp_path: Path) -> None:
    with operating(sandbox_with(vehicles=2, days=10), tmp_path, lookback_days="4") as operation:
        sandbox, ill = operation.pipeline.sandbox, vehicle_of(operation)
        sandbox.quirks[ill] = ILL
        for day in range(24, 29):
            operation.now = night(f"2025-03-{day}")
            operation.refresh()
        operation.now += later(hours=20)
        assert operation.tick("failed_vehicles")[0] == []
        assert not findings(operation.freshness())["vehicles_still_failed"]

        del sandbox.quirks[ill]
        assert operation.refresh("deep_refresh").success
        assert findings(operation.freshness())["vehicles_still_failed"]


def test_a_run_that_comes_when_somebody_else_has_read_the_vehicles_ends_well_without_a_request(operation: Operation) -> None:
    sandbox, ill = operation.pipeline.sandbox, vehicle_of(operation)
    sandbox.quirks[ill] = ILL
    operation.refresh()
    operation.now += later(minutes=15)
    (request,), _ = operation.tick("failed_vehicles")
    del sandbox.quirks[ill]
    operation.refresh()
    sandbox.counts.reset()
    late = operation.run(request)
    assert late.success, failures(late)
    assert sandbox.counts.total == 0


def test_days_that_left_the_lookback_before_the_vehicle_answered_are_asked_for_alone(operation: Operation) -> None:
    sandbox, ill = operation.pipeline.sandbox, vehicle_of(operation)
    sandbox.quirks[ill] = ILL
    operation.refresh()
    del sandbox.quirks[ill]
    operation.now += later(days=1)
    operation.refresh()
    assert [str(days) for days in operation.asked_by("failed_vehicles")] == ["2025-03-25..2025-03-25"]


def test_while_a_run_writes_the_sensor_skips_with_a_sentence_and_looks_again(operation: Operation) -> None:
    operation.pipeline.sandbox.quirks[vehicle_of(operation)] = ILL
    operation.refresh()
    operation.now += later(minutes=15)
    with duckdb.connect(operation.pipeline.state / "ev_sessions.duckdb"):
        told = operation.tick("failed_vehicles")
    assert told == ([], "A run is writing to the database; the next tick looks again.")
    assert len(operation.tick("failed_vehicles")[0]) == 1


def test_before_the_first_run_and_while_the_database_does_not_change_a_sensor_does_not_even_open_it(operation: Operation) -> None:
    for sensor in SENSORS:
        assert operation.tick(sensor) == ([], "There is no database yet; the first refresh makes it.")
    operation.refresh()
    for sensor in SENSORS:
        operation.run_all(sensor)
    for sensor in SENSORS:
        operation.tick(sensor)
    with duckdb.connect(operation.pipeline.state / "ev_sessions.duckdb"):
        for sensor in SENSORS:
            told = operation.tick(sensor)
            assert told == ([], "The database has not changed since the last look, and nothing has become due.")


def test_while_a_refresh_of_the_same_days_runs_nothing_is_asked_for_and_once_it_has_failed_everything(
    operation: Operation,
) -> None:
    instance = operation.pipeline.instance
    operation.pipeline.sandbox.quirks[vehicle_of(operation)] = ILL
    operation.refresh()
    operation.now += later(minutes=15)
    tags = run_tags(Kind.DAILY_REFRESH, DayRange(date(2025, 3, 20), date(2025, 3, 27)))
    refresh = create_run_for_test(instance, job_name="refresh", tags=tags, status=dg.DagsterRunStatus.STARTED)
    waiting = "3 days wait: runs under way read them, or they were asked for today already."
    assert operation.tick("failed_vehicles") == ([], waiting)
    assert operation.tick("failed_vehicles") == ([], waiting)
    instance.report_run_failed(refresh, "its process was killed")
    assert [str(days) for days in operation.asked_by("failed_vehicles")] == ["2025-03-25..2025-03-27"]


def test_what_is_asked_for_twice_without_any_change_is_asked_for_again_only_the_next_day(operation: Operation) -> None:
    operation.pipeline.sandbox.quirks[vehicle_of(operation)] = ILL
    operation.refresh()
    operation.now += later(minutes=15)
    assert len(operation.tick("failed_vehicles")[0]) == 1
    operation.now += later(hours=3)
    asked, told = operation.tick("failed_vehicles")
    assert not asked
    assert told.endswith(("or were asked for today already.", "nothing has become due."))
    operation.now = datetime.combine(operation.now.date(), night("2025-03-28").timetz()) + later(days=1)
    assert len(operation.tick("failed_vehicles")[0]) == 1
