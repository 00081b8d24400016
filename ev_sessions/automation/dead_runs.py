"""Runs whose process was killed: told by their lock (`ev_sessions.run_locks`), failed, and freed of what they hold.

Dagster notices a killed worker only while the code server that started it lives. After a crash of everything, and with runs of
the command line, a run would stay "started", and those behind it would wait for it.
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from ev_sessions.assets.graph import Graph
from ev_sessions.run_locks import killed_runs

_TICK_SECONDS = 30


def reap(instance: dg.DagsterInstance) -> list[str]:
    """End the runs that were killed, free what they hold in the pools, and give their ids.

    Dagster's run retries then repeat those that may be repeated.
    """
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
        killed = reap(context.instance)
        if not killed:
            return dg.SkipReason("Every unfinished run has a living process.")
        return dg.SkipReason(f"Ended {len(killed)} of the runs, whose process was killed; they are retried where they may be.")

    return dead_runs


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    if run.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, "The process that ran it was killed while it was being cancelled.")
    else:
        instance.report_run_failed(run, "The process that ran it was killed. Run it again: it goes on where it was.")
