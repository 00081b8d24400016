"""Killed runs are ended, freed of what they hold, and told; living ones, and those that ended by themselves, are left alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from ev_sessions.automation.dead_runs import reap
from ev_sessions.cli.home import prepare_home, recorded_runs
from ev_sessions.definitions import build_defs
from ev_sessions.file_locks import is_held
from ev_sessions.run_locks import alive
from ev_sessions.sandbox.faults import Kind
from ev_sessions_tests.pipeline import Pipeline, trailing

Status = dg.DagsterRunStatus


@dg.job
def work() -> None:
    """Nothing."""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with recorded_runs(tmp_path / "dagster") as instance:
        yield instance


def killed_run(instance: dg.DagsterInstance, status: Status = Status.STARTED) -> str:
    """A run that the history takes for unfinished, whose lock nobody holds."""
    run = instance.create_run_for_job(work, status=status)
    with alive(Path(instance.root_directory), "another"):
        (Path(instance.root_directory) / "alive" / f"{run.run_id}.lock").touch()
    return run.run_id


def state(instance: dg.DagsterInstance, run_id: str) -> Status:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_killed_run_is_failed_once_with_what_to_do(instance: dg.DagsterInstance) -> None:
    run_id = killed_run(instance)
    assert reap(instance) == [run_id]
    assert state(instance, run_id) is Status.FAILURE
    (message,) = [
        entry.dagster_event.message
        for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        if entry.dagster_event
    ]
    assert message == "The process that ran it was killed. A run of the same days goes on where it was."
    assert reap(instance) == []


def test_a_killed_run_is_retried_by_the_daemon_s_run_retries(instance: dg.DagsterInstance) -> None:
    run_id = killed_run(instance)
    reap(instance)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.tags["dagster/will_retry"] == "true"


def test_a_run_killed_while_it_was_cancelled_counts_as_cancelled_and_is_not_retried(
    instance: dg.DagsterInstance,
) -> None:
    run_id = killed_run(instance, Status.CANCELING)
    assert reap(instance) == [run_id]
    assert state(instance, run_id) is Status.CANCELED


def test_a_run_that_had_ended_before_it_was_killed_stays_as_it_is(instance: dg.DagsterInstance) -> None:
    run_id = killed_run(instance, Status.SUCCESS)
    assert reap(instance) == []
    assert state(instance, run_id) is Status.SUCCESS
    assert list((Path(instance.root_directory) / "alive").glob("*.lock")) == []


def test_a_killed_run_gives_back_its_places_in_the_pools_at_once(instance: dg.DagsterInstance) -> None:
    run_id = killed_run(instance)
    pools = instance.event_log_storage
    pools.set_concurrency_slots("pool", 1)
    assert pools.claim_concurrency_slot("pool", run_id, "step").is_claimed
    reap(instance)
    assert pools.get_concurrency_info("pool").active_slot_count == 0


def started_long_ago(instance: dg.DagsterInstance, status: Status = Status.STARTED) -> str:
    """A run that began ten minutes ago, and of which nothing was heard since."""
    run = instance.create_run_for_job(work, status=status)
    with closing(sqlite3.connect(Path(instance.root_directory) / "history" / "runs.db")) as history, history:
        history.execute("UPDATE runs SET update_timestamp = datetime('now', '-10 minutes') WHERE run_id = ?", [run.run_id])
    return run.run_id


def test_a_run_that_was_killed_before_it_had_its_lock_is_ended_once_it_has_stood_still(instance: dg.DagsterInstance) -> None:
    just_begun = instance.create_run_for_job(work, status=Status.STARTED).run_id
    stuck = started_long_ago(instance)
    assert reap(instance) == [stuck]
    assert state(instance, stuck) is Status.FAILURE
    assert state(instance, just_begun) is Status.STARTED


def test_a_command_that_was_killed_before_it_started_its_run_leaves_none_for_ever(instance: dg.DagsterInstance) -> None:
    stuck = started_long_ago(instance, Status.NOT_STARTED)
    assert reap(instance, "a location") == []
    assert reap(instance) == [stuck]
    assert state(instance, stuck) is Status.FAILURE


def test_a_run_of_another_code_location_and_one_that_has_begun_its_steps_are_not_judged_by_standing_still(
    instance: dg.DagsterInstance,
) -> None:
    stuck = started_long_ago(instance)
    assert reap(instance, "another location") == []
    instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.STEP_START.value, "work"), stuck)
    assert reap(instance) == []
    assert state(instance, stuck) is Status.STARTED


def test_a_lock_of_a_run_that_the_history_does_not_know_is_forgotten(instance: dg.DagsterInstance) -> None:
    run_id = killed_run(instance)
    instance.delete_run(run_id)
    assert reap(instance) == []


def test_every_run_holds_its_lock_from_the_first_step_on_and_leaves_none_behind(pipeline: Pipeline) -> None:
    held: list[bool] = []
    folder = Path(pipeline.instance.root_directory) / "alive"
    pipeline.sandbox.at_request(1, lambda: held.extend(is_held(file) for file in folder.glob("*.lock")), kind=Kind.USERS)
    assert pipeline.refresh(trailing(1)).success
    assert held == [True]
    assert list(folder.glob("*.lock")) == []


def test_a_run_that_lives_is_left_alone(pipeline: Pipeline) -> None:
    reaped: list[list[str]] = []
    pipeline.sandbox.at_request(1, lambda: reaped.append(reap(pipeline.instance)))
    assert pipeline.refresh(trailing(1)).success
    assert reaped == [[]]


def test_the_sensor_runs_from_the_start_and_says_what_it_did(instance: dg.DagsterInstance) -> None:
    location = build_defs({})
    sensor = location.resolve_sensor_def("dead_runs")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert said_by(sensor, instance) == "Every unfinished run has a living process."
    run_id = killed_run(instance)
    assert said_by(sensor, instance) == "Ended 1 of the runs, whose process was killed; they are retried where they may be."
    assert state(instance, run_id) is Status.FAILURE


def said_by(sensor: dg.SensorDefinition, instance: dg.DagsterInstance) -> str | None:
    with dg.build_sensor_context(instance=instance) as context:
        return sensor.evaluate_tick(context).skip_message


def test_instance_settings_are_written_once_and_then_belong_to_their_owner(tmp_path: Path) -> None:
    settings = prepare_home(tmp_path / "dagster") / "dagster.yaml"
    settings.write_text(settings.read_text() + "# mine\n")
    assert prepare_home(tmp_path / "dagster") / "dagster.yaml" == settings
    assert settings.read_text().endswith("# mine\n")
