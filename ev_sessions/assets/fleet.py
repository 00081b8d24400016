"""`raw_users` and `raw_vehicles`: snapshots of who has which vehicle, from discovery or from the fleet file."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from ev_sessions.assets.failures import failures_told
from ev_sessions.assets.graph import API_POOL, Graph, figures, shape_metadata, tell_run
from ev_sessions.ingest.fleet import Snapshot, discover_users, discover_vehicles, users_from_file, vehicles_from_file
from ev_sessions.ingest.interruptible import run_interruptibly
from ev_sessions.partner_api import Counts, PartnerApi
from ev_sessions.resources import Clock, PartnerApiResource, WarehouseResource
from ev_sessions.tables import RAW_USERS, RAW_VEHICLES
from ev_sessions.warehouse.fleet import FleetChange, land_users, land_vehicles, listed_users


def fleet_assets(graph: Graph) -> list[dg.AssetsDefinition]:
    """The two assets of the fleet; not partitioned, since the API tells only how it is now."""

    @dg.multi_asset(
        name=graph.name("raw_users"), specs=[graph.spec(RAW_USERS, deps=[], kinds={"python", "duckdb"})], pool=API_POOL
    )
    def raw_users(
        context: dg.AssetExecutionContext,
        partner_api: PartnerApiResource,
        session_warehouse: WarehouseResource,
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[None]:
        with failures_told(context, clock):
            org_id, seen_at = partner_api.organisation(), clock.now()
            if partner_api.fleet_file:
                snapshot, counts = users_from_file(Path(partner_api.fleet_file), org_id), Counts()
            else:
                snapshot, counts = _ask(partner_api, lambda client: discover_users(client, org_id))
            with session_warehouse.writing() as connection:
                change = land_users(connection, snapshot.rows, seen_at=seen_at, run_id=context.run.run_id)
        tell_run(context, graph.key(RAW_USERS), asdict(counts))
        return dg.MaterializeResult(metadata=_told(snapshot, change) | shape_metadata(RAW_USERS))

    @dg.multi_asset(
        name=graph.name("raw_vehicles"),
        specs=[graph.spec(RAW_VEHICLES, deps=[RAW_USERS], kinds={"python", "duckdb"})],
        pool=API_POOL,
    )
    def raw_vehicles(
        context: dg.AssetExecutionContext,
        partner_api: PartnerApiResource,
        session_warehouse: WarehouseResource,
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[None]:
        with failures_told(context, clock):
            org_id, seen_at = partner_api.organisation(), clock.now()
            if partner_api.fleet_file:
                snapshot, counts = vehicles_from_file(Path(partner_api.fleet_file), org_id), Counts()
            else:
                with session_warehouse.reading() as reader:
                    user_ids = listed_users(reader, org_id)
                snapshot, counts = _ask(
                    partner_api,
                    lambda client: discover_vehicles(client, org_id, user_ids, concurrency=partner_api.max_concurrency),
                )
            with session_warehouse.writing() as connection:
                change = land_vehicles(
                    connection, snapshot.rows, users_read=snapshot.users_read, seen_at=seen_at, run_id=context.run.run_id
                )
        tell_run(context, graph.key(RAW_VEHICLES), asdict(counts))
        return dg.MaterializeResult(
            metadata=_told(snapshot, change) | shape_metadata(RAW_VEHICLES) | graph.lineage_metadata(RAW_VEHICLES)
        )

    return [raw_users, raw_vehicles]


def _ask(api: PartnerApiResource, question: Callable[[PartnerApi], Awaitable[Snapshot]]) -> tuple[Snapshot, Counts]:
    async def ask() -> tuple[Snapshot, Counts]:
        async with api.client() as client:
            return await question(client), client.counts

    with api.turn():
        return run_interruptibly(ask())


def _told(snapshot: Snapshot, change: FleetChange) -> dict[str, Any]:
    return figures(
        {
            "dagster/row_count": change.rows,
            "listed": len(snapshot.rows),
            "added": change.added,
            "missing": change.missing,
            "rejected_records": snapshot.rejected,
            "users_failed": snapshot.users_failed,
        }
    )
