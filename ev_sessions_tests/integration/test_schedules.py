"""The two refreshes: what they ask for, at which price, and what becomes of a tick that nobody was there to hear."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.load_target import ModuleTarget
from dagster._scheduler.scheduler import launch_scheduled_runs

from ev_sessions.automation.refresh import BACKGROUND_TAG
from ev_sessions.cli.home import prepare_home
from ev_sessions.definitions import build_defs
from ev_sessions_tests.operation import Operation, night, operating
from ev_sessions_tests.pipeline import own_setting, sandbox_with

SCHEDULES = {"daily_refresh", "deep_refresh", "freshness", "reconcile"}
SENSORS = {"failed_vehicles", "gaps", "new_vehicles"}


def requested(schedule: str, at: datetime, **environ: str) -> dg.RunRequest | str:
    """What the schedule asks for at its tick `at`, or why nothing."""
    location = build_defs(environ)
    context = dg.build_schedule_context(scheduled_execution_time=at, repository_def=location.get_repository_def())
    ticked = location.resolve_schedule_def(schedule).evaluate_tick(context)
    return ticked.run_requests[0] if ticked.run_requests else ticked.skip_message or ""


def asked_days(request: dg.RunRequest | str) -> tuple[str, str]:
    assert isinstance(request, dg.RunRequest), request
    return request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"]


def test_the_deep_refresh_reads_two_months_up_to_yesterday_in_the_background_on_sundays() -> None:
    sunday = datetime(2026, 3, 1, 4, 45, tzinfo=UTC)
    request = requested("deep_refresh", sunday)
    assert asked_days(request) == ("2025-12-29", "2026-02-28")
    assert isinstance(request, dg.RunRequest)
    assert (request.tags[BACKGROUND_TAG], request.tags["dagster/priority"]) == ("deep_refresh", "2")
    assert build_defs({}).resolve_schedule_def("deep_refresh").cron_schedule == "45 4 * * 0"
    assert sunday.strftime("%A") == "Sunday"


def test_the_deep_refresh_begins_with_the_first_day_where_that_is_later_and_skips_with_a_sentence_before_it() -> None:
    sunday = datetime(2026, 3, 1, 4, 45, tzinfo=UTC)
    assert asked_days(requested("deep_refresh", sunday, EV_SESSIONS_FIRST_DAY="2026-02-20")) == ("2026-02-20", "2026-02-28")
    assert asked_days(requested("deep_refresh", sunday, EV_SESSIONS_DEEP_LOOKBACK_DAYS="7")) == ("2026-02-22", "2026-02-28")
    told = requested("deep_refresh", sunday, EV_SESSIONS_FIRST_DAY="2026-03-01")
    assert told == "The first day, 2026-03-01, is not over yet, so there is nothing to read."


def test_the_daily_refresh_goes_before_everything_else() -> None:
    request = requested("daily_refresh", datetime(2026, 3, 1, 3, 15, tzinfo=UTC))
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/priority"] == "10"
    assert BACKGROUND_TAG not in request.tags


@pytest.mark.parametrize(("setting", "running"), [({}, False), ({"EV_SESSIONS_SCHEDULES": "on"}, True)])
def test_schedules_and_sensors_run_from_the_start_only_where_the_setting_says_so(
    setting: dict[str, str],
    running: bool,  # noqa: FBT001 - the case
) -> None:
    repository = build_defs(setting).get_repository_def()
    schedules = {each.name: each.default_status is dg.DefaultScheduleStatus.RUNNING for each in repository.schedule_defs}
    sensors = {each.name: each.default_status is dg.DefaultSensorStatus.RUNNING for each in repository.sensor_defs}
    assert schedules == dict.fromkeys(SCHEDULES, running)
    assert {name: sensors[name] for name in SENSORS} == dict.fromkeys(SENSORS, running)


def test_both_refreshes_ask_one_request_a_vehicle_and_for_the_fleet_first(tmp_path: Path) -> None:
    sandbox = sandbox_with(vehicles=3, days=31)
    with operating(sandbox, tmp_path, lookback_days="2", deep_lookback_days="20") as operation:
        operation.now = night("2025-03-30")
        vehicle_lists: list[int] = []
        for schedule in ("daily_refresh", "deep_refresh"):
            sandbox.counts.reset()
            sandbox.at_request(1, lambda: vehicle_lists.append(sandbox.counts.vehicles))
            assert operation.refresh(schedule).success
            assert (sandbox.counts.sessions, sandbox.counts.users) == (3, 1)
        # Those of three customers and the administrator, before the first request for sessions.
        assert vehicle_lists == [4, 4]


def test_with_a_key_prefix_all_names_carry_it_and_everything_works_as_without(tmp_path: Path) -> None:
    with operating(sandbox_with(vehicles=2, days=6), tmp_path) as plain:
        operation = Operation(plain.pipeline, {"lookback_days": "1"}, key_prefix=["ev"])
        repository = operation.location.get_repository_def()
        assert {each.name for each in repository.schedule_defs} == {f"ev__{name}" for name in SCHEDULES}
        assert all(each.name.startswith("ev__") for each in repository.sensor_defs)
        operation.now = night("2025-03-31")
        assert operation.refresh().success
        operation.pipeline.sandbox.counts.reset()
        assert [str(days) for days in operation.run_all("gaps")] == ["2025-03-26..2025-03-28"]
        assert operation.pipeline.sandbox.counts.sessions == 2
        operation.now = operation.now.replace(hour=6)
        assert operation.freshness().success


@contextmanager
def production(folder: Path) -> Iterator[tuple[dg.DagsterInstance, object]]:
    """The code location as a daemon loads it, with schedules on, over a history of its own."""
    home = prepare_home(folder / "dagster")
    target = ModuleTarget(module_name="ev_sessions.definitions", attribute=None, working_directory=None, location_name="ours")
    with (
        own_setting("schedules", "on"),
        own_setting("state_dir", str(folder)),
        dg.DagsterInstance.from_config(str(home)) as instance,
        create_test_daemon_workspace_context(target, instance) as workspace,
    ):
        yield instance, workspace


def test_ticks_that_were_missed_while_the_machine_was_down_are_caught_up_once(tmp_path: Path) -> None:
    logger = logging.getLogger("scheduler")
    with production(tmp_path) as (instance, workspace):

        def scheduler_at(instant: datetime) -> dict[str, tuple[str | None, str | None]]:
            """What the scheduler asks for when it looks at `instant`: the schedule, and the days."""
            before = {run.run_id for run in instance.get_runs()}
            list(launch_scheduled_runs(workspace, logger, instant, {}))  # type: ignore[arg-type]
            fresh = [run for run in instance.get_runs() if run.run_id not in before]
            found = {
                run.tags["dagster/schedule_name"]: (
                    run.tags.get("dagster/asset_partition_range_start"),
                    run.tags.get("dagster/asset_partition_range_end"),
                )
                for run in fresh
            }
            assert len(found) == len(fresh)
            return found

        tuesday = datetime(2026, 3, 3, 12, tzinfo=UTC)
        assert scheduler_at(tuesday) == {}
        three_weeks_later = tuesday + timedelta(days=20)
        assert scheduler_at(three_weeks_later) == {
            "daily_refresh": ("2026-03-08", "2026-03-22"),
            "deep_refresh": ("2026-01-19", "2026-03-21"),
            "freshness": (None, None),
            "reconcile": (None, None),
        }
        assert scheduler_at(three_weeks_later + timedelta(minutes=1)) == {}
        assert scheduler_at(three_weeks_later + timedelta(days=1)).keys() == {"daily_refresh", "freshness"}
