"""The refresh: the job that runs the whole way, its two schedules, and how every run of it is tagged."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ev_sessions.assets.graph import Graph
from ev_sessions.days import ONE_DAY, DayRange, parse_day, utc_today
from ev_sessions.tables import DAILY_TABLES, RAW_SESSIONS

BACKGROUND_TAG = "ev_sessions/background"
"""Marks the runs that nobody waits for, and says of which kind they are."""


class Kind(StrEnum):
    """Why a run is there: who asks for it."""

    DAILY_REFRESH = "daily_refresh"
    FAILED_VEHICLES = "failed_vehicles"
    DEEP_REFRESH = "deep_refresh"
    GAPS = "gaps"
    BACKFILL = "backfill"
    NEW_VEHICLES = "new_vehicles"


# The queue and the pools obey it: what people wait for in the morning goes first, long histories last.
PRIORITIES = {
    Kind.DAILY_REFRESH: 10,
    Kind.FAILED_VEHICLES: 5,
    Kind.DEEP_REFRESH: 2,
    Kind.GAPS: 0,
    Kind.BACKFILL: -5,
    Kind.NEW_VEHICLES: -10,
}
_IN_THE_FOREGROUND = {Kind.DAILY_REFRESH, Kind.BACKFILL}

# What people call the job; the type has no public name.
Job = UnresolvedAssetJobDefinition


def refresh_job(graph: Graph, assets: Sequence[dg.AssetsDefinition], checks: Sequence[dg.AssetChecksDefinition]) -> Job:
    """The job `refresh`: `assets`, and those of their checks that belong to a refresh."""
    return dg.define_asset_job(
        graph.name("refresh"),
        selection=dg.AssetSelection.assets(*assets).without_checks() | dg.AssetSelection.checks(*checks),
        description="The whole way for the days asked for: fleet, raw sessions, derived tables, checks.",
        # A process for every step costs more than all the work of a small fleet.
        executor_def=dg.in_process_executor,
    )


def daily_refresh_schedule(graph: Graph, job: Job, *, lookback_days: int, running: bool) -> dg.ScheduleDefinition:
    """At 03:15 UTC: yesterday and the `lookback_days` before it, in one ranged run. A missed tick is caught up once."""
    return _schedule(
        graph,
        job,
        Kind.DAILY_REFRESH,
        cron="15 3 * * *",
        days=lookback_days + 1,
        running=running,
        description=f"Reads yesterday and the {lookback_days} days before it again: a session shows up only once it has ended.",
    )


def deep_refresh_schedule(graph: Graph, job: Job, *, days: int, running: bool) -> dg.ScheduleDefinition:
    """On Sundays at 04:45 UTC: the last `days` days, in one ranged run. A missed tick is caught up once."""
    return _schedule(
        graph,
        job,
        Kind.DEEP_REFRESH,
        cron="45 4 * * 0",
        days=days,
        running=running,
        description=f"Reads the last {days} days again, for cars that were plugged in for weeks and for late corrections.",
    )


def trailing_days(graph: Graph, now: datetime, days: int) -> DayRange | None:
    """The last `days` days that are over at `now` (aware), as far as they are partitions."""
    return DayRange.trailing(utc_today(now) - ONE_DAY, days).clip(graph.first_day, None)


def schedule_status(*, running: bool) -> dg.DefaultScheduleStatus:
    """Whether a schedule runs before anybody has turned it on or off."""
    return dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED


def sensor_status(*, running: bool) -> dg.DefaultSensorStatus:
    """Whether a sensor runs before anybody has turned it on or off."""
    return dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED


def daily_keys(graph: Graph) -> list[dg.AssetKey]:
    """The assets of a refresh that have days: all but the fleet."""
    return [graph.key(table) for table in (RAW_SESSIONS, *DAILY_TABLES)]


def run_tags(kind: Kind, days: DayRange) -> dict[str, str]:
    """The tags of a run of `kind` over `days`."""
    background = {} if kind in _IN_THE_FOREGROUND else {BACKGROUND_TAG: kind.value}
    return range_tags(days) | {"dagster/priority": str(PRIORITIES[kind])} | background


def range_tags(days: DayRange) -> dict[str, str]:
    """The tags that make one run of all partitions of `days`."""
    return {
        "dagster/asset_partition_range_start": days.first.isoformat(),
        "dagster/asset_partition_range_end": days.last.isoformat(),
    }


def run_days(run: dg.DagsterRun) -> DayRange | None:
    """The partitions of `run`, by its tags; None where it has none."""
    first = run.tags.get("dagster/asset_partition_range_start") or run.tags.get("dagster/partition")
    last = run.tags.get("dagster/asset_partition_range_end") or run.tags.get("dagster/partition")
    return DayRange(parse_day(first), parse_day(last)) if first and last else None


def _schedule(
    graph: Graph, job: Job, kind: Kind, *, cron: str, days: int, running: bool, description: str
) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=graph.name(kind.value),
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=schedule_status(running=running),
        description=description,
    )
    def refresh(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        wanted = trailing_days(graph, context.scheduled_execution_time, days)
        if wanted is None:
            return dg.SkipReason(f"The first day, {graph.first_day}, is not over yet, so there is nothing to read.")
        return dg.RunRequest(run_key=str(wanted), tags=run_tags(kind, wanted))

    return refresh
