"""`raw_sessions`: plan, fetch, stage and land one window of days, one request per vehicle whatever its length."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from ev_sessions.assets.graph import API_POOL, Graph, failures_told, figures, partition_days
from ev_sessions.days import DayRange
from ev_sessions.ingest.fetch import Fetch, FetchSummary, Progress
from ev_sessions.ingest.fleet import read_vehicle_pairs
from ev_sessions.ingest.plan import VehicleWindow, plan
from ev_sessions.resources import PartnerApiResource, StageResource, WarehouseResource
from ev_sessions.stage.parts import WindowStage
from ev_sessions.tables import RAW_SESSIONS
from ev_sessions.warehouse.fleet import fleet
from ev_sessions.warehouse.landing import LandingReport, land, landed_before

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


def raw_sessions_asset(graph: Graph, deps: Sequence[dg.AssetsDefinition]) -> dg.AssetsDefinition:
    """The asset of `raw.sessions`, with its ledger, quarantine and versions."""

    @dg.asset(
        **graph.spec(RAW_SESSIONS),
        deps=deps,
        kinds={"python", "duckdb"},
        pool=API_POOL,
        partitions_def=graph.partitions,
        backfill_policy=graph.backfill_policy,
    )
    def raw_sessions(
        context: dg.AssetExecutionContext,
        config: RawSessionsConfig,
        partner_api: PartnerApiResource,
        session_stage: StageResource,
        session_warehouse: WarehouseResource,
        progress: dg.ResourceParam[ProgressReport],
    ) -> None:
        days = partition_days(context)
        with failures_told():
            windows = _windows(partner_api, session_warehouse, days, config.vehicles_from)
            with session_stage.open(
                org_id=partner_api.organisation(),
                days=days,
                session_day=partner_api.session_day,
                run=context.run_id,
                now=datetime.now(UTC),
            ) as stage:
                summary = _fetch(partner_api, stage, windows, progress)
                fetched = time.monotonic()
                report = _land(session_warehouse, stage, context.run_id)
                landing_seconds = time.monotonic() - fetched
                stage.clear()
        run_figures = {f"fetch_{name}": value for name, value in asdict(summary).items()} | {"land_seconds": landing_seconds}
        context.log_event(dg.AssetObservation(context.asset_key, metadata=figures(run_figures)))
        for day in days:
            context.add_asset_metadata(
                figures(_day_figures(report, day, summary)) | graph.event_metadata(RAW_SESSIONS), partition_key=day.isoformat()
            )

    return raw_sessions


def _windows(
    api: PartnerApiResource, warehouse: WarehouseResource, days: DayRange, vehicles_from: str | None
) -> list[VehicleWindow]:
    only = None if vehicles_from is None else {vehicle_id for _, vehicle_id in read_vehicle_pairs(Path(vehicles_from))}
    with warehouse.reading() as connection:
        return plan(fleet(connection, api.organisation()), days, only)


def _fetch(
    api: PartnerApiResource, stage: WindowStage, windows: Sequence[VehicleWindow], report: Callable[[Progress], None]
) -> FetchSummary:
    async def fetch() -> FetchSummary:
        async with api.client() as client:
            job = Fetch(client, stage, api.organisation(), api.session_day, lambda: datetime.now(UTC), report)
            return await job.run(windows, concurrency=api.max_concurrency)

    return asyncio.run(fetch())


def _land(warehouse: WarehouseResource, stage: WindowStage, run_id: str) -> LandingReport:
    with warehouse.writing() as connection:
        return land(
            connection,
            stage.parts,
            run_id=run_id,
            landed_at=datetime.now(UTC),
            zones=warehouse.zones,
            default_time_zone=warehouse.default_time_zone,
            hold_share=warehouse.hold_share,
        )


def _day_figures(report: LandingReport, day: date, summary: FetchSummary) -> dict[str, Any]:
    return {}
