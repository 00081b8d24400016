"""`raw_sessions`: plan, fetch, stage and land one window of days, one request per vehicle whatever its length."""

import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
from pydantic import Field

from ev_sessions.assets.failures import failures_told
from ev_sessions.assets.graph import API_POOL, Graph, figures, partition_days, shape_metadata, tell_run
from ev_sessions.days import DayRange
from ev_sessions.ingest.fetch import Fetch, FetchSummary, Progress
from ev_sessions.ingest.fleet import BadFleetFile, read_vehicle_pairs
from ev_sessions.ingest.interruptible import run_interruptibly
from ev_sessions.ingest.plan import VehicleWindow, plan
from ev_sessions.resources import Clock, PartnerApiResource, StageResource, WarehouseResource
from ev_sessions.stage.parts import WindowStage
from ev_sessions.tables import RAW_SESSIONS, RAW_USERS, RAW_VEHICLES
from ev_sessions.warehouse.fleet import fleet
from ev_sessions.warehouse.landing import DayFigures, LandingReport, land

_LOG_EVERY = timedelta(seconds=10)


class RawSessionsConfig(dg.Config):
    """What a run of `raw_sessions` may be told."""

    vehicles_from: str | None = Field(None, description="CSV of user_id,electric_vehicle_id: ask for these vehicles alone")


class ProgressReport:
    """Hears how far a fetch has come and writes it to Dagster's log now and then; the command line draws it instead."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _LOG_EVERY.total_seconds()

    def __call__(self, progress: Progress) -> None:
        """Take in one report."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LOG_EVERY.total_seconds()
            dg.get_dagster_logger().info(
                f"{progress.vehicles_done} of {progress.vehicles} vehicles, {progress.sessions} sessions, "
                f"{progress.requests} requests, {progress.vehicles_failed} vehicles failed"
            )


def raw_sessions_asset(graph: Graph) -> dg.AssetsDefinition:
    """The asset of `raw.sessions`, with its ledger, quarantine and versions."""

    @dg.multi_asset(
        name=graph.name("raw_sessions"),
        specs=[graph.spec(RAW_SESSIONS, deps=[RAW_USERS, RAW_VEHICLES], kinds={"python", "duckdb"})],
        partitions_def=graph.partitions,
        backfill_policy=graph.backfill_policy,
        pool=API_POOL,
    )
    def raw_sessions(
        context: dg.AssetExecutionContext,
        config: RawSessionsConfig,
        partner_api: PartnerApiResource,
        session_stage: StageResource,
        session_warehouse: WarehouseResource,
        progress: dg.ResourceParam[ProgressReport],
        clock: dg.ResourceParam[Clock],
    ) -> None:
        days = partition_days(context)
        with failures_told(context, clock):
            windows = _windows(partner_api, session_warehouse, days, config.vehicles_from)
            with session_stage.open(
                org_id=partner_api.organisation(),
                days=days,
                session_day=partner_api.session_day,
                run=context.run.run_id,
                now=clock.now(),
            ) as stage:
                summary = _fetch(partner_api, stage, windows, progress, clock)
                fetched = time.monotonic()
                report = _land(session_warehouse, stage, context.run.run_id, clock.now())
                landing_seconds = time.monotonic() - fetched
                stage.clear()
        tell_run(context, context.asset_key, _run_figures(summary, report) | {"land_seconds": landing_seconds})
        for day in days:
            told = _day_figures(report.days.get(day), summary) | shape_metadata(RAW_SESSIONS)
            context.add_asset_metadata(told, partition_key=day.isoformat())
        context.add_asset_metadata(graph.lineage_metadata(RAW_SESSIONS), partition_key=days.last.isoformat())

    return raw_sessions


def _windows(
    api: PartnerApiResource, warehouse: WarehouseResource, days: DayRange, vehicles_from: str | None
) -> list[VehicleWindow]:
    with warehouse.reading() as connection:
        vehicles = fleet(connection, api.organisation())
    if vehicles_from is None:
        return plan(vehicles, days)
    return plan(vehicles, days, _chosen(Path(vehicles_from), {vehicle.electric_vehicle_id for vehicle in vehicles}))


def _chosen(path: Path, known: Collection[UUID]) -> set[UUID]:
    """The vehicles that the file names, all of them known: leaving one out silently would look as if it had been read."""
    chosen = {vehicle_id for _, vehicle_id in read_vehicle_pairs(path)}
    unknown = chosen.difference(known)
    if unknown:
        raise BadFleetFile(f"{path}: {len(unknown)} of its {len(chosen)} vehicles are not in the fleet; take them out of it")
    return chosen


def _fetch(
    api: PartnerApiResource,
    stage: WindowStage,
    windows: Sequence[VehicleWindow],
    report: Callable[[Progress], None],
    clock: Clock,
) -> FetchSummary:
    async def fetch() -> FetchSummary:
        async with api.client() as client:
            job = Fetch(client, stage, api.organisation(), api.session_day, clock.now, report)
            return await job.run(windows, concurrency=api.max_concurrency)

    with api.turn():
        return run_interruptibly(fetch())


def _land(warehouse: WarehouseResource, stage: WindowStage, run_id: str, landed_at: datetime) -> LandingReport:
    with warehouse.writing() as connection:
        return land(
            connection,
            stage.parts,
            run_id=run_id,
            landed_at=landed_at,
            zones=warehouse.zones,
            default_time_zone=warehouse.default_time_zone,
            hold_share=warehouse.hold_share,
        )


def _run_figures(summary: FetchSummary, report: LandingReport) -> dict[str, object]:
    """What the whole window took, and what its landing did."""
    return {
        "vehicles": summary.vehicles,
        "vehicles_failed": summary.failed,
        "vehicles_gone": summary.gone,
        "vehicles_resumed": summary.resumed,
        "vehicles_held": report.held_vehicles,
        "sessions": report.landed_rows,
        "requests": summary.requests,
        "pages": summary.pages,
        "retries": summary.retries,
        "refused_429": summary.refused_429,
        "token_requests": summary.token_requests,
        "fetch_seconds": summary.seconds,
        "restated": report.restated,
        "vanished": report.vanished,
        "moved": report.moved,
        "quarantined": report.quarantined,
        "touched_days": len(report.touched_days),
    }


def _day_figures(day: DayFigures | None, summary: FetchSummary) -> dict[str, Any]:
    """One day's figures. What begins with `window_` is of the whole window.

    One request covers all of its days, and a record that cannot be typed has no day.
    """
    window = {"window_requests": summary.requests, "window_pages": summary.pages, "window_retries": summary.retries}
    if day is None:
        return figures({"dagster/partition_row_count": 0, **window})
    return figures(
        {
            "dagster/partition_row_count": day.rows,
            "vehicles_read": day.vehicles_read,
            "vehicles_failed": day.vehicles_failed,
            "energy_kwh": day.energy_kwh,
            "cost_eur": day.cost_eur,
            "savings_eur": day.savings_eur,
            "changed_rows": day.changed_rows,
            "vanished_rows": day.vanished_rows,
            "window_quarantined": day.quarantined,
            **window,
        }
    )
