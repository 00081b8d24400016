"""Ranges of days at the edges of days, months and years."""

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_sessions.days import DayRange, DayRangeError, consecutive, islands, parse_day, parse_instant, parse_month, utc_today

DAYS = st.dates(date(2000, 1, 1), date(2100, 1, 1))


def test_a_range_includes_both_of_its_ends() -> None:
    assert list(DayRange(date(2024, 2, 28), date(2024, 3, 1))) == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]


def test_a_range_of_one_day_has_one_day() -> None:
    assert len(DayRange(date(2025, 12, 31), date(2025, 12, 31))) == 1


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(DayRangeError, match=r"2025-01-02\.\.2025-01-01 ends before it begins"):
        DayRange(date(2025, 1, 2), date(2025, 1, 1))


@given(first=DAYS, length=st.integers(1, 800), size=st.integers(1, 400))
def test_the_pieces_of_a_split_follow_each_other_and_lose_no_day(first: date, length: int, size: int) -> None:
    whole = DayRange(first, first + timedelta(days=length - 1))
    pieces = whole.split(size)
    assert [day for piece in pieces for day in piece] == list(whole)
    assert all(len(piece) == size for piece in pieces[:-1])
    assert len(pieces[-1]) <= size


@given(first=DAYS, length=st.integers(1, 800), size=st.integers(1, 400))
def test_the_pieces_of_a_split_from_the_back_are_full_but_for_the_oldest(first: date, length: int, size: int) -> None:
    whole = DayRange(first, first + timedelta(days=length - 1))
    pieces = whole.split_back(size)
    assert [day for piece in reversed(pieces) for day in piece] == list(whole)
    assert all(len(piece) == size for piece in pieces[:-1])


def test_a_range_is_not_split_from_the_back_into_nothing() -> None:
    with pytest.raises(DayRangeError, match="pieces of 0 days"):
        DayRange(date(2025, 1, 1), date(2025, 1, 2)).split_back(0)


@given(st.lists(st.builds(DayRange.trailing, st.dates(date(2025, 1, 1), date(2025, 3, 1)), st.integers(1, 9))))
def test_islands_have_the_same_days_in_the_fewest_ranges(ranges: list[DayRange]) -> None:
    found = islands(ranges)
    assert {day for days in found for day in days} == {day for days in ranges for day in days}
    assert all(before.last + timedelta(days=1) < after.first for before, after in pairwise(found))


def test_days_that_follow_on_one_another_are_one_range() -> None:
    days = [date(2025, 3, 1), date(2025, 2, 27), date(2025, 2, 28), date(2025, 3, 3)]
    assert [str(each) for each in consecutive(days)] == ["2025-02-27..2025-03-01", "2025-03-03..2025-03-03"]


def test_a_split_crosses_the_end_of_a_year() -> None:
    assert DayRange(date(2023, 12, 30), date(2024, 1, 2)).split(2) == [
        DayRange(date(2023, 12, 30), date(2023, 12, 31)),
        DayRange(date(2024, 1, 1), date(2024, 1, 2)),
    ]


def test_a_clip_without_bounds_changes_nothing() -> None:
    days = DayRange(date(2025, 1, 1), date(2025, 1, 31))
    assert days.clip(None, None) == days


def test_a_clip_that_leaves_nothing_is_none() -> None:
    assert DayRange(date(2025, 1, 1), date(2025, 1, 31)).clip(date(2025, 2, 1), None) is None


@given(first=DAYS, length=st.integers(1, 60), lower=st.none() | DAYS, upper=st.none() | DAYS)
def test_a_clip_keeps_exactly_the_days_within_its_bounds(
    first: date, length: int, lower: date | None, upper: date | None
) -> None:
    days = DayRange(first, first + timedelta(days=length - 1))
    kept = [day for day in days if (lower is None or day >= lower) and (upper is None or day <= upper)]
    assert list(days.clip(lower, upper) or []) == kept


def test_the_trailing_days_end_with_the_day_named() -> None:
    assert DayRange.trailing(date(2025, 3, 1), 15) == DayRange(date(2025, 2, 15), date(2025, 3, 1))


@pytest.mark.parametrize("text", ["2025-02-29", "2025-13-01", "yesterday", "", "01.02.2025", "2025-1-1T00:00"])
def test_what_is_no_day_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(DayRangeError, match="write it as YYYY-MM-DD"):
        parse_day(text)


@pytest.mark.parametrize("text", ["2026-13", "2026-3-1", "March", "", "0001-01", "1899-12", "3000-01", "9999-12"])
def test_what_is_no_month_or_lies_too_far_from_any_session_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(DayRangeError, match="write it as YYYY-MM"):
        parse_month(text)


@pytest.mark.parametrize(
    "text",
    ["yesterday", "", "0001-01-01T00:00:00+14:00", "1899-12-31T23:00:00Z", "2999-12-31T23:00-02:00", "9999-12-31T23:59:59-12:00"],
)
def test_what_is_no_instant_or_lies_too_far_from_any_session_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(DayRangeError, match="write it as 2026-04-01T03:15:00Z"):
        parse_instant(text)


def test_an_instant_without_a_zone_is_utc_and_one_with_a_zone_is_the_same_instant() -> None:
    assert parse_instant("2026-04-01T03:15:00") == datetime(2026, 4, 1, 3, 15, tzinfo=UTC)
    assert parse_instant("2026-04-01T05:15:00+02:00") == datetime(2026, 4, 1, 3, 15, tzinfo=UTC)


def test_a_leap_day_is_a_day() -> None:
    assert parse_day("2024-02-29") == date(2024, 2, 29)


def test_today_is_the_utc_day_whatever_the_local_clock_says() -> None:
    local = datetime(2025, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    assert utc_today(local) == date(2024, 12, 31)
    assert utc_today(local.astimezone(UTC)) == date(2024, 12, 31)


@given(day=DAYS)
def test_a_month_begins_with_its_first_day_and_ends_before_the_next_one(day: date) -> None:
    month = DayRange.month(day)
    assert day in month
    assert month.first.day == 1
    assert (month.last + timedelta(days=1)).day == 1
    assert len(month) <= 31
