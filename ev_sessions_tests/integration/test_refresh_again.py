"""Days that are read again: what changed, what came late, what went wrong meanwhile, and what stays as it was."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ev_sessions.days import DayRange
from ev_sessions.sandbox import Breakage, Quirks, broken_body
from ev_sessions.settings import SessionDay
from ev_sessions_tests.pipeline import (
    LAST_DAY,
    LONG_AFTER,
    Pipeline,
    failures,
    findings,
    pipeline_over,
    red,
    sandbox_with,
    told_by_day,
    told_of_run,
    trailing,
    write_fleet_file,
)

DAYS = trailing(3)
EARLY = datetime(2025, 4, 1, 3, 15, tzinfo=UTC)
"""The night after the last day: many of its sessions are still under way, and no restatement is made."""

CONTENT = "SELECT * EXCLUDE (fetched_at, run_id) FROM raw.sessions ORDER BY ALL"
DERIVED = ("sessions", "daily_energy", "daily_savings", "rule_hits", "unread_vehicle_days", "fleet_daily")


def content(pipeline: Pipeline) -> list[Sequence[Any]]:
    """Everything that the tables say, but for when and by which run it was last read."""
    derived = [
        row
        for table in DERIVED
        for row in pipeline.rows(
            f"SELECT COLUMNS(name -> name NOT IN ('fetched_at', 'data_through', 'run_id', 'derived_at', 'derived_by_run_id'))"
            f" FROM analytics.{table} ORDER BY ALL"
        )
    ]
    return [*pipeline.rows(CONTENT), *derived]


def landed_ids(pipeline: Pipeline) -> set[object]:
    return {session_id for (session_id,) in pipeline.rows("SELECT id FROM raw.sessions")}


def true_ids(pipeline: Pipeline, now: datetime, days: DayRange = DAYS) -> set[object]:
    return {row["id"] for row in pipeline.sandbox.truth.fleet_sessions(days.first, days.last, now)}


def test_a_second_read_of_the_same_days_lands_nothing_and_changes_nothing(pipeline: Pipeline) -> None:
    pipeline.refresh(DAYS)
    before = content(pipeline)
    again = pipeline.refresh(DAYS)
    assert content(pipeline) == before
    assert len(before) > len(DAYS)
    assert pipeline.rows("SELECT count(*) FROM raw.session_versions") == [(0,)]
    told = told_by_day(again, "raw_sessions").values()
    assert {(figures["changed_rows"], figures["vanished_rows"]) for figures in told} == {(0, 0)}


def test_sessions_that_complete_late_are_picked_up_by_the_next_read_of_their_day(pipeline: Pipeline) -> None:
    pipeline.sandbox.now = EARLY
    pipeline.refresh(DAYS)
    assert landed_ids(pipeline) == true_ids(pipeline, EARLY)
    pipeline.sandbox.now = LONG_AFTER
    pipeline.refresh(DAYS)
    assert landed_ids(pipeline) == true_ids(pipeline, LONG_AFTER) > true_ids(pipeline, EARLY)


def test_a_restated_session_gets_a_version_and_its_former_self_is_kept(tmp_path: Path) -> None:
    with pipeline_over(sandbox_with(restated_rate=1), tmp_path) as pipeline:
        pipeline.sandbox.now = EARLY
        pipeline.refresh(DAYS)
        former = dict(pipeline.rows("SELECT id, actual_savings_eur FROM raw.sessions"))
        pipeline.sandbox.now = LONG_AFTER
        again = pipeline.refresh(DAYS)
        kept = dict(pipeline.rows("SELECT id, actual_savings_eur FROM raw.session_versions WHERE end_reason = 'restated'"))
        restated = pipeline.rows("SELECT id FROM raw.sessions WHERE version = 2")
        truth = {row["id"]: row["actual_savings_eur"] for row in pipeline.sandbox.truth.fleet_sessions(*bounds(), LONG_AFTER)}
        assert dict(pipeline.rows("SELECT id, actual_savings_eur FROM raw.sessions")) == truth
        assert kept == {session_id: former[session_id] for (session_id,) in restated} != {}
        told = told_by_day(again, "raw_sessions").values()
        assert told_of_run(again, "raw_sessions")["restated"] == len(restated) <= sum(day["changed_rows"] for day in told)
        # Restating changed what was there by as much as the metadata of the days say, and of the run.
        gained = sum((truth[session_id] or 0) - (former[session_id] or 0) for session_id in kept)
        assert sum(day["restated_savings_eur"] for day in told) == pytest.approx(float(gained)) != 0
        assert told_of_run(again, "raw_sessions")["restated_savings_eur"] == pytest.approx(float(gained))


def bounds() -> tuple[Any, Any]:
    return DAYS.first, DAYS.last


def test_a_session_that_is_withdrawn_leaves_the_table_and_is_kept_as_vanished(pipeline: Pipeline) -> None:
    pipeline.refresh(DAYS)
    withdrawn = max(landed_ids(pipeline), key=str)
    ((energy,),) = pipeline.rows(f"SELECT energy_charged_kwh FROM raw.sessions WHERE id = '{withdrawn}'")
    pipeline.sandbox.withdraw([withdrawn])  # type: ignore[list-item]
    again = pipeline.refresh(DAYS)
    assert landed_ids(pipeline) == true_ids(pipeline, LONG_AFTER) - {withdrawn}
    assert pipeline.rows("SELECT id FROM raw.session_versions WHERE end_reason = 'vanished'") == [(withdrawn,)]
    told = told_by_day(again, "raw_sessions").values()
    assert sum(figures["vanished_rows"] for figures in told) == 1
    assert sum(figures["vanished_kwh"] for figures in told) == pytest.approx(float(energy or 0))


def test_a_vehicle_that_the_api_no_longer_knows_is_gone_keeps_its_rows_and_fails_no_check(pipeline: Pipeline) -> None:
    pipeline.refresh(DAYS)
    before = content(pipeline)
    gone = pipeline.sandbox.truth.vehicle_ids()[0]
    pipeline.sandbox.quirks[gone] = Quirks(status=404)
    again = pipeline.refresh(DAYS)
    assert again.success
    assert pipeline.rows(
        "SELECT arg_max((outcome, requests), fetched_at) FROM raw.fetches WHERE electric_vehicle_id = ?", gone
    ) == [(("gone", 2),)]
    assert pipeline.rows(CONTENT) == before[: len(pipeline.rows(CONTENT))]
    assert told_of_run(again, "raw_sessions")["vehicles_failed"] == 0
    assert told_of_run(again, "raw_sessions")["vehicles_gone"] == 1
    assert red(again) == set()


def test_a_vehicle_that_is_refused_in_a_way_of_its_own_fails_alone(pipeline: Pipeline) -> None:
    odd = pipeline.sandbox.truth.vehicle_ids()[0]
    pipeline.sandbox.quirks[odd] = Quirks(status=418)
    result = pipeline.refresh(DAYS)
    assert result.success
    assert told_of_run(result, "raw_sessions")["vehicles_failed"] == 1
    assert pipeline.rows("SELECT DISTINCT electric_vehicle_id FROM raw.fetches WHERE outcome = 'failed'") == [(odd,)]


def test_a_vehicle_is_not_gone_because_the_api_said_so_once(pipeline: Pipeline) -> None:
    pipeline.sandbox.fail_next(1, status=404)
    pipeline.refresh(DAYS)
    assert pipeline.rows("SELECT DISTINCT outcome FROM raw.fetches") == [("complete",)]


def test_a_vehicle_that_cannot_be_read_keeps_its_rows_and_turns_one_check_red_and_no_other(pipeline: Pipeline) -> None:
    broken = pipeline.sandbox.truth.vehicle_ids()[0]
    pipeline.refresh(trailing(1))
    before = pipeline.rows(CONTENT)
    pipeline.sandbox.quirks[broken] = Quirks(status=500)
    again = pipeline.refresh(DAYS, settings={"max_attempts": "1"})
    assert again.success
    assert told_of_run(again, "raw_sessions")["vehicles_failed"] == 1
    assert red(again) == {"every_vehicle_read"}
    assert set(before) <= set(pipeline.rows(CONTENT))
    read_of_it = pipeline.rows(
        "SELECT outcome, error FROM raw.fetches WHERE electric_vehicle_id = ? AND first_day = ?", broken, DAYS.first
    )
    assert [outcome for outcome, _ in read_of_it] == ["failed"]
    assert "500" in read_of_it[0][1]


def test_the_next_read_of_a_vehicle_that_could_not_be_read_turns_the_check_green(pipeline: Pipeline) -> None:
    broken = pipeline.sandbox.truth.vehicle_ids()[0]
    pipeline.sandbox.quirks[broken] = Quirks(status=500)
    assert red(pipeline.refresh(DAYS, settings={"max_attempts": "1"})) == {"every_vehicle_read"}
    del pipeline.sandbox.quirks[broken]
    assert red(pipeline.refresh(DAYS)) == set()
    assert landed_ids(pipeline) == true_ids(pipeline, LONG_AFTER)


def test_a_run_in_which_nothing_can_be_read_fails_with_one_line_and_lands_nothing(pipeline: Pipeline) -> None:
    pipeline.sandbox.quirks |= {car: Quirks(status=500) for car in pipeline.sandbox.truth.vehicle_ids()}
    result = pipeline.refresh(DAYS, settings={"max_attempts": "1"})
    assert not result.success
    (told,) = failures(result)
    assert told.startswith("4 of the 4 vehicles asked could not be read; stopped before asking for more.")
    assert "\n" not in told
    assert pipeline.rows("SELECT count(*) FROM raw.sessions") == [(0,)]


def test_a_run_for_some_vehicles_asks_for_them_alone_and_reports_the_whole_day(pipeline: Pipeline, tmp_path: Path) -> None:
    whole = told_by_day(pipeline.refresh(DAYS), "raw_sessions")
    chosen = pipeline.sandbox.truth.vehicle_ids()[1]
    listed = write_fleet_file(tmp_path / "some.csv", [(pipeline.sandbox.truth.owner(chosen), chosen)])
    pipeline.sandbox.counts.reset()
    some = pipeline.refresh(DAYS, vehicles_from=listed)
    assert pipeline.sandbox.counts.sessions == 1
    for name in ("dagster/partition_row_count", "energy_kwh", "cost_eur", "savings_eur", "vehicles_read"):
        assert {day: told[name] for day, told in told_by_day(some, "raw_sessions").items()} == {
            day: told[name] for day, told in whole.items()
        }
    assert red(some) == set()


def test_a_total_that_the_records_never_reach_lands_what_there_is_and_turns_its_check_red(pipeline: Pipeline) -> None:
    lying = pipeline.sandbox.truth.vehicle_ids()[0]
    pipeline.sandbox.quirks[lying] = Quirks(total_offset=2)
    result = pipeline.refresh(DAYS)
    assert result.success
    assert red(result) == {"distinct_ids_match_total"}
    assert landed_ids(pipeline) == true_ids(pipeline, LONG_AFTER)


def test_rows_that_stand_twice_turn_the_check_red_and_nothing_is_derived_from_them(pipeline: Pipeline) -> None:
    pipeline.refresh(DAYS)
    derived = pipeline.rows("SELECT DISTINCT derived_by_run_id FROM analytics.fleet_daily")
    absent = pipeline.sandbox.truth.vehicle_ids()[0]
    pipeline.change(
        "INSERT INTO raw.sessions FROM raw.sessions WHERE electric_vehicle_id = ? AND session_day = ? LIMIT 1", absent, DAYS.first
    )
    # The landing would mend what it reads again, so the doubled row belongs to a vehicle that cannot be read.
    pipeline.sandbox.quirks[absent] = Quirks(status=500)
    result = pipeline.refresh(DAYS, settings={"max_attempts": "1"})
    assert not result.success
    assert not findings(result)["keys_unique"]
    assert pipeline.rows("SELECT DISTINCT derived_by_run_id FROM analytics.fleet_daily") == derived


def test_an_api_that_lists_days_by_another_stamp_fails_the_run_before_anything_is_written(tmp_path: Path) -> None:
    with pipeline_over(sandbox_with(session_day=SessionDay.UNPLUG_TIME), tmp_path) as pipeline:
        result = pipeline.refresh(DAYS)
        assert not result.success
        (told,) = failures(result)
        assert "fall outside the days asked for, so nothing was landed" in told
        assert "set EV_SESSIONS_SESSION_DAY" in told
        assert "\n" not in told
        for table in ("sessions", "quarantine", "fetches"):
            assert pipeline.rows(f"SELECT count(*) FROM raw.{table}") == [(0,)]


def test_answers_refused_for_their_days_are_asked_for_again_by_the_next_run(pipeline: Pipeline) -> None:
    elsewhere = Quirks(extra=(f'{{"id": "{UUID(int=5)}", "plug_in_time": "2020-01-01T12:00:00Z"}}'.encode(),))
    pipeline.sandbox.quirks = dict.fromkeys(pipeline.sandbox.truth.vehicle_ids(), elsewhere)
    (told,) = failures(pipeline.refresh(DAYS))
    assert "fall outside the days asked for" in told
    pipeline.sandbox.quirks = {}
    assert pipeline.refresh(DAYS).success
    assert landed_ids(pipeline) == true_ids(pipeline, LONG_AFTER)


def test_with_the_setting_that_fits_it_the_same_api_lands_whole(tmp_path: Path) -> None:
    with pipeline_over(sandbox_with(session_day=SessionDay.UNPLUG_TIME), tmp_path) as pipeline:
        result = pipeline.refresh(DAYS, settings={"session_day": "unplug_time"})
        assert result.success, failures(result)
        assert red(result) == set()
        rows = pipeline.sandbox.truth.fleet_sessions(DAYS.first, DAYS.last, LONG_AFTER, pipeline.sandbox.options.session_day)
        assert landed_ids(pipeline) == {row["id"] for row in rows}


def test_days_of_an_overlap_api_read_one_by_one_land_every_session_once(tmp_path: Path) -> None:
    with pipeline_over(sandbox_with(session_day=SessionDay.OVERLAP), tmp_path) as pipeline:
        for day in DAYS:
            result = pipeline.refresh(DayRange(day, day), settings={"session_day": "overlap"})
            assert result.success, failures(result)
        assert red(result) == set()
        assert landed_ids(pipeline) == true_ids(pipeline, LONG_AFTER)


def test_a_window_of_sixty_days_asks_as_often_as_one_of_a_day(tmp_path: Path) -> None:
    with pipeline_over(sandbox_with(days=60, vehicles=3), tmp_path) as pipeline:
        pipeline.refresh(DayRange(LAST_DAY, LAST_DAY))
        one_day = pipeline.sandbox.counts.as_dict()
        pipeline.sandbox.counts.reset()
        result = pipeline.refresh(trailing(60))
        assert pipeline.sandbox.counts.as_dict() == one_day
        assert one_day["sessions"] == 3
        assert len(told_by_day(result, "fleet_daily")) == 60
        assert landed_ids(pipeline) == true_ids(pipeline, LONG_AFTER, trailing(60))


def test_a_record_without_an_id_leaves_the_quarantine_although_the_days_read_have_moved_on(pipeline: Pipeline) -> None:
    vehicle = pipeline.sandbox.truth.vehicle_ids()[0]
    plug_in = int(datetime(LAST_DAY.year, LAST_DAY.month, LAST_DAY.day, 18, tzinfo=UTC).timestamp())
    pipeline.sandbox.quirks[vehicle] = Quirks(extra=(broken_body(UUID(int=1), plug_in, Breakage.MISSING_ID),))
    pipeline.refresh(trailing(3))
    assert pipeline.rows("SELECT first_day, last_day FROM raw.quarantine") == [(LAST_DAY, LAST_DAY)]
    pipeline.sandbox.quirks.clear()
    pipeline.refresh(trailing(2))
    assert pipeline.rows("SELECT count(*) FROM raw.quarantine") == [(0,)]


def test_a_record_whose_day_nobody_can_tell_counts_on_one_day_although_the_days_read_have_moved_on(pipeline: Pipeline) -> None:
    vehicle = pipeline.sandbox.truth.vehicle_ids()[0]
    pipeline.sandbox.quirks[vehicle] = Quirks(extra=(broken_body(UUID(int=1), 0, Breakage.NO_PLUG_IN),))
    counted = "SELECT session_day FROM analytics.fleet_daily WHERE quarantined > 0"
    pipeline.refresh(DayRange(trailing(4).first, trailing(2).first))
    assert pipeline.rows(counted) == [(trailing(4).first,)]
    pipeline.refresh(trailing(3))
    assert pipeline.rows(counted) == [(trailing(3).first,)]


def test_a_run_that_has_only_a_vehicle_left_that_cannot_be_read_lands_what_the_run_before_it_staged(pipeline: Pipeline) -> None:
    sandbox = pipeline.sandbox
    secret, vehicles = sandbox.client_secret, sandbox.truth.vehicle_ids()

    def revoke() -> None:
        sandbox.client_secret = "another"  # noqa: S105 - of nothing
        sandbox.revoke_tokens()

    sandbox.at_request(len(vehicles), revoke)
    assert not pipeline.refresh(DAYS, settings={"max_concurrency": "1"}).success
    sandbox.client_secret = secret
    # Which of them is left nobody here knows.
    sandbox.quirks = dict.fromkeys(vehicles, Quirks(status=500))
    again = pipeline.refresh(DAYS, settings={"max_attempts": "1"})
    assert again.success, failures(again)
    told = told_of_run(again, "raw_sessions")
    assert (told["vehicles_resumed"], told["vehicles_failed"]) == (len(vehicles) - 1, 1)
