"""The sensor `gaps`: days that were never read, and days whose time to become final has passed without a late enough read."""

from datetime import datetime, timedelta

import dagster as dg
import duckdb

from ev_sessions.assets.graph import Graph
from ev_sessions.automation.background import Unread, background_sensor
from ev_sessions.automation.refresh import Job, Kind
from ev_sessions.days import ONE_DAY, DayRange, utc_today
from ev_sessions.warehouse.fleet import knows_vehicles
from ev_sessions.warehouse.unread import standing

# The daily refresh reads a day in the night after it, and once more when it can be final. It has another day for either, so
# that nothing is asked for as long as it runs.
_GRACE_DAYS = 1


def gaps_sensor(graph: Graph, job: Job, *, lookback_days: int, running: bool) -> dg.SensorDefinition:
    """Ranged runs of all vehicles over the days that the refreshes have left out."""
    return background_sensor(
        graph,
        job,
        Kind.GAPS,
        lambda connection, now: left_out(connection, graph, now, lookback_days),
        vehicles="due",
        every_seconds=300,
        running=running,
        description="Reads days that were never read, and those that were not read again when they could be final. "
        "While the daily refresh runs every night, there are none.",
    )


def left_out(connection: duckdb.DuckDBPyConnection, graph: Graph, now: datetime, lookback_days: int) -> Unread:
    """The days that are missing, or were read for the last time before they could be final, at `now` (aware)."""
    over = days_that_are_over(graph, now, grace_days=_GRACE_DAYS)
    if over is None or not knows_vehicles(connection):
        return Unread(())
    final_by_now = utc_today(now) - timedelta(days=1 + _GRACE_DAYS + lookback_days)
    return Unread(
        {
            day.session_day
            for day in standing(connection, over)
            if day.is_missing or (day.read_early and day.session_day <= final_by_now)
        }
    )


def days_that_are_over(graph: Graph, now: datetime, *, grace_days: int) -> DayRange | None:
    """All days that were over `grace_days` before `now` (aware) and are partitions; None where there are none."""
    last = utc_today(now) - ONE_DAY * (1 + grace_days)
    return DayRange(graph.first_day, last) if last >= graph.first_day else None
