"""One pace for all workers: how many requests a second, learnt from what the API tolerates.

Requests leave one by one, spaced by the rate, from a single line; a refusal (429 or 503) holds up the whole line, so no herd
comes back at once. The rate is

- at first quick to grow, with every accepted request: an API without a limit is soon asked as fast as it answers, one with a
  limit refuses a few requests and not a whole window of them;
- after a 429 a little below what the API accepted since the refusal before, since between two refusals a limiter gives away
  exactly its allowance; after a 503, which tells of trouble and not of a limit, a part of what it was;
- then slow to climb at first, close to the limit that was found, and ever faster the longer nothing is refused.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable

_LOGGER = logging.getLogger(__name__)

_FIRST_RATE = 200.0
_GROWTH_PER_ACCEPTED = 4.0
_JUST_BELOW = 0.95
_AFTER_TROUBLE = 0.7
_LARGEST_DROP = 0.5
_SLOWEST_RATE = 1.0
# After so many seconds a learnt rate is back where the limit was found; after three times as many it is 1.5 times as high.
_CLIMB_SECONDS = 20.0
# A line that was held up by the event loop may catch up by so much, which keeps the average; more would be a burst.
_CATCH_UP_SECONDS = 0.02
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0


class Pace:
    """The line that every request passes. `ceiling` is in requests/s (0: none); `clock` gives monotonic seconds."""

    def __init__(self, ceiling: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ceiling = ceiling or math.inf
        self._learnt: float | None = None
        self._line = asyncio.Lock()
        self._next = 0.0
        self._refused_at = clock()
        self._accepted = 0
        self._fruitless = 0

    def rate(self) -> float:
        """The present rate (requests/s)."""
        if self._learnt is None:
            return min(self._ceiling, _FIRST_RATE + _GROWTH_PER_ACCEPTED * self._accepted)
        quiet = (self._clock() - self._refused_at) / _CLIMB_SECONDS
        return min(self._ceiling, self._learnt * (1 + (1 / _JUST_BELOW - 1) * quiet**2))

    async def turn(self) -> float:
        """Wait until the next request may leave; the time (monotonic) at which it does."""
        async with self._line:
            # A refusal may move the turn while it is waited for.
            while (wait := self._next - self._clock()) > 0:  # noqa: ASYNC110 - it is a time that is waited for, no event
                await asyncio.sleep(wait)
            now = self._clock()
            self._next = max(self._next, now - _CATCH_UP_SECONDS) + 1 / self.rate()
        return now

    def accepted(self) -> None:
        """A request was answered, whatever the answer, other than by a refusal."""
        self._accepted += 1

    def refused(self, sent_at: float, *, limited: bool, retry_after: float | None) -> None:
        """A request that left at `sent_at` was refused: `limited` (429), or the API is in trouble (503).

        Everyone waits for `retry_after` seconds, or for a random time where the API names none.
        """
        now = self._clock()
        if sent_at <= self._refused_at:
            # It left before the refusal that everyone waits for already.
            self._next = max(self._next, now + (retry_after or 0.0))
            return
        self._fruitless = 0 if self._accepted else self._fruitless + 1
        # Where nothing was accepted the wait was too short, which says nothing about the rate.
        if self._accepted:
            self._learnt = self._lower_rate(now, limited=limited)
        pause = self._random_pause() if retry_after is None else retry_after
        self._next = max(self._next, now + pause)
        self._refused_at = now
        self._accepted = 0
        _LOGGER.info("the partner API refuses requests: waiting %.1f s, then %.0f requests/s", pause, self.rate())

    def _lower_rate(self, now: float, *, limited: bool) -> float:
        rate = self.rate()
        if not limited:
            return max(_SLOWEST_RATE, _AFTER_TROUBLE * rate)
        tolerated = self._accepted / max(1.0, now - self._refused_at)
        # The first refusal comes early where somebody else used the allowance up before, and says little about it.
        lowest = max(_SLOWEST_RATE, _LARGEST_DROP * min(rate, _FIRST_RATE))
        return min(rate, max(lowest, _JUST_BELOW * tolerated))

    def _random_pause(self) -> float:
        return random.uniform(0, min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**self._fruitless))  # noqa: S311 - jitter
