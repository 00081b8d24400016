"""What every check finds, and how Dagster shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg

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

    def result(self, check: dg.AssetCheckKey, severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
        """The finding as the result of `check`."""
        return dg.AssetCheckResult(
            asset_key=check.asset_key,
            check_name=check.name,
            passed=self.passed,
            severity=severity,
            description=self.sentence,
            metadata=self.metadata(),
        )
