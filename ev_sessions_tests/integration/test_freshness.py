"""The checks that look at the clock, and the job whose failing tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from ev_sessions.assets.failures import first_cause
from ev_sessions.checks.freshness import disk_space
from ev_sessions.days import ONE_DAY, DayRange
from ev_sessions_tests.operation import Operation, night, operating
from ev_sessions_tests.pipeline import failures, findings, sandbox_with

CHECKS = {"yesterday_is_there", "no_gaps", "disk_space", "vehicles_still_failed"}


@pytest.fixture
def operation(tmp_path: Path) -> Iterator[Operation]:
    """One vehicle, after the night of 28 March, of which the two days before it were read."""
    sandbox = sandbox_with(vehicles=1, days=8, now=night("2025-03-28"))
    with operating(sandbox, tmp_path, lookback_days="1", first_day="2025-03-26") as operation:
        assert operation.refresh().success
        yield operation


def cause(result: dg.ExecuteInProcessResult) -> str:
    return first_cause(result.all_events)


def test_a_morning_after_a_refresh_is_green(operation: Operation) -> None:
    operation.now = datetime(2025, 3, 28, 6, 15, tzinfo=UTC)
    result = operation.freshness()
    assert result.success
    assert findings(result) == dict.fromkeys(CHECKS, True)


def test_nobody_misses_yesterday_before_six_and_everybody_after(operation: Operation) -> None:
    operation.now = datetime(2025, 3, 29, 5, 59, tzinfo=UTC)
    assert operation.freshness().success
    operation.now = datetime(2025, 3, 29, 6, 0, tzinfo=UTC)
    result = operation.freshness()
    assert not result.success
    assert findings(result) == dict.fromkeys(CHECKS, True) | {"yesterday_is_there": False, "no_gaps": False}
    assert cause(result) == (
        "2025-03-28 has not been read; of the 3 days 2025-03-26..2025-03-28, 1 have not been read: 2025-03-28"
    )


def test_a_gap_behind_a_day_that_is_there_fails_the_run_and_names_the_days(operation: Operation) -> None:
    operation.now = night("2025-03-31")
    assert operation.refresh().success
    operation.now = datetime(2025, 3, 31, 6, 15, tzinfo=UTC)
    result = operation.freshness()
    assert findings(result)["yesterday_is_there"]
    assert cause(result) == "of the 5 days 2025-03-26..2025-03-30, 1 have not been read: 2025-03-28"
    operation.run_all("gaps")
    assert operation.freshness().success


def test_a_red_check_of_freshness_fails_no_run_of_other_days(operation: Operation) -> None:
    """A backfill of the page brings every check of its assets along."""
    operation.now = datetime(2025, 3, 31, 6, 15, tzinfo=UTC)
    key = dg.AssetKey("raw_sessions")
    checks = dg.AssetSelection.checks(*(dg.AssetCheckKey(key, name) for name in CHECKS))
    location = dg.Definitions.merge(operation.location, dg.Definitions(jobs=[dg.define_asset_job("by_hand", checks)]))
    result = location.resolve_job_def("by_hand").execute_in_process(instance=operation.pipeline.instance)
    assert result.success
    assert not findings(result)["no_gaps"]


def test_before_the_first_run_the_cause_says_what_to_do(tmp_path: Path) -> None:
    with operating(sandbox_with(vehicles=1), tmp_path) as operation:
        (told,) = failures(operation.freshness())
    assert "no database at" in told
    assert "ev-sessions run" in told


def test_nothing_is_missed_before_the_first_day_is_over(operation: Operation) -> None:
    operation.now = datetime(2025, 3, 26, 12, tzinfo=UTC)
    assert operation.freshness().success


def test_a_nearly_full_disk_fails_the_run_before_a_run_fails_for_it(tmp_path: Path) -> None:
    sandbox = sandbox_with(vehicles=1, days=8, now=night("2025-03-28"))
    with operating(sandbox, tmp_path, lookback_days="0", first_day="2025-03-27", min_free_gb="1e9") as operation:
        assert operation.refresh().success
        result = operation.freshness()
        assert not findings(result)["disk_space"]
        assert "1e+09 are wanted; free some room" in cause(result)


def test_folders_that_are_not_there_yet_stand_on_the_disk_of_those_above_them(tmp_path: Path) -> None:
    assert disk_space([tmp_path / "not" / "yet"], 0).passed
    assert not disk_space([tmp_path / "not" / "yet"], 1e9).passed


def test_gaps_are_told_as_ranges_and_as_days(operation: Operation) -> None:
    operation.now = datetime(2025, 4, 3, 12, tzinfo=UTC)
    result = operation.freshness()
    (check,) = [each for each in result.get_asset_check_evaluations() if each.check_name == "no_gaps"]
    missing = DayRange(date(2025, 3, 28), date(2025, 4, 3) - ONE_DAY)
    assert check.metadata["days"].value == [day.isoformat() for day in missing]
    assert (check.description or "").endswith(f"have not been read: {missing}")
