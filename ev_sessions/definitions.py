"""The code location. `build_defs` wires the one graph that production, the command line and the tests share."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from ev_sessions.assets.derived import derived_assets
from ev_sessions.assets.fleet import fleet_assets
from ev_sessions.assets.graph import Graph
from ev_sessions.assets.raw_sessions import ProgressReport, raw_sessions_asset
from ev_sessions.automation.dead_runs import dead_runs_sensor
from ev_sessions.automation.refresh import daily_refresh_schedule
from ev_sessions.checks.sessions import session_checks
from ev_sessions.resources import Clock, PartnerApiResource, StageResource, WarehouseResource
from ev_sessions.settings import Settings


def build_defs(
    environ: Mapping[str, str] | None = None,
    *,
    key_prefix: Sequence[str] = (),
    resources: Mapping[str, Any] | None = None,
) -> dg.Definitions:
    """All assets, checks, jobs, schedules and resources, configured by `environ` (None: this process's environment).

    To stand beside the assets of another code location, give a `key_prefix` (asset keys, ops, jobs and schedules carry it)
    and merge: `dg.Definitions.merge(yours, build_defs(key_prefix=["ev"]))`. `resources` replaces any of `partner_api`,
    `session_stage`, `session_warehouse`, `progress` and `clock`. No executor is set for the location: the jobs bring theirs.

    Raises:
        SettingsError: a setting is malformed. Settings that only a call to the API needs may be missing.
    """
    environ = os.environ if environ is None else environ
    settings = Settings.from_env(environ)
    graph = Graph.daily(first_day=settings.first_day, days_per_run=settings.max_partitions_per_run, key_prefix=tuple(key_prefix))
    with warnings.catch_warnings():
        # Backfill policies are in beta and chosen knowingly: nobody who runs a backfill needs to hear of it.
        warnings.simplefilter("ignore", dg.BetaWarning)
        assets = [*fleet_assets(graph), raw_sessions_asset(graph), derived_assets(graph)]
    return dg.Definitions(
        assets=assets,
        asset_checks=[session_checks(graph, lookback_days=settings.lookback_days)],
        schedules=[daily_refresh_schedule(graph, assets, lookback_days=settings.lookback_days)],
        sensors=[dead_runs_sensor(graph)],
        resources={
            "partner_api": PartnerApiResource.from_settings(settings, environ),
            "session_stage": StageResource.from_settings(settings),
            "session_warehouse": WarehouseResource.from_settings(settings),
            "progress": ProgressReport(),
            "clock": Clock(),
        }
        | dict(resources or {}),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location as Dagster loads it: the graph, with every run in one process."""
    return dg.Definitions.merge(build_defs(), dg.Definitions(executor=dg.in_process_executor))
