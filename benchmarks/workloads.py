"""The workloads: how large a fleet, how many days, and how the simulated API behaves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from ev_sessions.days import DayRange

LAST_DAY = date(2025, 12, 31)
SANDBOX_NOW = "2026-01-15T03:15:00Z"
"""Two weeks after the last day: every session has ended and been restated, so that each reader is given the same answers."""

LATENCY_MS = 30.0


@dataclass(frozen=True, slots=True)
class Workload:
    """One fleet and window. `rate_limit` is in requests/s (0: none), `fail_rate` a share of the requests."""

    name: str
    vehicles: int
    days: int
    rate_limit: float = 0.0
    fail_rate: float = 0.0

    @property
    def window(self) -> DayRange:
        """The UTC days that every contender reads."""
        return DayRange.trailing(LAST_DAY, self.days)

    def __str__(self) -> str:
        limits = [f"at most {self.rate_limit:g} requests/s"] if self.rate_limit else []
        faults = [f"{self.fail_rate:.0%} of the requests fail"] if self.fail_rate else []
        return ", ".join([f"{self.vehicles:,} vehicles x {self.days} day{'s' * (self.days > 1)}", *limits, *faults])


W1 = Workload("W1", vehicles=1_000, days=1)
W2 = Workload("W2", vehicles=1_000, days=30)
W3 = Workload("W3", vehicles=300, days=30, rate_limit=100)
W4 = Workload("W4", vehicles=300, days=30, fail_rate=0.02)

SMALL_FLEET = Workload("small fleet", vehicles=1_000, days=7)
LARGE_FLEET = Workload("large fleet", vehicles=20_000, days=7)
