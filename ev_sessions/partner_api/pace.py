"""One pace for all workers: how many requests a second, learnt from what the API tolerates.

Requests leave one by one, spaced by the rate, from a single line; a refusal (429 or 503) holds up the whole line, so no herd
comes back at once. The rate is

- at first high for about a limiter's burst, then moderate for a moment, then quick to grow: a limit of about 100 requests/s or
  less shows while few requests are under way, and an API without one is soon asked as fast as it answers;
- after a 429 what the API tolerated: between two refusals a limiter gives away exactly its allowance, before the first one a
  burst as well, mostly a second's worth;
- after a 503, which tells of trouble and not of a limit, a part of what it was;
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

# The start, by the number of requests sent: a burst's worth; more at a rate at which a limit shows; growth with every request.
_BURST_REQUESTS, _BURST_RATE = 97, 600.0
_LOOKING_REQUESTS, _LOOKING_RATE = 65, 150.0
_GROWTH_PER_REQUEST = 16.0
_BURST_SECONDS = 1.0

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
    """When the next request may leave. `ceiling` is in requests/s (0: none); `clock` gives monotonic seconds.

    It belongs to no event loop: several clients, one after the other, can go on with what one of them has learnt.
    """

    def __init__(self, ceiling: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ceiling = ceiling or math.inf
        self._clock = clock
        self._next = -math.inf
        self._learnt: float | None = None
        self._sent = 0
        self._refused_at = -math.inf
        self._fruitless = 0
        # What was accepted since the last refusal, or since the first request.
        self._accepted = 0
        self._since = clock()

    def rate(self) -> float:
        """The present rate (requests/s)."""
        return min(self._ceiling, self._starting_rate() if self._learnt is None else self._learnt * self._climb())

    async def turn(self) -> float:
        """Wait until the next request may leave; the time (monotonic) at which it does. To be awaited by one at a time."""
        # A refusal may move the turn while it is waited for.
        while (wait := self._next - self._clock()) > 0:  # noqa: ASYNC110 - it is a time that is waited for, no event
            await asyncio.sleep(wait)
        now = self._clock()
        if not self._sent:
            self._since = now
        self._sent += 1
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
        if self._accepted and limited:
            self._learn(now - self._since)
        elif self._accepted:
            self._give_way()
        pause = self._random_pause() if retry_after is None else retry_after
        self._next = max(self._next, now + pause)
        self._refused_at = self._since = now
        self._accepted = 0
        _LOGGER.info("the partner API refuses requests: waiting %.1f s, then %.0f requests/s", pause, self.rate())

    def _starting_rate(self) -> float:
        if self._sent < _BURST_REQUESTS:
            return _BURST_RATE
        return _LOOKING_RATE + _GROWTH_PER_REQUEST * max(0, self._sent - _BURST_REQUESTS - _LOOKING_REQUESTS)

    def _climb(self) -> float:
        quiet = (self._clock() - self._since) / _CLIMB_SECONDS
        return 1 + (1 / _JUST_BELOW - 1) * quiet**2

    def _learn(self, seconds: float) -> None:
        """Take the rate from what was accepted in the `seconds` before a 429."""
        rate = self.rate()
        if self._learnt is None:
            tolerated = self._accepted / (seconds + _BURST_SECONDS)
        else:
            tolerated = _JUST_BELOW * self._accepted / max(seconds, _BURST_SECONDS)
        # Bounded, for the allowance may have been used up by somebody else.
        lowest = max(_SLOWEST_RATE, _LARGEST_DROP * min(rate, _LOOKING_RATE))
        self._learnt = max(lowest, min(tolerated, _JUST_BELOW * rate))

    def _give_way(self) -> None:
        """Lower the rate without a limit being known: back to looking, or by a part."""
        if self._learnt is None:
            self._sent = min(self._sent, _BURST_REQUESTS)
        else:
            self._learnt = max(_SLOWEST_RATE, _AFTER_TROUBLE * self.rate())

    def _random_pause(self) -> float:
        return random.uniform(0, min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**self._fruitless))  # noqa: S311 - jitter
