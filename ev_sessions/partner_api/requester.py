"""One request until it is answered: sent, judged, decoded, and asked again where that may help."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Generic, TypeVar

import httpx

from ev_sessions.partner_api.config import PartnerApiConfig
from ev_sessions.partner_api.errors import RequestFailed, RequestRefused, UnreadableAnswer
from ev_sessions.partner_api.pace import Pace
from ev_sessions.partner_api.retries import REFUSALS, RetryBudget, backoff, http_date, is_transient
from ev_sessions.partner_api.transport import Counts, PacedTransport

T = TypeVar("T")

_OK = 200
_NO_AUTH = httpx.Auth()


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """A decoded answer, and what it took: `requests` in all, of which `retries` after a failure."""

    value: T
    requests: int
    retries: int


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why an attempt brought nothing. `final_status`: asking again is in vain. `all_wait`: the pace makes everyone wait."""

    reason: str
    cause: Exception | None = None
    final_status: int | None = None
    all_wait: bool = False

    @classmethod
    def by_status(cls, response: httpx.Response) -> _Failure:
        status = response.status_code
        if is_transient(status):
            return cls(f"the API answers {status}", all_wait=status in REFUSALS)
        return cls(_refusal(response), final_status=status)


class Requester:
    """The connection to one API, with its pace, its counts and its retries."""

    def __init__(self, config: PartnerApiConfig, pace: Pace) -> None:
        self.counts = Counts()
        self._last_date = "", datetime.now(UTC)
        self._transport = PacedTransport(config, self.counts, pace)
        self._max_attempts = config.max_attempts
        self._budget = RetryBudget(config.retry_budget)

    @property
    def clock_lead(self) -> timedelta | None:
        """By how much this machine's clock is ahead of the `Date` of the last answer; None where it had none."""
        text, received_at = self._last_date
        date = http_date(text)
        return None if date is None else received_at - date

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def ask(
        self, what: str, request: httpx.Request, decode: Callable[[bytes], T], auth: httpx.Auth | None = None
    ) -> Reply[T]:
        """The answer to `request`, decoded by `decode`, which may raise UnreadableAnswer. `what` names it in messages.

        Raises:
            RequestRefused: a status that stays.
            RequestFailed: the attempts are used up.
            RetryBudgetSpent: so are the run's retries.
        """
        requests = 0
        for attempt in count(1):
            try:
                response = await self._send(request, auth or _NO_AUTH)
                requests += 1 + len(response.history)
                self._last_date = response.headers.get("date", ""), datetime.now(UTC)
                if response.status_code == _OK:
                    return Reply(decode(response.content), requests, attempt - 1)
                failure = _Failure.by_status(response)
            except httpx.RequestError as error:
                requests += 1
                failure = _Failure(_in_one_line(error), cause=error)
            except UnreadableAnswer as error:
                failure = _Failure(str(error), cause=error)
            if failure.final_status is not None:
                raise RequestRefused(
                    f"{what}: {failure.reason}", status=failure.final_status, requests=requests, retries=attempt - 1
                )
            if attempt == self._max_attempts:
                reason = f"{what}: {failure.reason}; gave up after {attempt} attempts, try again later"
                raise RequestFailed(reason, requests=requests, retries=attempt - 1) from failure.cause
            self._spend_retry(failure.reason)
            await asyncio.sleep(0 if failure.all_wait else backoff(attempt))
        raise AssertionError("the count of attempts has no end")

    async def _send(self, request: httpx.Request, auth: httpx.Auth) -> httpx.Response:
        """What httpx's client does with `auth`, without the cookies and redirects on which it spends as much time again."""
        flow = auth.async_auth_flow(request)
        history: list[httpx.Response] = []
        try:
            following = await anext(flow)
            while True:
                response = await self._transport.handle_async_request(following)
                response.history = list(history)
                history.append(response)
                try:
                    following = await flow.asend(response)
                except StopAsyncIteration:
                    return response
        finally:
            await flow.aclose()

    def _spend_retry(self, failure: str) -> None:
        self._budget.check(retries=self.counts.retries, requests=self.counts.requests, failure=failure)
        self.counts.retries += 1


def _refusal(response: httpx.Response) -> str:
    if response.has_redirect_location:
        return (
            f"the API answers {response.status_code} and points to {_host(response)}, which is not followed; check the base url"
        )
    return f"the API answers {response.status_code}, which asking again does not change"


def _host(redirect: httpx.Response) -> str:
    try:
        return redirect.url.join(redirect.headers["location"]).host
    except httpx.InvalidURL:
        return "no address"


def _in_one_line(error: httpx.RequestError) -> str:
    text = " ".join(str(error).split())
    return f"{text} ({type(error).__name__})" if text else type(error).__name__
