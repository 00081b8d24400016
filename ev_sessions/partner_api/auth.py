"""Who asks: OAuth2 client credentials with a cached token, or a token given from outside, both as an `httpx.Auth`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Annotated

import httpx
import msgspec

from ev_sessions.partner_api.config import ClientCredentials, is_header_safe
from ev_sessions.partner_api.errors import ContractBroken, CredentialsRefused, RequestRefused, UnreadableAnswer

TOKEN_PATH = "/oauth2/token/"  # noqa: S105 - a path, not a password

_UNAUTHORISED = 401
_REFUSING = frozenset({400, 401, 403})
_ABSENT = frozenset({404, 405, 410})
_LARGEST_MARGIN_SECONDS = 60.0
_MARGIN_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Token:
    """An access token; to be renewed at `renew_at` (monotonic, s)."""

    header: str
    renew_at: float

    def __repr__(self) -> str:
        return "Token(...)"


class StaticBearer(httpx.Auth):
    """A token that somebody else obtained and renews."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send `request` with the token."""
        request.headers["Authorization"] = self._header
        yield request


class CachedToken(httpx.Auth):
    """A token obtained by `obtain`, once however many requests wait for it, renewed before it expires and once on a 401."""

    def __init__(self, obtain: Callable[[], Awaitable[Token]]) -> None:
        self._obtain = obtain
        self._token: Token | None = None
        self._renewal: asyncio.Task[Token] | None = None
        self._refused: CredentialsRefused | None = None

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send `request` with a token, and once more with a fresh one where the API does not accept it.

        Raises:
            CredentialsRefused: no token is to be had, or a fresh one is not accepted.
            RequestFailed, RetryBudgetSpent: the token could not be obtained for now.
        """
        token = await self._current()
        request.headers["Authorization"] = token.header
        response = yield request
        if response.status_code == _UNAUTHORISED:
            fresh = await self._current(refused=token)
            request.headers["Authorization"] = fresh.header
            yield request

    async def _current(self, refused: Token | None = None) -> Token:
        """A token other than `refused` that is not about to expire."""
        if self._refused is not None:
            raise self._refused
        token = self._token
        if token is not None and token is not refused and time.monotonic() < token.renew_at:
            return token
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew())
        # Shielded: whoever stops waiting must not take the token from the others.
        return await asyncio.shield(self._renewal)

    async def _renew(self) -> Token:
        try:
            self._token = await self._obtain()
        except CredentialsRefused as refused:
            # Everyone else hears it from here: refused credentials must not be tried again and again.
            self._refused = refused
            raise
        finally:
            self._renewal = None
        return self._token


def token_request(root: str, credentials: ClientCredentials) -> httpx.Request:
    """The request for a token, with `credentials` in its header alone."""
    basic = httpx.BasicAuth(credentials.client_id, credentials.client_secret)
    request = httpx.Request("POST", root + TOKEN_PATH, json={"grant_type": "client_credentials"})
    return next(basic.auth_flow(request))


def read_token(body: bytes) -> Token:
    """The token in the body of an answer.

    Raises:
        UnreadableAnswer: there is none that could be used.
    """
    try:
        answer = _TOKEN_ANSWER.decode(body)
    except (ValueError, RecursionError):
        raise UnreadableAnswer("the answer holds no access_token with a positive expires_in") from None
    if not is_header_safe(answer.access_token):
        raise UnreadableAnswer("the access_token has characters that no token has")
    margin = min(_LARGEST_MARGIN_SECONDS, _MARGIN_SHARE * answer.expires_in)
    return Token(f"Bearer {answer.access_token}", time.monotonic() + answer.expires_in - margin)


def token_refusal(refused: RequestRefused) -> Exception:
    """What a refused request for a token means."""
    if refused.status in _REFUSING:
        return CredentialsRefused(
            f"the partner API refuses the client id and secret (status {refused.status}); check both, "
            "and that they belong to this host"
        )
    if refused.status in _ABSENT:
        return ContractBroken(f"{refused}; check the base url")
    return refused


class _TokenAnswer(msgspec.Struct):
    access_token: str
    expires_in: Annotated[float, msgspec.Meta(gt=0)]


_TOKEN_ANSWER = msgspec.json.Decoder(_TokenAnswer)
