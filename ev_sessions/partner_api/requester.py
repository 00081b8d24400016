"""One request until it is answered: sent, judged, decoded, and asked again where that may help."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Generic, TypeVar

import httpx

from ev_sessions.partner_api.config import PartnerApiConfig
from ev_sessions.partner_api.errors import RequestFailed, RequestRefused, UnreadableAnswer
from ev_sessions.partner_api.retries import REFUSALS, RetryBudget, backoff, is_transient
from ev_sessions.partner_api.transport import Counts, PacedTransport

T = TypeVar("T")

_OK = 200


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """A decoded answer, and what it took: `requests` in all, of which `retries` after a failure."""

    value: T
    requests: int
    retries: int


class Requester:
    """The connection to one API, with its pace, its counts and its retries."""

    def __init__(self, config: PartnerApiConfig) -> None:
        self.counts = Counts()
        self.clock_lead: timedelta | None = None
        self._client = httpx.AsyncClient(transport=PacedTransport(config, self.counts), trust_env=False)
        self._max_attempts = config.max_attempts
        self._budget = RetryBudget(config.retry_budget)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

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
        attempt = 0
        while True:
            attempt += 1
            cause: Exception | None = None
            try:
                response = await self._client.send(request, auth=auth)
                requests += 1 + len(response.history)
                self.clock_lead = _clock_lead(response.headers)
                if response.status_code == _OK:
                    return Reply(decode(response.content), requests, attempt - 1)
                failure, wait = f"the API answers {response.status_code}", _wait_after(response, attempt)
            except httpx.RequestError as error:
                requests += 1
                failure, wait, cause = _in_one_line(error), backoff(attempt), error
            except UnreadableAnswer as error:
                failure, wait, cause = str(error), backoff(attempt), error
            else:
                if not is_transient(response.status_code):
                    raise RequestRefused(
                        f"{what}: {_refusal(response)}", status=response.status_code, requests=requests, retries=attempt - 1
                    )
            if attempt == self._max_attempts:
                raise RequestFailed(
                    f"{what}: {failure}; gave up after {attempt} attempts, try again later",
                    requests=requests,
                    retries=attempt - 1,
                ) from cause
            self._spend_retry(failure)
            await asyncio.sleep(wait)

    def _spend_retry(self, failure: str) -> None:
        self._budget.check(retries=self.counts.retries, requests=self.counts.requests, failure=failure)
        self.counts.retries += 1


def _wait_after(response: httpx.Response, attempt: int) -> float:
    """How long this request alone waits; after a refusal the pace makes everyone wait."""
    return 0.0 if response.status_code in REFUSALS else backoff(attempt)


def _refusal(response: httpx.Response) -> str:
    if response.next_request is not None:
        return (
            f"the API answers {response.status_code} and points to {response.next_request.url.host}, "
            "which is not followed; check the base url"
        )
    return f"the API answers {response.status_code}, which asking again does not change"


def _clock_lead(headers: httpx.Headers) -> timedelta | None:
    """By how much this machine's clock is ahead of the `Date` of an answer that has just come; None where it has none."""
    try:
        date = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return datetime.now(UTC) - (date if date.tzinfo else date.replace(tzinfo=UTC))


def _in_one_line(error: httpx.RequestError) -> str:
    text = " ".join(str(error).split())
    return f"{text} ({type(error).__name__})" if text else type(error).__name__
