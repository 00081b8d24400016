"""The bound: a bare aiohttp reader, 100 requests at a time, that reads every page and stores nothing.

A program: prints one JSON object with `seconds` (from the first request to the last answer), `requests` and `sessions`.
It retries nothing and checks nothing, so it is for an API without limits and faults.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
from collections import deque
from typing import Any

import aiohttp

CONCURRENCY = 100
PAGE_SIZE = 200


async def read_everything(settings: dict[str, str], first: str, last: str) -> dict[str, float]:
    """Users, their vehicles, and the sessions of each from `first` to `last`; what it took."""
    organisation = f"{settings['EV_SESSIONS_API_URL']}/api/partners/v2.0/org/{settings['EV_SESSIONS_ORG_ID']}"
    began = time.monotonic()
    requests = sessions = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY)) as client:
        token = await obtain_token(client, settings)
        headers = {"Authorization": f"Bearer {token}"}

        async def get(url: str) -> Any:  # noqa: ANN401 - whatever the API sends
            nonlocal requests
            requests += 1
            async with client.get(url, headers=headers) as answer:
                answer.raise_for_status()
                return await answer.json()

        async def read_users(queue: deque[str]) -> None:
            nonlocal sessions
            while queue:
                cars = f"{organisation}/users/{queue.popleft()}/electric-vehicles"
                for car in await get(cars):
                    offset, total = 0, 1
                    while offset < total:
                        query = f"from={first}&to={last}&limit={PAGE_SIZE}&offset={offset}"
                        page = await get(f"{cars}/{car['id']}/sessions?{query}")
                        sessions += len(page["items"])
                        offset, total = offset + PAGE_SIZE, page["total"]

        users = await get(f"{organisation}/users?include_deleted=true")
        queue = deque(user["id"] for user in users)
        async with asyncio.TaskGroup() as readers:
            for _ in range(CONCURRENCY):
                readers.create_task(read_users(queue))
    return {"seconds": time.monotonic() - began, "requests": requests, "sessions": sessions}


async def obtain_token(client: aiohttp.ClientSession, settings: dict[str, str]) -> str:
    """An access token for the client of `settings`."""
    credentials = f"{settings['EV_SESSIONS_CLIENT_ID']}:{settings['EV_SESSIONS_CLIENT_SECRET']}"
    headers = {"Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}
    url = f"{settings['EV_SESSIONS_API_URL']}/oauth2/token/"
    async with client.post(url, json={"grant_type": "client_credentials"}, headers=headers) as answer:
        return str((await answer.json())["access_token"])


if __name__ == "__main__":
    print(json.dumps(asyncio.run(read_everything(dict(os.environ), *sys.argv[1:]))))
