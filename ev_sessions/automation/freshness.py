"""The job `freshness` and its schedule: twice a day somebody looks whether the refreshes still come."""

import dagster as dg

from ev_sessions.assets.graph import Graph
from ev_sessions.automation.refresh import schedule_status


def freshness_schedule(graph: Graph, checks: dg.AssetChecksDefinition, *, running: bool) -> dg.ScheduleDefinition:
    """At 06:15 and 18:15 UTC: `checks`, whose run fails where one of them finds that something is wrong."""
    return dg.ScheduleDefinition(
        name=graph.name("freshness"),
        job=dg.define_asset_job(
            graph.name("freshness"),
            selection=dg.AssetSelection.checks(checks),
            description="Have the last days been read, is there room for more?",
            executor_def=dg.in_process_executor,
        ),
        cron_schedule="15 6,18 * * *",
        execution_timezone="UTC",
        default_status=schedule_status(running=running),
        description="Fails, and so alerts, where yesterday or a day before is missing, or a disk is nearly full.",
    )
