"""The peer: the same work with dlt's declarative REST source, 50 workers, merged by id into DuckDB.

A program: prints one JSON object with `seconds` and `sessions`. The first argument is the format of the load files
(`insert_values`, dlt's own choice for DuckDB, or `parquet`), the others are the days. It is spared the token's renewal.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import dlt
from dlt.sources.rest_api import rest_api_source

from benchmarks.bound import PAGE_SIZE, obtain_token

WORKERS = 50


def load(settings: dict[str, str], file_format: str, first: str, last: str) -> dict[str, float]:
    """Users, vehicles and the sessions from `first` to `last` into a database in the present folder; what it took."""
    began = time.monotonic()
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(Path("pipelines").resolve()),
        destination=dlt.destinations.duckdb(str(Path("dlt.duckdb").resolve())),
        dataset_name="raw",
    )
    pipeline.run(_source(settings, first, last), loader_file_format=file_format)
    seconds = time.monotonic() - began
    with pipeline.sql_client() as client:
        rows = client.execute_sql("SELECT count(*) FROM sessions")
    return {"seconds": seconds, "sessions": rows[0][0]}


def _source(settings: dict[str, str], first: str, last: str) -> Any:  # noqa: ANN401 - dlt ships no types for it
    root = settings["EV_SESSIONS_API_URL"]
    cars = "users/{resources.vehicles._users_id}/electric-vehicles"
    return rest_api_source(
        {
            "client": {
                "base_url": f"{root}/api/partners/v2.0/org/{settings['EV_SESSIONS_ORG_ID']}/",
                "auth": {"type": "bearer", "token": asyncio.run(_token(settings))},
            },
            "resource_defaults": {"primary_key": "id", "write_disposition": "merge", "parallelized": True},
            "resources": [
                {
                    "name": "users",
                    "endpoint": {"path": "users", "params": {"include_deleted": "true"}, "paginator": "single_page"},
                },
                {
                    "name": "vehicles",
                    "endpoint": {"path": "users/{resources.users.id}/electric-vehicles", "paginator": "single_page"},
                    "include_from_parent": ["id"],
                },
                {
                    "name": "sessions",
                    "endpoint": {
                        "path": f"{cars}/{{resources.vehicles.id}}/sessions",
                        "params": {"from": first, "to": last},
                        "paginator": {"type": "offset", "limit": PAGE_SIZE, "total_path": "total"},
                        "data_selector": "items",
                    },
                    # A record without an id would fail the whole load.
                    "processing_steps": [{"filter": lambda record: isinstance(record.get("id"), str)}],
                },
            ],
        }
    )


async def _token(settings: dict[str, str]) -> str:
    async with aiohttp.ClientSession() as client:
        return await obtain_token(client, settings)


if __name__ == "__main__":
    os.environ |= {
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "EXTRACT__WORKERS": str(WORKERS),
        "EXTRACT__MAX_PARALLEL_ITEMS": str(WORKERS),
    }
    print(json.dumps(load(dict(os.environ), *sys.argv[1:])))
