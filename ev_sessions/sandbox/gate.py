"""The gate that every request passes: it counts, delays, limits and spoils, and hands on to a handler what is left.

A handler is a plain function from a call to a reply; nothing behind the gate knows of ASGI.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from ev_sessions.sandbox.faults import Cut, Delayed, Fault, Kind, Refusal, Truncated
from ev_sessions.sandbox.state import TOO_MANY, SandboxState

OK = 200
CONNECTION_EXTENSION = "ev_sessions.connection"
"""The ASGI extension with `close` and `abort`, by which `ev_sessions.sandbox.serving` lets the gate drop a connection."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request as handlers see it."""

    state: SandboxState
    path: Mapping[str, str]
    query: Mapping[str, str]
    authorization: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """A request that the contract refuses, with an HTTP status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.reply = json_reply({"detail": reason}, status)


Handler = Callable[[Call], Reply]


def json_reply(value: object, status: int = OK) -> Reply:
    """A reply with `value` as its JSON body."""
    return Reply(status, msgspec.json.encode(value))


class Gate:
    """An ASGI endpoint: one handler, and everything that may come between it and the client. No kind: nothing comes between."""

    def __init__(self, state: SandboxState, kind: Kind | None, handler: Handler) -> None:
        self._state = state
        self._kind = kind
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        call = Call(
            state=self._state,
            path=request.path_params,
            query=request.query_params,
            authorization=request.headers.get("authorization", ""),
            body=await request.body(),
        )
        if self._kind is None:
            await _send(send, self._handled(call))
        else:
            fault = self._state.arrived(self._kind, f"{request.url.path}?{request.url.query}", _vehicle_in(call))
            await self._answer(self._kind, call, fault, _Connection(scope, receive, send))

    async def _answer(self, kind: Kind, call: Call, fault: Fault | None, connection: _Connection) -> None:
        admitted = self._state.pace.admits()
        await asyncio.sleep(self._state.options.latency_ms / 1000)
        if isinstance(fault, Delayed) and await connection.hung_up(fault.seconds):
            return
        if isinstance(fault, Cut):
            await connection.abort()
            return
        reply = self._reply(call, fault) if admitted else _slow_down(self._state)
        self._state.answered(reply.status)
        if isinstance(fault, Truncated):
            await connection.send_half(reply)
            return
        if kind is Kind.SESSIONS and reply.status == OK:
            self._state.counts.add("pages")
        await _send(connection.send, reply)

    def _reply(self, call: Call, fault: Fault | None) -> Reply:
        if isinstance(fault, Refusal):
            return Reply(fault.status, fault.body, fault.headers)
        return self._handled(call)

    def _handled(self, call: Call) -> Reply:
        try:
            return self._handler(call)
        except RefusedError as refused:
            return refused.reply


@dataclass(frozen=True, slots=True)
class _Connection:
    """The way back to the client, and how to spoil it."""

    scope: Scope
    receive: Receive
    send: Send

    async def abort(self) -> None:
        """Reset it without an answer."""
        self.scope["extensions"][CONNECTION_EXTENSION]["abort"]()
        await self.hung_up()

    async def send_half(self, reply: Reply) -> None:
        """Close it in the middle of the body."""
        await self.send(_start(reply))
        await self.send({"type": "http.response.body", "body": reply.body[: len(reply.body) // 2], "more_body": True})
        self.scope["extensions"][CONNECTION_EXTENSION]["close"]()
        await self.hung_up()

    async def hung_up(self, seconds: float | None = None) -> bool:
        """Whether the client is gone within `seconds` (None: wait until it is)."""
        try:
            async with asyncio.timeout(seconds):
                while (await self.receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return False
        return True


def _vehicle_in(call: Call) -> UUID | None:
    try:
        return UUID(call.path["vehicle_id"])
    except (KeyError, ValueError):
        return None


def _slow_down(state: SandboxState) -> Reply:
    reply = json_reply({"detail": "too many requests"}, TOO_MANY)
    return Reply(reply.status, reply.body, {"retry-after": str(state.pace.retry_after)})


async def _send(send: Send, reply: Reply) -> None:
    await send(_start(reply))
    await send({"type": "http.response.body", "body": reply.body})


def _start(reply: Reply) -> Message:
    headers = {"content-type": "application/json", **reply.headers, "content-length": str(len(reply.body))}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": reply.status, "headers": encoded}
