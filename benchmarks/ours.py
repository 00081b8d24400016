"""Our fetch and land alone, without Dagster: the fleet and one window, from the first request to the last commit.

A program: prints one JSON object with `seconds` (in all), `fetch_seconds`, `land_seconds`, `requests`, `retries`,
`refused_429` and `sessions`. It asks for exactly what the bound asks for, through one client.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pyarrow.dataset  # noqa: F401 - DuckDB imports it when it first meets Arrow; an import is no part of the work

from ev_sessions.days import DayRange, parse_day
from ev_sessions.ingest.fetch import Fetch, FetchSummary
from ev_sessions.ingest.fleet import Snapshot, discover_users, discover_vehicles
from ev_sessions.ingest.plan import plan
from ev_sessions.partner_api import ClientCredentials, PartnerApi, PartnerApiConfig
from ev_sessions.price_zones import time_zones
from ev_sessions.settings import Settings
from ev_sessions.stage.parts import WindowStage, open_window
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.fleet import FleetVehicle, fleet, land_users, land_vehicles
from ev_sessions.warehouse.landing import land

RUN = "benchmark"


def fetch_and_land(settings: Settings, days: DayRange) -> dict[str, object]:
    """Discover the fleet, fetch `days` of it and land them in the database of `settings`; what it took."""
    config = _config(settings)
    began = time.monotonic()
    database = Database(settings.database_path)
    with open_window(
        settings.stage_path,
        org_id=str(config.org_id),
        days=days,
        session_day=settings.session_day,
        run=RUN,
        now=datetime.now(UTC),
        max_age=timedelta(hours=settings.stage_max_age_hours),
    ) as stage:
        summary = asyncio.run(_fetch(config, settings, database, stage, days))
        fetched = time.monotonic()
        with database.writing() as connection:
            land(
                connection,
                stage.parts,
                run_id=RUN,
                landed_at=datetime.now(UTC),
                zones=time_zones({}),
                default_time_zone=settings.default_time_zone,
                hold_share=settings.hold_share,
                limits=settings.limits,
            )
        stage.clear()
    ended = time.monotonic()
    spent = {"seconds": ended - began, "fetch_seconds": fetched - began, "land_seconds": ended - fetched}
    return {**asdict(summary), **spent}


async def _fetch(
    config: PartnerApiConfig, settings: Settings, database: Database, stage: WindowStage, days: DayRange
) -> FetchSummary:
    async with PartnerApi(config) as api:
        users = await discover_users(api, config.org_id)
        user_ids = [user["user_id"] for user in users.rows]
        vehicles = await discover_vehicles(api, config.org_id, user_ids, concurrency=config.max_concurrency)
        known = _land_fleet(config.org_id, database, users, vehicles)
        windows = plan(known, {vehicle.electric_vehicle_id: days for vehicle in known})
        job = Fetch(api, stage, config.org_id, settings.session_day, lambda: datetime.now(UTC), lambda _: None)
        return await job.run(windows, concurrency=config.max_concurrency)


def _land_fleet(org_id: UUID, database: Database, users: Snapshot, vehicles: Snapshot) -> list[FleetVehicle]:
    seen_at = datetime.now(UTC)
    with database.writing() as connection:
        land_users(connection, users.rows, seen_at=seen_at, run_id=RUN)
        land_vehicles(connection, vehicles.rows, users_read=vehicles.users_read, seen_at=seen_at, run_id=RUN)
        return fleet(connection, org_id)


def _config(settings: Settings) -> PartnerApiConfig:
    if not (settings.api_url and settings.org_id and settings.client_id and settings.client_secret):
        raise SystemExit("set what `ev-sessions sandbox` prints")
    return PartnerApiConfig(
        base_url=settings.api_url,
        org_id=settings.org_id,
        credentials=ClientCredentials(settings.client_id.get_secret_value(), settings.client_secret.get_secret_value()),
        max_requests_per_second=settings.max_requests_per_second,
        max_concurrency=settings.max_concurrency,
    )


if __name__ == "__main__":
    print(json.dumps(fetch_and_land(Settings.from_env(os.environ), DayRange(*map(parse_day, sys.argv[1:])))))
