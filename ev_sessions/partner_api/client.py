"""The partner API as an async context manager: users, vehicles, the sessions of one vehicle, and the API's own sums."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from types import TracebackType
from typing import Self, TypeVar
from uuid import UUID

import httpx

from ev_sessions.days import ONE_DAY, DayRange
from ev_sessions.partner_api.auth import CachedToken, StaticBearer, Token, read_token, token_refusal, token_request
from ev_sessions.partner_api.config import API_PATH, ClientCredentials, PartnerApiConfig
from ev_sessions.partner_api.errors import (
    ConfigError,
    ContractBroken,
    CredentialsRefused,
    NotPermitted,
    OrganisationNotFound,
    RequestFailed,
    RequestRefused,
    UnreadableAnswer,
    VehicleGone,
)
from ev_sessions.partner_api.fleet_records import User, Vehicle, read_users, read_vehicles
from ev_sessions.partner_api.pace import Pace
from ev_sessions.partner_api.paging import read_list
from ev_sessions.partner_api.records import Page, SessionRecord, read_page
from ev_sessions.partner_api.rejected import Rejected
from ev_sessions.partner_api.requester import Reply, Requester
from ev_sessions.partner_api.savings import (
    MonthSavings,
    UnexpectedAnswer,
    read_monthly_savings,
    read_organisation_savings,
)
from ev_sessions.partner_api.transport import Counts

T = TypeVar("T")
GetPage = Callable[[str, Callable[[bytes], Page]], Awaitable[Reply[Page]]]

_HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate", "User-Agent": "ev-sessions"}

_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _GONE = 401, 403, 404, 410

# A list with more is no list of one car's sessions, and reading it would never end.
_MOST_SESSIONS_PER_DAY = 10_000


@dataclass(frozen=True, slots=True)
class SessionAnswer:
    """The sessions of one vehicle and window, in the API's order, and what it took to read them.

    `total` is the API's own count; `matches` is False where the records differ from it in the same way on every one of `reads`
    reads. `requests` include the `retries`; `pages` are those of all reads.
    """

    sessions: list[SessionRecord]
    rejected: list[Rejected]
    total: int
    requests: int = 0
    pages: int = 0
    retries: int = 0
    reads: int = 1
    matches: bool = True


class PartnerApi:
    """One organisation's data. To be used as an async context manager, by as many tasks of one event loop as one likes.

    `pace` is what an earlier client of the same API has learnt of the rate that it tolerates; None: nothing is known yet.

    Every method raises, besides what it says itself:
        CredentialsRefused: the API does not accept the credentials.
        ContractBroken: the API gives no token that could be used.
        RequestFailed: something could not be read, after all attempts.
        RequestRefused: the API refuses a request for good.
        RetryBudgetSpent: so much failed that the run should stop.
    """

    def __init__(self, config: PartnerApiConfig, pace: Pace | None = None) -> None:
        self._requester = Requester(config, pace or Pace(config.max_requests_per_second))
        self._auth = self._auth_for(config)
        self._organisation = f"{config.root}{API_PATH}/org/{config.org_id}"
        self._page_size = config.page_size

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection; the client cannot be used afterwards."""
        await self._requester.aclose()

    @property
    def counts(self) -> Counts:
        """What was asked so far."""
        return self._requester.counts

    @property
    def clock_lead(self) -> timedelta | None:
        """By how much this machine's clock is ahead of the API's, to the second; None where its last answer had no date."""
        return self._requester.clock_lead

    async def users(self, *, include_deleted: bool = True) -> tuple[list[User], list[Rejected]]:
        """The organisation's users, and the records that do not fit.

        Raises:
            NotPermitted, OrganisationNotFound: the organisation is not ours to read, or unknown.
            ContractBroken: the answer is no list, however often it is asked for.
        """
        url = f"{self._organisation}/users?include_deleted={str(include_deleted).lower()}"
        try:
            return (await self._get("the organisation's users", url, read_users)).value
        except RequestFailed as failed:
            raise _about_contract(failed) from failed.__cause__
        except RequestRefused as refused:
            raise _about_organisation(refused) from None

    async def vehicles(self, user_id: UUID) -> tuple[list[Vehicle], list[Rejected]]:
        """The electric vehicles of one user, and the records that do not fit.

        Raises:
            VehicleGone: 403, 404 or 410 for this user.
        """
        url = f"{self._organisation}/users/{_segment(user_id)}/electric-vehicles"
        try:
            return (await self._get("the vehicles of a user", url, lambda body: read_vehicles(body, user_id))).value
        except RequestRefused as refused:
            raise _about_vehicle(refused) from None

    async def sessions(self, user_id: UUID, vehicle_id: UUID, days: DayRange) -> SessionAnswer:
        """The completed sessions that the API lists for one vehicle from the first to the last of `days`, both included (UTC).

        Raises:
            VehicleGone: 403, 404 or 410 for this vehicle.
            RequestFailed: also where the list changes under every read.
        """
        url = (
            f"{self._organisation}/users/{_segment(user_id)}/electric-vehicles/{_segment(vehicle_id)}/sessions"
            f"?from={days.first}&to={days.last}&limit={self._page_size}"
        )
        reading = _Reading(partial(self._get, "the sessions of a vehicle"), url, _MOST_SESSIONS_PER_DAY * len(days))
        try:
            return await reading.answer()
        except RequestRefused as refused:
            raise _about_vehicle(refused) from None
        finally:
            self.counts.pages += reading.pages

    async def monthly_savings(self, user_id: UUID, vehicle_id: UUID, days: DayRange) -> list[MonthSavings] | UnexpectedAnswer:
        """What the API itself sums up of one vehicle, for each month of `days` (whole months, UTC), in one request.

        Raises:
            VehicleGone: 403, 404 or 410 for this vehicle.
        """
        url = (
            f"{self._organisation}/users/{_segment(user_id)}/electric-vehicles/{_segment(vehicle_id)}/savings"
            f"?from={days.first}&to={days.last}&resolution=1MONTH"
        )
        try:
            return (await self._get("the savings of a vehicle", url, read_monthly_savings)).value
        except RequestRefused as refused:
            raise _about_vehicle(refused) from None

    async def organisation_savings(self, days: DayRange) -> Decimal | UnexpectedAnswer:
        """What the API itself sums up of all electric vehicles from the beginning to the end of `days` (UTC): EUR."""
        url = (
            f"{self._organisation}/devices/savings"
            f"?start_datetime={days.first}T00:00:00Z&end_datetime={days.last + ONE_DAY}T00:00:00Z"
        )
        return (await self._get("the savings of the organisation", url, read_organisation_savings)).value

    def _auth_for(self, config: PartnerApiConfig) -> httpx.Auth:
        credentials = config.credentials
        if isinstance(credentials, ClientCredentials):
            return CachedToken(partial(self._obtain_token, token_request(config.root, credentials)))
        return StaticBearer(credentials.token)

    async def _obtain_token(self, request: httpx.Request) -> Token:
        try:
            return (await self._requester.ask("the access token", request, read_token)).value
        except RequestFailed as failed:
            raise _about_contract(failed) from failed.__cause__
        except RequestRefused as refused:
            raise token_refusal(refused) from None

    async def _get(self, what: str, url: str, decode: Callable[[bytes], T]) -> Reply[T]:
        try:
            return await self._requester.ask(what, httpx.Request("GET", url, headers=_HEADERS), decode, self._auth)
        except RequestRefused as refused:
            if refused.status != _UNAUTHORISED:
                raise
            raise CredentialsRefused(
                "the partner API does not accept the access token, not even a fresh one; "
                "check that the credentials belong to this host"
            ) from None


class _Reading:
    """The reading of one list of sessions, and what it has taken so far, whatever becomes of it."""

    def __init__(self, get: GetPage, url: str, most_sessions: int) -> None:
        self.pages = 0
        self._requests = 0
        self._retries = 0
        self._get = get
        self._url = url
        self._most_sessions = most_sessions

    async def answer(self) -> SessionAnswer:
        """The list, read until it is whole or its mismatch is stable.

        Raises:
            RequestRefused: a page is refused.
            RequestFailed: a page cannot be read, or the list is another one at every read.
        """
        reads = await read_list(self._page_at)
        last = reads[-1]
        if last.total is None or not (last.matches or all(last.is_like(read) for read in reads)):
            raise RequestFailed(
                f"the sessions of a vehicle: the list changed during each of {len(reads)} reads; try again later",
                requests=self._requests,
                retries=self._retries,
            )
        return SessionAnswer(
            sessions=list(last.sessions.values()),
            rejected=last.rejected,
            total=last.total,
            requests=self._requests,
            pages=self.pages,
            retries=self._retries,
            reads=len(reads),
            matches=last.matches,
        )

    async def _page_at(self, offset: int) -> Page:
        try:
            reply = await self._get(f"{self._url}&offset={offset}", self._read)
        except (RequestRefused, RequestFailed) as error:
            error.requests += self._requests
            error.retries += self._retries
            raise
        self.pages += 1
        self._requests += reply.requests
        self._retries += reply.retries
        return reply.value

    def _read(self, body: bytes) -> Page:
        page = read_page(body)
        if page.total > self._most_sessions:
            raise UnreadableAnswer(f"a total of {page.total} sessions of one vehicle is beyond belief")
        return page


def _segment(some_id: UUID) -> str:
    """An id as part of a path; nothing but a UUID, so that no other path can be asked for."""
    if not isinstance(some_id, UUID):
        raise ConfigError("id", f"is of type {type(some_id).__name__}; expected: a UUID")
    return str(some_id)


def _about_contract(failed: RequestFailed) -> RequestFailed | ContractBroken:
    """What a failure means where nothing can be done without the answer: one that is never understood is no passing fault."""
    return ContractBroken(str(failed)) if isinstance(failed.__cause__, UnreadableAnswer) else failed


def _about_organisation(refused: RequestRefused) -> RequestRefused:
    about = {"status": refused.status, "requests": refused.requests, "retries": refused.retries}
    if refused.status == _FORBIDDEN:
        return NotPermitted(f"{refused}; check that the credentials belong to the organisation", **about)
    if refused.status in {_NOT_FOUND, _GONE}:
        return OrganisationNotFound(f"{refused}; check the organisation's id and the base url", **about)
    return refused


def _about_vehicle(refused: RequestRefused) -> RequestRefused:
    if refused.status in {_FORBIDDEN, _NOT_FOUND, _GONE}:
        return VehicleGone(str(refused), status=refused.status, requests=refused.requests, retries=refused.retries)
    return refused
