"""The sensor `failed_vehicles`: asks again for single vehicles that failed, with growing pauses, up to a limit."""

from datetime import date, datetime

import dagster as dg
import duckdb

from ev_sessions.assets.graph import Graph
from ev_sessions.automation.background import Unread, background_sensor
from ev_sessions.automation.refresh import Job, Kind
from ev_sessions.days import DayRange
from ev_sessions.warehouse.unread import MOST_ATTEMPTS, failed_windows


def failed_vehicles_sensor(graph: Graph, job: Job, *, running: bool) -> dg.SensorDefinition:
    """One run for exactly the vehicles and days that failed and may be asked again by now."""
    return background_sensor(
        graph,
        job,
        Kind.FAILED_VEHICLES,
        lambda connection, now: failed_and_due(connection, graph, now),
        vehicles="failed",
        every_seconds=60,
        running=running,
        description="Asks again for vehicles that could not be read: 15 minutes after the first failure, then after 1, 4 and 16 "
        f"hours. After {MOST_ATTEMPTS} failures the check vehicles_still_failed tells them.",
    )


def failed_and_due(connection: duckdb.DuckDBPyConnection, graph: Graph, now: datetime) -> Unread:
    """The days on which some vehicle failed and may be asked again at `now` (aware)."""
    windows = failed_windows(connection)
    due = [window for window in windows if window.is_due(now)]
    later = [window.due_at for window in windows if window.due_at is not None and window.due_at > now]
    newest = max((window.failed_at for window in due), default=None)
    return Unread(
        days={day for window in due for day in _partitions(graph, window.days)},
        next_due=min(later, default=None),
        # A run that ends before it has asked anybody is repeated the next day, one that has failed again after its pause.
        reason=f"#{newest:%Y-%m-%dT%H:%M:%S}" if newest else "",
    )


def _partitions(graph: Graph, days: DayRange) -> list[date]:
    return list(days.clip(graph.first_day, None) or ())
