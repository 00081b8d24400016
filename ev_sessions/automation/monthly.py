"""The sensor that has the touched months summed up again: it evaluates the automation condition of `monthly_savings`."""

import dagster as dg

from ev_sessions.assets.graph import Graph
from ev_sessions.tables import MONTHLY_SAVINGS


def monthly_refresh_sensor(graph: Graph, *, running: bool) -> dg.AutomationConditionSensorDefinition:
    """Requests the months of `monthly_savings` that were touched; `running`: whether it does so from the start."""
    return dg.AutomationConditionSensorDefinition(
        graph.name("monthly_refresh"),
        target=dg.AssetSelection.assets(graph.key(MONTHLY_SAVINGS)),
        default_status=dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED,
        description="Has each month summed up again whose sessions or finality a refresh changed, however old, and no other.",
    )
