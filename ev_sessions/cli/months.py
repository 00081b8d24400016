"""Sums the months up that runs of this process touched: who has no daemon finds them up to date too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import dagster as dg

from ev_sessions.assets.failures import NEVER_AGAIN
from ev_sessions.assets.graph import Graph
from ev_sessions.assets.monthly import month_partitions
from ev_sessions.automation.refresh import range_tags
from ev_sessions.days import DayRange, islands, parse_day
from ev_sessions.definitions import build_defs
from ev_sessions.settings import Settings
from ev_sessions.tables import MONTHLY_SAVINGS
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.monthly import pending_months


def month_runs(
    environ: Mapping[str, str], instance: dg.DagsterInstance, run_config: Mapping[str, object]
) -> Iterable[dg.ExecuteInProcessResult]:
    """Run `monthly_savings` for every touched month, consecutive months in one run; gives each run as it ends.

    Raises:
        DatabaseMissing, DatabaseLocked: the database cannot be read.
    """
    settings = Settings.from_env(environ)
    graph = Graph.daily(first_day=settings.first_day, days_per_run=settings.max_partitions_per_run)
    job = build_defs(environ).resolve_implicit_global_asset_job_def()
    with Database(settings.database_path, settings.lock_timeout_seconds).reading() as connection:
        partitions = month_partitions(graph, pending_months(connection))
    for months in _ranges(partitions):
        yield job.execute_in_process(
            instance=instance,
            asset_selection=[graph.key(MONTHLY_SAVINGS)],
            tags=range_tags(months) | NEVER_AGAIN,
            run_config=run_config,
            raise_on_error=False,
        )


def _ranges(partitions: Iterable[str]) -> list[DayRange]:
    """Consecutive months, each range from the first day of the first to the first day of the last."""
    whole = islands(map(DayRange.month, map(parse_day, partitions)))
    return [DayRange(months.first, months.last.replace(day=1)) for months in whole]
