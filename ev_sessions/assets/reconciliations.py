"""`raw_reconciliations`: asks the API for its own sums, of a sample of vehicles and of the organisation, and compares them.

It is an asset of its own, without days, so that a backfill never asks: a check of `raw_sessions` would come along with each.
"""

import time
from collections.abc import Sequence
from datetime import date

import dagster as dg
import duckdb
from pydantic import Field

from ev_sessions.assets.failures import failures_told
from ev_sessions.assets.graph import API_POOL, Graph, figures, shape_metadata
from ev_sessions.assets.published import published
from ev_sessions.days import DayRange
from ev_sessions.ingest.interruptible import run_interruptibly
from ev_sessions.ingest.plan import VehicleWindow, plan
from ev_sessions.ingest.reconciliation import Row, ask_sums, months_to_ask, months_touched, parse_past_month
from ev_sessions.partner_api import Counts
from ev_sessions.resources import Clock, PartnerApiResource, WarehouseResource
from ev_sessions.tables import RAW_RECONCILIATIONS, RAW_SESSIONS
from ev_sessions.warehouse.fleet import fleet
from ev_sessions.warehouse.reconciliation import Asked, months_in_turn, reconcile, whom_to_ask
from ev_sessions.warehouse.unread import standing


class ReconcileConfig(dg.Config):
    """What a run of `raw_reconciliations` may be told."""

    month: str | None = Field(None, description="One month (YYYY-MM) instead of the newest that are read whole and can be final")
    vehicles: int | None = Field(None, ge=1, description="Vehicles to ask at most; none: as many as the requests allow")


def reconciliations_asset(graph: Graph, *, budget: int) -> dg.AssetsDefinition:
    """The asset of `raw.reconciliations`: `budget` requests a run at most."""

    @dg.multi_asset(
        name=graph.name("raw_reconciliations"),
        specs=[graph.spec(RAW_RECONCILIATIONS, deps=[RAW_SESSIONS], kinds={"python", "duckdb"})],
        pool=API_POOL,
    )
    def raw_reconciliations(
        context: dg.AssetExecutionContext,
        config: ReconcileConfig,
        partner_api: PartnerApiResource,
        session_warehouse: WarehouseResource,
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[None]:
        began = time.monotonic()
        with failures_told(context, clock):
            asked = Asked(
                org_id=partner_api.organisation(),
                asked_at=clock.now(),
                run_id=context.run.run_id,
                share=session_warehouse.rule_limits.value("reconciled_share"),
                lookback_days=session_warehouse.lookback_days,
                fleet_is_chosen=bool(partner_api.fleet_file),
            )
            with session_warehouse.reading() as connection:
                months = months_in_turn(connection, asked.org_id, _months(connection, graph, config, asked))
                windows = _windows(connection, asked, months, budget, config.vehicles)
            answers, counts = _ask(partner_api, months, windows, budget)
            with session_warehouse.writing() as connection:
                reconcile(connection, answers, asked)
            publication = published(session_warehouse)
        told = {
            "vehicles": len({row["electric_vehicle_id"] for row in answers} - {None}),
            "months": len(months),
            "requests": counts.requests,
            "retries": counts.retries,
            "reconcile_seconds": time.monotonic() - began,
        }
        return dg.MaterializeResult(metadata=figures(told | publication) | shape_metadata(RAW_RECONCILIATIONS))

    return raw_reconciliations


def _months(connection: duckdb.DuckDBPyConnection, graph: Graph, config: ReconcileConfig, asked: Asked) -> list[date]:
    """The month that the run was told, or those that are old enough and whole: what nobody has read yet cannot agree."""
    if config.month is not None:
        return [parse_past_month(config.month, graph.first_day, asked.asked_at)]
    months = months_to_ask(graph.first_day, asked.asked_at, asked.lookback_days)
    return [month for month in months if all(day.is_read for day in standing(connection, DayRange.month(month)))]


def _windows(
    connection: duckdb.DuckDBPyConnection, asked: Asked, months: Sequence[date], budget: int, most: int | None
) -> list[VehicleWindow]:
    """The vehicles to ask, in their order, each with its days from the first to the last of `months`.

    Those that were there only in months between that are not asked for are left out.
    """
    if not months:
        return []
    days = DayRange(min(months), DayRange.month(max(months)).last)
    vehicles = fleet(connection, asked.org_id)
    windows = plan(vehicles, dict.fromkeys((vehicle.electric_vehicle_id for vehicle in vehicles), days))
    by_vehicle = {window.electric_vehicle_id: window for window in windows if months_touched(window.days, months)}
    order = whom_to_ask(connection, asked.org_id, budget if most is None else most)
    return [by_vehicle[vehicle] for vehicle in order if vehicle in by_vehicle][:most]


def _ask(
    api: PartnerApiResource, months: Sequence[date], windows: Sequence[VehicleWindow], budget: int
) -> tuple[list[Row], Counts]:
    async def ask() -> tuple[list[Row], Counts]:
        async with api.client() as client:
            rows = await ask_sums(client, months, windows, budget=budget, concurrency=api.max_concurrency)
            return rows, client.counts

    with api.turn():
        return run_interruptibly(ask())
