"""Servers for the tests of the client, and clients for them: the sandbox, and one that sends whatever a test writes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from ev_sessions.days import DayRange
from ev_sessions.partner_api import ClientCredentials, Pace, PartnerApi, PartnerApiConfig
from ev_sessions.sandbox import Sandbox, SandboxOptions, serving

MONTH = DayRange(date(2026, 6, 1), date(2026, 6, 30))
NOW = datetime(2026, 8, 1, tzinfo=UTC)
ORG, USER, VEHICLE = UUID(int=1), UUID(int=2), UUID(int=3)
SECRET = "a-secret-that-nobody-may-see"  # noqa: S105 - of nothing


@contextmanager
def sandbox(**options: Any) -> Iterator[tuple[Sandbox, str]]:  # noqa: ANN401 - options of all types
    """A sandbox whose history is `MONTH`, and its address."""
    defaults = {"end": MONTH.last, "vehicles": 6, "now": NOW, "malformed_rate": 0.0, "deleted_rate": 0.0}
    served = Sandbox(SandboxOptions(**{**defaults, **options}))
    with serving(served) as url:
        yield served, url


def client_of(served: Sandbox, url: str, pace: Pace | None = None, **config: Any) -> PartnerApi:  # noqa: ANN401 - fields of all types
    """A client of a sandbox, with its credentials unless `config` says otherwise."""
    credentials = ClientCredentials(served.client_id, served.client_secret)
    return PartnerApi(PartnerApiConfig(**{"base_url": url, "org_id": served.org_id, "credentials": credentials, **config}), pace)


def client_for(url: str, **config: Any) -> PartnerApi:  # noqa: ANN401 - fields of all types
    """A client of a server that takes any credentials."""
    defaults = {"base_url": url, "org_id": ORG, "credentials": ClientCredentials("an-id", SECRET), "max_attempts": 2}
    return PartnerApi(PartnerApiConfig(**{**defaults, **config}))


@dataclass(frozen=True)
class Asked:
    """A request as a server got it."""

    method: str
    target: str
    headers: dict[str, str]
    at: float

    @property
    def is_token(self) -> bool:
        return self.target.endswith("/oauth2/token/")

    @property
    def offset(self) -> int:
        return int(dict(parse_qsl(urlsplit(self.target).query))["offset"])


Answering = Callable[[Asked], Awaitable[bytes]]


class ScriptedServer:
    """Answers requests with the bytes that `answer` gives; tokens by itself, unless `answers_tokens`. Keeps what it was asked."""

    def __init__(self, answer: Answering, *, answers_tokens: bool = False) -> None:
        self._answer = answer
        self._answers_tokens = answers_tokens
        self.asked: list[Asked] = []

    @property
    def tokens(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.is_token]

    @property
    def gets(self) -> list[Asked]:
        return [asked for asked in self.asked if not asked.is_token]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, then hang up."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, target, _ = head[0].split(" ")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            await reader.readexactly(int(headers.get("content-length", "0")))
            asked = Asked(method, target, headers, asyncio.get_running_loop().time())
            self.asked.append(asked)
            if asked.is_token and not self._answers_tokens:
                writer.write(token(f"token-{len(self.tokens)}"))
            else:
                writer.write(await self._answer(asked))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def answering(answer: Answering, *, answers_tokens: bool = False) -> AsyncIterator[tuple[ScriptedServer, str]]:
    """A scripted server, and its address."""
    script = ScriptedServer(answer, answers_tokens=answers_tokens)
    server = await asyncio.start_server(script.handle, "127.0.0.1", 0)
    try:
        yield script, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def in_turn(*answers: bytes) -> Answering:
    """These answers one after the other, then the last one for ever."""
    left = list(answers)

    async def answer(_: Asked) -> bytes:
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


def response(body: bytes, status: int = 200, **headers: str) -> bytes:
    """An HTTP answer; a header's underscores stand for hyphens."""
    lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def token(name: str, expires_in: float = 3600) -> bytes:
    """The answer of the token endpoint."""
    return response(json.dumps({"access_token": name, "expires_in": expires_in, "token_type": "Bearer"}).encode())


def page(total: int, *numbers: int) -> bytes:
    """A page with the sessions of these numbers."""
    items = [{"id": str(UUID(int=number)), "plug_in_time": "2026-06-01T12:00:00Z"} for number in numbers]
    return response(json.dumps({"total": total, "items": items}).encode())
