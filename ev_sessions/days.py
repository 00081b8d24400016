"""Ranges of UTC days: inclusive at both ends, as the partner API's `from` and `to` are, and how they split.

Calendar arithmetic only; what a day means to a session is decided in `ev_sessions.ingest`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from ev_sessions.errors import PermanentError

ONE_DAY = timedelta(days=1)

# So far from the first and the last day that a date can be that days, months and zones can be added and taken away.
_YEARS = range(1900, 3000)


class DayRangeError(PermanentError, ValueError):
    """A day or a range of days that cannot be used."""


@dataclass(frozen=True, slots=True, order=True)
class DayRange:
    """The UTC days from `first` to `last`, both included.

    Raises:
        DayRangeError: `last` lies before `first`.
    """

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise DayRangeError(f"the range {self.first}..{self.last} ends before it begins; swap the two days")

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=offset) for offset in range(len(self)))

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    def __str__(self) -> str:
        return f"{self.first}..{self.last}"

    def clip(self, first: date | None, last: date | None) -> DayRange | None:
        """The part of this range within `first`..`last` (None: no bound on that side), or None where nothing is left."""
        lower = self.first if first is None else max(self.first, first)
        upper = self.last if last is None else min(self.last, last)
        return DayRange(lower, upper) if lower <= upper else None

    def split(self, size: int) -> list[DayRange]:
        """This range cut into consecutive ranges of `size` days; the last one may be shorter."""
        if size < 1:
            raise DayRangeError(f"a range cannot be split into pieces of {size} days; use 1 or more")
        pieces = range(0, len(self), size)
        return [
            DayRange(start, min(start + timedelta(days=size - 1), self.last))
            for start in (self.first + timedelta(days=offset) for offset in pieces)
        ]

    def split_back(self, size: int) -> list[DayRange]:
        """As `split`, but the newest range first, and the oldest may be the shorter one."""
        if size < 1:
            raise DayRangeError(f"a range cannot be split into pieces of {size} days; use 1 or more")
        ends = (self.last - timedelta(days=offset) for offset in range(0, len(self), size))
        return [DayRange(max(self.first, end - timedelta(days=size - 1)), end) for end in ends]

    @classmethod
    def trailing(cls, last: date, days: int) -> DayRange:
        """The `days` days that end with `last`."""
        return cls(last - timedelta(days=days - 1), last)

    @classmethod
    def month(cls, day: date) -> DayRange:
        """The days of the month that `day` is in."""
        after = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
        return cls(day.replace(day=1), after - ONE_DAY)


def islands(ranges: Iterable[DayRange]) -> list[DayRange]:
    """The days of `ranges` as the fewest ranges: those that overlap or follow on one another are one. In order."""
    found: list[DayRange] = []
    for days in sorted(ranges):
        if found and days.first <= found[-1].last + ONE_DAY:
            found[-1] = DayRange(found[-1].first, max(found[-1].last, days.last))
        else:
            found.append(days)
    return found


def consecutive(days: Iterable[date]) -> list[DayRange]:
    """`days` as the fewest ranges, in order."""
    return islands(DayRange(day, day) for day in days)


def parse_day(text: str) -> date:
    """The day that `text` (YYYY-MM-DD) names.

    Raises:
        DayRangeError: anything else.
    """
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise DayRangeError(f"{text!r} is not a day; write it as YYYY-MM-DD, for example 2026-03-01") from None


def parse_month(text: str) -> DayRange:
    """The days of the month that `text` (YYYY-MM) names.

    Raises:
        DayRangeError: anything else.
    """
    try:
        first = parse_day(f"{text}-01")
    except DayRangeError:
        raise DayRangeError(f"{text!r} is not a month; write it as YYYY-MM, for example 2026-03") from None
    if first.year not in _YEARS:
        raise DayRangeError(f"the month {text!r} lies too far away; write it as YYYY-MM, for example 2026-03")
    return DayRange.month(first)


def parse_instant(text: str) -> datetime:
    """The instant that `text` (ISO 8601) names, in UTC; without a zone it is UTC.

    Raises:
        DayRangeError: anything else.
    """
    try:
        stamp = datetime.fromisoformat(text)
        instant = stamp.astimezone(UTC) if stamp.tzinfo else stamp.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise DayRangeError(f"{text!r} is not an instant; write it as 2026-04-01T03:15:00Z") from None
    if instant.year not in _YEARS:
        raise DayRangeError(f"the instant {text!r} lies too far away; write it as 2026-04-01T03:15:00Z")
    return instant


def utc_today(now: datetime) -> date:
    """The UTC day at the instant `now` (aware)."""
    return now.astimezone(UTC).date()
