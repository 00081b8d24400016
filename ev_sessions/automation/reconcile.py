"""The job `reconcile` and its schedule: once a week a sample of our sums is compared with the API's own."""

import dagster as dg

from ev_sessions.assets.graph import Graph
from ev_sessions.automation.refresh import schedule_status

# Behind all that reads sessions, before backfills and new vehicles.
_TAGS = {"dagster/priority": "-2"}


def reconcile_schedule(
    graph: Graph, asset: dg.AssetsDefinition, checks: dg.AssetChecksDefinition, *, running: bool
) -> dg.ScheduleDefinition:
    """On Mondays at 05:45 UTC: `asset`, which asks, and its `checks`, which judge."""
    return dg.ScheduleDefinition(
        name=graph.name("reconcile"),
        job=dg.define_asset_job(
            graph.name("reconcile"),
            selection=dg.AssetSelection.assets(asset).without_checks() | dg.AssetSelection.checks(checks),
            description="Do our sums agree with the API's own, of the organisation and of the vehicles whose turn it is?",
            tags=_TAGS,
            executor_def=dg.in_process_executor,
        ),
        cron_schedule="45 5 * * 1",
        execution_timezone="UTC",
        default_status=schedule_status(running=running),
        description="Asks the API for its own sums, within RECONCILE_REQUESTS, and compares them with ours.",
    )
