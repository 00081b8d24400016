"""The refresh: the job that runs the whole way, and the schedule that asks for the trailing days every night."""

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from ev_sessions.assets.graph import Graph
from ev_sessions.days import ONE_DAY, DayRange, utc_today


def daily_refresh_schedule(graph: Graph, assets: Sequence[dg.AssetsDefinition], *, lookback_days: int) -> dg.ScheduleDefinition:
    """The job `refresh` over `assets`, and the schedule that runs it: at 03:15 UTC, for yesterday and the days before it.

    The schedule asks for one ranged run of `lookback_days` + 1 days.
    """
    job = dg.define_asset_job(
        graph.name("refresh"),
        selection=dg.AssetSelection.assets(*assets),
        description="The whole way for the days asked for: fleet, raw sessions, derived tables, checks.",
        # A process for every step costs more than all the work of a small fleet.
        executor_def=dg.in_process_executor,
    )

    @dg.schedule(
        name=graph.name("daily_refresh"),
        job=job,
        cron_schedule="15 3 * * *",
        execution_timezone="UTC",
        description=f"Reads yesterday and the {lookback_days} days before it again: a session shows up only once it has ended.",
    )
    def daily_refresh(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        days = trailing_days(graph, context.scheduled_execution_time, lookback_days)
        if days is None:
            return dg.SkipReason(f"The first day, {graph.first_day}, is not over yet, so there is nothing to read.")
        return dg.RunRequest(run_key=str(days), tags=range_tags(days))

    return daily_refresh


def trailing_days(graph: Graph, now: datetime, lookback_days: int) -> DayRange | None:
    """The days that a refresh at `now` (aware) reads: yesterday and the `lookback_days` before it, as far as they exist."""
    return DayRange.trailing(utc_today(now) - ONE_DAY, lookback_days + 1).clip(graph.first_day, None)


def range_tags(days: DayRange) -> dict[str, str]:
    """The tags that make one run of all partitions of `days`."""
    return {
        "dagster/asset_partition_range_start": days.first.isoformat(),
        "dagster/asset_partition_range_end": days.last.isoformat(),
    }
