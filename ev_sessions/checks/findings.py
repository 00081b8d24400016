"""What checks have in common: the days that they look at, what they find, and how Dagster shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import dagster as dg

from ev_sessions.assets.graph import Graph
from ev_sessions.automation.refresh import run_days, trailing_days
from ev_sessions.days import DayRange

# A check's metadata names so many days; the rest is counted.
_DAYS_SHOWN = 31


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: whether it holds, one sentence, and the days (UTC) on which it does not."""

    passed: bool
    sentence: str
    days: Sequence[date] = ()

    def metadata(self) -> dict[str, Any]:
        """The finding as a check shows it."""
        shown = [day.isoformat() for day in self.days[:_DAYS_SHOWN]]
        return {"finding": self.sentence} | ({"days": shown, "days_in_all": len(self.days)} if shown else {})

    def result(
        self, check: dg.AssetCheckKey, severity: dg.AssetCheckSeverity, more: Mapping[str, Any] | None = None
    ) -> dg.AssetCheckResult:
        """The finding as the result of `check`, with `more` metadata."""
        return dg.AssetCheckResult(
            asset_key=check.asset_key,
            check_name=check.name,
            passed=self.passed,
            severity=severity,
            description=self.sentence,
            metadata={**self.metadata(), **(more or {})},
        )


def days_to_check(graph: Graph, run: dg.DagsterRun, now: datetime, lookback_days: int) -> DayRange:
    """The days of `run`; where it has none, those that a daily refresh at `now` (aware) would read.

    Raises:
        Failure: no day is over yet.
    """
    # A check that runs alone has no partitions and must not ask for them.
    days = run_days(run) or trailing_days(graph, now, lookback_days + 1)
    if days is None:
        raise dg.Failure(f"There is nothing to check yet: the first day, {graph.first_day}, is not over.", allow_retries=False)
    return days
