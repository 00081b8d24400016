"""Asks for the API's own sums: of which months, of whom within how many requests, and what came of it as rows.

The organisation's sum takes a request a month, of which there are half the allowed ones at most; a vehicle's months take one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

from ev_sessions.days import ONE_DAY, DayRange, DayRangeError, parse_month, utc_today
from ev_sessions.ingest.plan import VehicleWindow
from ev_sessions.partner_api import PartnerApi, RequestFailed, RequestRefused, UnexpectedAnswer
from ev_sessions.reconciled import Reconciled

MOST_MONTHS = 12
"""So many months, the newest that are old enough, are asked for."""

Row = dict[str, Any]
"""The columns of `raw.reconciliations` that are known before anything is compared. `outcome` is None where it is yet to be."""

T = TypeVar("T")
Question = Callable[[], Awaitable[list[Row]]]


def months_to_ask(first_day: date, now: datetime, lookback_days: int) -> list[date]:
    """The newest months (their first days, in order) that begin with `first_day` or later and can be final at `now` (aware)."""
    months: list[date] = []
    month = DayRange.month(utc_today(now) - ONE_DAY * lookback_days)
    while len(months) < MOST_MONTHS and (month := DayRange.month(month.first - ONE_DAY)).first >= first_day:
        months.insert(0, month.first)
    return months


def parse_past_month(text: str, first_day: date, now: datetime) -> date:
    """The first day of the month that `text` (YYYY-MM) names.

    Raises:
        DayRangeError: it names none, one that is not over at `now` (aware), or one that begins before `first_day`.
    """
    month = parse_month(text)
    if month.first < first_day:
        raise DayRangeError(f"{text} begins before the first day, {first_day}, so it is not whole here; ask for a later one")
    if month.last >= utc_today(now):
        raise DayRangeError(f"{text} is not over yet (UTC), so its sums still grow; ask for an earlier one")
    return month.first


def months_touched(days: DayRange, months: Iterable[date]) -> list[date]:
    """Those of `months` (first days) that have any of `days`, in order."""
    return sorted(month for month in months if DayRange.month(month).clip(days.first, days.last))


async def ask_sums(
    api: PartnerApi, months: Sequence[date], windows: Iterable[VehicleWindow], *, budget: int, concurrency: int
) -> list[Row]:
    """What the API says of `months` (first days), of the organisation and of as many of `windows` as `budget` requests allow.

    Both are asked in the order given. A vehicle is asked for the months that its window touches, as it does at least one.
    Repeated requests count; those that are being repeated when the budget runs out may go beyond it. What cannot be read or
    understood is told in the row.

    Raises:
        CredentialsRefused, RetryBudgetSpent, ...: what concerns all of them.
    """
    totals: list[Question] = [partial(_of_organisation, api, month) for month in months]
    vehicles: list[Question] = [partial(_of_vehicle, api, window, months) for window in windows]
    queue = deque(totals[: max(1, budget // 2)] + vehicles)
    rows: list[Row] = []
    asked = 0

    async def work() -> None:
        nonlocal asked
        while queue and asked + api.counts.retries < budget:
            asked += 1
            rows.extend(await queue.popleft()())

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(concurrency, len(queue))):
                workers.create_task(work())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return rows


async def _of_organisation(api: PartnerApi, month: date) -> list[Row]:
    savings = await _answer(api.organisation_savings(DayRange.month(month)))
    return [_row(month, {"api_savings_eur": savings} if isinstance(savings, Decimal) else savings)]


async def _of_vehicle(api: PartnerApi, window: VehicleWindow, months: Sequence[date]) -> list[Row]:
    """A row for each month of the vehicle's life; without any figure where the answer leaves the month out."""
    own = months_touched(window.days, months)
    days = DayRange(own[0], DayRange.month(own[-1]).last)
    answer = await _answer(api.monthly_savings(window.user_id, window.electric_vehicle_id, days))
    owner = {"user_id": window.user_id, "electric_vehicle_id": window.electric_vehicle_id}
    if isinstance(answer, dict):
        return [_row(month, owner | answer) for month in own]
    told = {
        each.month: {
            "api_sessions": each.sessions,
            "api_energy_kwh": each.energy_kwh,
            "api_savings_eur": each.savings_eur,
        }
        for each in answer
    }
    return [_row(month, owner | told.get(month, {})) for month in own]


async def _answer(asked: Awaitable[T | UnexpectedAnswer]) -> T | Row:
    """The answer, or the columns that tell why there is none."""
    try:
        answer = await asked
    except (RequestFailed, RequestRefused) as error:
        return {"outcome": Reconciled.FAILED, "cause": str(error)}
    if isinstance(answer, UnexpectedAnswer):
        return {"outcome": Reconciled.UNEXPECTED, "cause": f"an answer of unexpected shape: {answer.shape}"}
    return answer


def _row(month: date, known: Row) -> Row:
    return {**_UNKNOWN, "report_month": month, **known}


_UNKNOWN: Row = dict.fromkeys(
    ("user_id", "electric_vehicle_id", "outcome", "api_sessions", "api_energy_kwh", "api_savings_eur", "cause")
)
