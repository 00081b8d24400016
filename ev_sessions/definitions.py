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
from ev_sessions.assets.monthly import monthly_savings_asset, touched_months_spec
from ev_sessions.assets.raw_sessions import ProgressReport, raw_sessions_asset
from ev_sessions.assets.reconciliations import reconciliations_asset
from ev_sessions.automation.alerts import heartbeat_sensor, run_failure_alert_sensor
from ev_sessions.automation.dead_runs import dead_runs_sensor
from ev_sessions.automation.failed_vehicles import failed_vehicles_sensor
from ev_sessions.automation.freshness import freshness_schedule
from ev_sessions.automation.gaps import gaps_sensor
from ev_sessions.automation.monthly import monthly_refresh_sensor
from ev_sessions.automation.new_vehicles import new_vehicles_sensor
from ev_sessions.automation.reconcile import reconcile_schedule
from ev_sessions.automation.refresh import daily_refresh_schedule, deep_refresh_schedule, refresh_job
from ev_sessions.checks.freshness import freshness_checks
from ev_sessions.checks.quality import quality_checks
from ev_sessions.checks.reconciliation import reconciliation_checks
from ev_sessions.checks.sessions import session_checks
from ev_sessions.resources import AlertsResource, Clock, PartnerApiResource, StageResource, WarehouseResource
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
    `session_stage`, `session_warehouse`, `session_alerts`, `progress` and `clock`. No executor is set for the location: the
    jobs bring theirs.

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
        monthly = monthly_savings_asset(graph)
    of_raw_sessions = session_checks(graph, lookback_days=settings.lookback_days)
    of_sessions = quality_checks(graph, lookback_days=settings.lookback_days)
    reconciliations = reconciliations_asset(graph, budget=settings.reconcile_requests)
    of_reconciliations = reconciliation_checks(graph)
    of_freshness = freshness_checks(graph, folders=settings.folders, min_free_gb=settings.min_free_gb)
    job, running = refresh_job(graph, assets, [of_raw_sessions, of_sessions]), settings.schedules
    return dg.Definitions(
        assets=[*assets, touched_months_spec(graph), monthly, reconciliations],
        asset_checks=[of_raw_sessions, of_sessions, of_freshness, of_reconciliations],
        schedules=[
            daily_refresh_schedule(graph, job, lookback_days=settings.lookback_days, running=running),
            deep_refresh_schedule(graph, job, days=settings.deep_lookback_days, running=running),
            freshness_schedule(graph, of_freshness, running=running),
            reconcile_schedule(graph, reconciliations, of_reconciliations, running=running),
        ],
        sensors=[
            failed_vehicles_sensor(graph, job, running=running),
            gaps_sensor(graph, job, lookback_days=settings.lookback_days, running=running),
            new_vehicles_sensor(graph, job, running=running),
            dead_runs_sensor(graph),
            run_failure_alert_sensor(graph, running=running),
            heartbeat_sensor(graph, running=running),
            monthly_refresh_sensor(graph, running=running),
        ],
        resources={
            "partner_api": PartnerApiResource.from_settings(settings, environ),
            "session_stage": StageResource.from_settings(settings),
            "session_warehouse": WarehouseResource.from_settings(settings),
            "session_alerts": AlertsResource.from_settings(settings, environ),
            "progress": ProgressReport(),
            "clock": Clock(),
        }
        | dict(resources or {}),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location as Dagster loads it: the graph, with every run in one process."""
    return dg.Definitions.merge(build_defs(), dg.Definitions(executor=dg.in_process_executor))
