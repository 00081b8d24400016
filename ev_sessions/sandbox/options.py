"""What a sandbox can be told: the size and habits of its fleet, the manners of its server, its clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from ev_sessions.days import DayRange
from ev_sessions.errors import PermanentError
from ev_sessions.settings import SessionDay

_SHARES = (
    "fail_rate",
    "drift",
    "malformed_rate",
    "restated_rate",
    "withdrawn_rate",
    "added_rate",
    "deleted_rate",
    "wrong_savings",
)
_POSITIVE = ("vehicles", "vehicles_per_user", "days", "token_ttl")
_NOT_NEGATIVE = ("latency_ms", "rate_limit")


class SandboxOptionError(PermanentError, ValueError):
    """An option of the sandbox that makes no sense."""


class Order(StrEnum):
    """The order in which a vehicle's sessions are listed."""

    PLUG_IN = "plug_in"
    RANDOM = "random"


class SavingsPeriod(StrEnum):
    """What decides in which period the API's own sums have a session: its plug-in or its end (UTC), or its end by local time."""

    PLUG_IN = "plug_in"
    END = "end"
    LOCAL_END = "local_end"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """The options of one sandbox. Shares lie within 0..1.

    Raises:
        SandboxOptionError: an option outside its range.
    """

    end: date
    """The last UTC day of the history: sessions plug in on the `days` days that end with it."""
    days: int = 30
    vehicles: int = 200
    vehicles_per_user: int = 1
    seed: int = 1

    latency_ms: float = 0.0
    """How long every answer takes, on top of the work (ms)."""
    rate_limit: float = 0.0
    """Requests per second over all clients, with a burst of one second's worth; 0: no limit."""
    fail_rate: float = 0.0
    """Share of requests that fail: 500, 503, 429, a cut connection, half a body, an HTML page."""
    token_ttl: int = 36_000
    """How long a token is valid (s)."""
    drift: float = 0.0
    """Share of the lists of several pages that shift once while they are read."""
    now: datetime | None = None
    """The sandbox's clock, aware, standing still; None: the real clock, or the end of a replayed file."""

    session_day: SessionDay = SessionDay.PLUG_IN_TIME
    """What `from` and `to` filter on."""
    order: Order = Order.PLUG_IN
    malformed_rate: float = 0.001
    """Share of sessions that are listed in a form that breaks the contract."""
    restated_rate: float = 0.03
    """Share of sessions whose money, and sometimes energy, changes one to six days after they end."""
    withdrawn_rate: float = 0.0
    """Share of sessions that are no longer listed from one to six days after they end."""
    added_rate: float = 0.05
    """Share of vehicles that join within the history."""
    deleted_rate: float = 0.04
    """Share of vehicles that are deleted within the history."""
    savings_period: SavingsPeriod = SavingsPeriod.PLUG_IN
    """How the API's own sums cut their periods."""
    wrong_savings: float = 0.0
    """Share of vehicles whose savings are 5 % too high in the API's own sums."""
    odd_savings: bool = False
    """Whether the API's own sums come in a shape that nobody expects."""

    def __post_init__(self) -> None:
        for name in _SHARES:
            self._require(name, "a share between 0 and 1", 0 <= getattr(self, name) <= 1)
        for name in _POSITIVE:
            self._require(name, "1 or more", getattr(self, name) >= 1)
        for name in _NOT_NEGATIVE:
            self._require(name, "0 or more", getattr(self, name) >= 0)
        self._require("now", "an instant with its time zone", self.now is None or self.now.tzinfo is not None)

    @property
    def history(self) -> DayRange:
        """The UTC days on which sessions plug in."""
        return DayRange(self.end - timedelta(days=self.days - 1), self.end)

    def _require(self, name: str, expected: str, holds: bool) -> None:  # noqa: FBT001 - the condition is the point
        if not holds:
            raise SandboxOptionError(f"the sandbox's option {name} is {getattr(self, name)}; it has to be {expected}")
