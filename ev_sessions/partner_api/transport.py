"""How a request reaches the API: in its turn, counted, within a time limit, its answer read whole.

httpx on aiohttp's connections, with what that pairing leaves open: aiohttp's own exceptions become httpx's, a refused
connection is not called a time-out, and the proxy variables of the environment are heeded.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from ev_sessions.partner_api.config import PartnerApiConfig, is_loopback
from ev_sessions.partner_api.pace import Pace
from ev_sessions.partner_api.retries import REFUSALS, TOO_MANY_REQUESTS, retry_after


@dataclass(slots=True)
class Counts:
    """What a client has done so far. `requests` are all GETs, repeated ones included; `pages` those that brought a page."""

    requests: int = 0
    retries: int = 0
    refused_429: int = 0
    token_requests: int = 0
    pages: int = 0


# Shorter than any server's, so that connections are rarely cut under a request.
_KEEPALIVE_SECONDS = 4.0


class PacedTransport(httpx.AsyncBaseTransport):
    """The only way out: no request passes the pace, the limit on concurrency, the time limit or the counts by."""

    def __init__(self, config: PartnerApiConfig, counts: Counts, pace: Pace) -> None:
        root = httpx.URL(config.root)
        self._inner = AiohttpTransport(client=partial(_connections, root, config.max_concurrency), proxy=_proxy(root))
        self._timeout = config.request_timeout_seconds
        self._slots = asyncio.Semaphore(config.max_concurrency)
        self._pace = pace
        self._line = asyncio.Lock()
        self._counts = counts

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` when its turn comes, and read the answer whole.

        Raises:
            httpx.TransportError: no answer, or not all of it.
        """
        async with self._slots:
            async with self._line:
                sent_at = await self._pace.turn()
            self._count(request)
            response = await self._exchange(request)
        if response.status_code in REFUSALS:
            limited = response.status_code == TOO_MANY_REQUESTS
            self._counts.refused_429 += limited
            self._pace.refused(sent_at, limited=limited, retry_after=retry_after(response.headers))
        else:
            self._pace.accepted()
        return response

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()

    def _count(self, request: httpx.Request) -> None:
        if request.method == "GET":
            self._counts.requests += 1
        else:
            self._counts.token_requests += 1

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._inner.handle_async_request(request)
                try:
                    await answer.aread()
                finally:
                    await answer.aclose()
        except TimeoutError:
            raise httpx.ReadTimeout(f"no answer within {self._timeout:g} s") from None
        except httpx.ConnectTimeout as error:
            if isinstance(error.__cause__, TimeoutError):
                raise
            raise httpx.ConnectError(str(error)) from error.__cause__
        except aiohttp.ClientError as error:
            # Without its cause, which may quote the answer: Dagster stores causes too.
            raise httpx.RemoteProtocolError(f"not an HTTP answer ({type(error).__name__})") from None
        return answer


def _connections(root: httpx.URL, limit: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=limit,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            ssl=httpx.create_ssl_context() if root.scheme == "https" else False,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=(_without_hidden_retry,),
    )


async def _without_hidden_retry(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a cut request by itself, past pace, counts and budget, as it does after these two errors."""
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error)) from error


def _proxy(root: httpx.URL) -> httpx.Proxy | None:
    """The proxy that the environment names for `root`; never one for this machine."""
    if is_loopback(root.host) or proxy_bypass(root.host):
        return None
    proxies = getproxies()
    address = proxies.get(root.scheme) or proxies.get("all")
    return httpx.Proxy(address) if address else None
