"""`raw_sessions`: plan, fetch, stage and land one window of days, one request per vehicle whatever its length.

A run asks for all vehicles that are due, or only for what the ledger says is unread. The latter it looks up itself: ids of
vehicles are personal data, which has no place in a run's configuration.
"""

import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import dagster as dg
import duckdb
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
from ev_sessions.warehouse.landing import LandedDay, LandingReport, WrongSessionDay, land
from ev_sessions.warehouse.unread import failed_days, unasked_days

_LOG_EVERY = timedelta(seconds=10)


Vehicles = Literal["due", "failed", "new"]
"""Which vehicles a run asks for: all that are due on its days; those that failed and may be asked again by now, on exactly those
days; those that were never asked on days on which others were, on exactly those days."""


class RawSessionsConfig(dg.Config):
    """What a run of `raw_sessions` may be told."""

    vehicles: Vehicles = Field(
        default="due", description="due: all vehicles; failed, new: only what the ledger shows as failed, or as never asked"
    )
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
            windows = _windows(partner_api, session_warehouse, days, config, clock.now())
            with session_stage.open(
                org_id=partner_api.organisation(),
                days=days,
                session_day=partner_api.session_day,
                run=context.run.run_id,
                now=clock.now(),
            ) as stage:
                summary = _fetch(partner_api, stage, windows, progress, clock, gives_up=config.vehicles == "due")
                fetched = time.monotonic()
                report = _land_or_ask_again(session_warehouse, stage, context.run.run_id, clock.now())
                landing_seconds = time.monotonic() - fetched
                stage.clear()
        tell_run(context, context.asset_key, _run_figures(summary, report) | {"land_seconds": landing_seconds})
        for day in days:
            told = _day_figures(report.days.get(day), summary) | shape_metadata(RAW_SESSIONS)
            context.add_asset_metadata(told, partition_key=day.isoformat())
        context.add_asset_metadata(graph.lineage_metadata(RAW_SESSIONS), partition_key=days.last.isoformat())

    return raw_sessions


def _windows(
    api: PartnerApiResource, warehouse: WarehouseResource, days: DayRange, config: RawSessionsConfig, now: datetime
) -> list[VehicleWindow]:
    with warehouse.reading() as connection:
        vehicles = fleet(connection, api.organisation())
        known = {vehicle.electric_vehicle_id for vehicle in vehicles}
        wanted = _wanted(connection, config.vehicles, days, known, now)
    if config.vehicles_from is not None:
        chosen = _chosen(Path(config.vehicles_from), known)
        wanted = {vehicle_id: own for vehicle_id, own in wanted.items() if vehicle_id in chosen}
    return plan(vehicles, wanted)


def _wanted(
    connection: duckdb.DuckDBPyConnection, vehicles: Vehicles, days: DayRange, known: Collection[UUID], now: datetime
) -> dict[UUID, DayRange]:
    """The days of each vehicle that the run is after."""
    match vehicles:
        case "due":
            return dict.fromkeys(known, days)
        case "failed":
            return failed_days(connection, days, now)
        case "new":
            return unasked_days(connection, days)


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
    *,
    gives_up: bool,
) -> FetchSummary:
    async def fetch() -> FetchSummary:
        async with api.client() as client:
            job = Fetch(client, stage, api.organisation(), api.session_day, clock.now, report, gives_up)
            return await job.run(windows, concurrency=api.max_concurrency)

    with api.turn():
        return run_interruptibly(fetch())


def _land_or_ask_again(warehouse: WarehouseResource, stage: WindowStage, run_id: str, landed_at: datetime) -> LandingReport:
    """Land what is staged. Answers that are refused are dropped: what the API lists may be another thing by the next run."""
    try:
        return _land(warehouse, stage, run_id, landed_at)
    except WrongSessionDay:
        stage.clear()
        raise


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
            limits=warehouse.rule_limits,
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
        **_effects(report),
        "touched_days": len(report.touched_days),
    }


def _day_figures(day: LandedDay | None, summary: FetchSummary) -> dict[str, Any]:
    """One day's figures. What begins with `window_` is of the whole window.

    One request covers all of its days, and a record that cannot be typed has no day. Of a day on which nobody was asked the run
    knows nothing.
    """
    window = {"window_requests": summary.requests, "window_pages": summary.pages, "window_retries": summary.retries}
    if day is None:
        return figures(window)
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
            **_effects(day),
            "window_quarantined": day.quarantined,
            **window,
        }
    )


def _effects(changes: LandedDay | LandingReport) -> dict[str, object]:
    """What restated and vanished rows had to do with the sums: the former new minus old, the latter what they had."""
    return {
        "restated_kwh": changes.restated_kwh,
        "restated_cost_eur": changes.restated_cost_eur,
        "restated_savings_eur": changes.restated_savings_eur,
        "vanished_kwh": changes.vanished_kwh,
        "vanished_cost_eur": changes.vanished_cost_eur,
        "vanished_savings_eur": changes.vanished_savings_eur,
    }
