"""The sensor `new_vehicles`: the history of vehicles that were not yet known, or left out, when their days were read."""

from datetime import datetime

import dagster as dg
import duckdb

from ev_sessions.assets.graph import Graph
from ev_sessions.automation.background import Unread, background_sensor
from ev_sessions.automation.gaps import days_that_are_over
from ev_sessions.automation.refresh import Job, Kind
from ev_sessions.warehouse.unread import unasked_windows


def new_vehicles_sensor(graph: Graph, job: Job, *, running: bool) -> dg.SensorDefinition:
    """Runs for the vehicles that were never asked on days on which others were, behind all other work."""
    return background_sensor(
        graph,
        job,
        Kind.NEW_VEHICLES,
        lambda connection, now: never_asked(connection, graph, now),
        vehicles="new",
        every_seconds=300,
        running=running,
        description="Reads the history of a new vehicle, from its creation or the first day on, alone and behind all other work.",
    )


def never_asked(connection: duckdb.DuckDBPyConnection, graph: Graph, now: datetime) -> Unread:
    """The days on which some vehicle was due and never asked, though others were. Days that nobody was asked for are gaps."""
    over = days_that_are_over(graph, now, grace_days=0)
    if over is None:
        return Unread(())
    return Unread({day for window in unasked_windows(connection, over) for day in window.days})
