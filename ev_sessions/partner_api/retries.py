"""What is worth asking again, when, and how often: the judgement about answers and failures, and the run's budget."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from ev_sessions.partner_api.errors import RetryBudgetSpent

TOO_MANY_REQUESTS = 429
REFUSALS = frozenset({TOO_MANY_REQUESTS, 503})
"""The API asks everyone to wait."""

_REQUEST_TIMEOUT = 408
_SERVER_ERRORS = range(500, 600)
_LONGEST_RETRY_AFTER_SECONDS = 120.0
_FIRST_BACKOFF_SECONDS = 0.25
_BACKOFF_GROWTH = 3
_LONGEST_BACKOFF_SECONDS = 20.0
_REQUESTS_PER_EXTRA_RETRY = 10


def is_transient(status: int) -> bool:
    """Whether the same request may well be answered differently in a while."""
    return status in {_REQUEST_TIMEOUT, TOO_MANY_REQUESTS} or status in _SERVER_ERRORS


def retry_after(headers: httpx.Headers) -> float | None:
    """The seconds that `Retry-After` asks for, given in seconds or as an HTTP date, within 0..120; None where it names none."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        # Beyond nine digits it is the longest wait whatever it says, and need not be read.
        seconds = float(text[:9]) if len(text) <= 9 else _LONGEST_RETRY_AFTER_SECONDS  # noqa: PLR2004 - see above
    elif (date := http_date(text)) is not None:
        seconds = (date - datetime.now(UTC)).total_seconds()
    else:
        return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_SECONDS)


def http_date(text: str) -> datetime | None:
    """The instant that an HTTP date names; None where it is none."""
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    # It is in GMT, also where it does not say so.
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def backoff(attempt: int) -> float:
    """A random time (s) to wait after the `attempt`-th failure, counted from 1: exponential with full jitter."""
    longest = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * _BACKOFF_GROWTH ** (attempt - 1))
    return random.uniform(0, longest)  # noqa: S311 - jitter, not a secret


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """The retries that one client may make in all: `allowance`, and one for every ten requests."""

    allowance: int

    def check(self, *, retries: int, requests: int, failure: str) -> None:
        """Whether one more retry is allowed, after `failure`.

        Raises:
            RetryBudgetSpent: it is not.
        """
        if retries >= self.allowance + requests // _REQUESTS_PER_EXTRA_RETRY:
            raise RetryBudgetSpent(
                f"{retries} of {requests} requests had to be repeated, which is all that a run may; last: {failure}. "
                "See whether the partner API is up, then run again"
            )
