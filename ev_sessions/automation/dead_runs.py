"""Runs whose process was killed: told by their lock (`ev_sessions.run_locks`), failed, and freed of what they hold.

Dagster notices a killed worker only while the code server that started it lives. After a crash of everything, and with runs of
the command line, a run would stay "started", and those behind it would wait for it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from ev_sessions.assets.graph import Graph
from ev_sessions.automation.origin import location_of
from ev_sessions.run_locks import has_lock, killed_runs

_TICK_SECONDS = 30

# A run takes its lock before its first step, within a second of its start.
_LONGEST_WITHOUT_LOCK = timedelta(minutes=5)


def reap(instance: dg.DagsterInstance, location: str | None = None) -> list[str]:
    """End the runs that were killed, free what they hold in the pools, and give their ids.

    Dagster's run retries then repeat those that may be repeated. Runs that were killed before they had a lock are told by
    their standing still; only those launched from the code location `location` are judged so (None: from a command line).
    """
    stuck = _stuck_before_their_lock(instance, location)
    for run in stuck:
        _end(instance, run)
    return [run.run_id for run in stuck] + _reap_by_locks(instance)


def _reap_by_locks(instance: dg.DagsterInstance) -> list[str]:
    with killed_runs(Path(instance.root_directory)) as killed:
        unfinished = [run for run_id in killed if (run := instance.get_run_by_id(run_id)) and not run.is_finished]
        for run in unfinished:
            _end(instance, run)
        for run_id in killed:
            instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    return [run.run_id for run in unfinished]


def dead_runs_sensor(graph: Graph) -> dg.SensorDefinition:
    """The sensor `dead_runs`, which runs from the start: it only ends what has ended already."""

    @dg.sensor(
        name=graph.name("dead_runs"),
        minimum_interval_seconds=_TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ends the runs whose process was killed, so that they are retried and no other run waits for them.",
    )
    def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        origin = context.code_location_origin
        killed = reap(context.instance, origin.location_name if origin else None)
        if not killed:
            return dg.SkipReason("Every unfinished run has a living process.")
        return dg.SkipReason(f"Ended {len(killed)} of the runs, whose process was killed; they are retried where they may be.")

    return dead_runs


def _stuck_before_their_lock(instance: dg.DagsterInstance, location: str | None) -> list[dg.DagsterRun]:
    statuses = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    if location is None:
        # A command makes a run and starts it at once; those of a code location wait for Dagster.
        statuses.append(dg.DagsterRunStatus.NOT_STARTED)
    wanted = dg.RunsFilter(
        statuses=statuses,
        updated_before=datetime.now(UTC) - _LONGEST_WITHOUT_LOCK,
    )
    home = Path(instance.root_directory)
    return [
        run
        for run in instance.get_runs(wanted)
        if location_of(run) == location
        and not has_lock(home, run.run_id)
        and not instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_START, limit=1).records
    ]


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    if run.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, "The process that ran it was killed while it was being cancelled.")
    else:
        instance.report_run_failed(run, "The process that ran it was killed. A run of the same days goes on where it was.")
