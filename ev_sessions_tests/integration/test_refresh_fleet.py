"""The fleet of a refresh: discovered or named by a file, and what becomes of a vehicle that is no longer listed."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from ev_sessions_tests.pipeline import (
    LAST_DAY,
    LONG_AFTER,
    Pipeline,
    failures,
    pipeline_over,
    red,
    sandbox_with,
    told_by_day,
    trailing,
    write_fleet_file,
)

DAYS = trailing(2)


def vehicles(pipeline: Pipeline) -> dict[object, bool]:
    """Every vehicle in the table, and whether it is missing."""
    return dict(pipeline.rows("SELECT electric_vehicle_id, missing_since NOT NULL FROM raw.vehicles"))


def pairs(pipeline: Pipeline) -> list[tuple[object, object]]:
    truth = pipeline.sandbox.truth
    return [(truth.owner(vehicle), vehicle) for vehicle in truth.vehicle_ids()]


def test_a_fleet_file_stands_in_for_discovery_and_its_vehicles_alone_are_asked(pipeline: Pipeline, tmp_path: Path) -> None:
    listed = pairs(pipeline)[:2]
    fleet_file = write_fleet_file(tmp_path / "fleet.csv", listed)
    result = pipeline.refresh(DAYS, settings={"fleet_file": str(fleet_file)})
    assert result.success, failures(result)
    counts = pipeline.sandbox.counts
    assert (counts.users, counts.vehicles, counts.sessions) == (0, 0, 2)
    assert set(vehicles(pipeline)) == {vehicle for _, vehicle in listed}
    truth = pipeline.sandbox.truth
    expected = {
        row["id"]
        for _, car in listed
        for row in truth.sessions(car, DAYS.first, DAYS.last, LONG_AFTER)  # type: ignore[arg-type]
    }
    assert {session_id for (session_id,) in pipeline.rows("SELECT id FROM raw.sessions")} == expected != set()
    assert red(result) == set()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("user_id,vehicle\n", "the first line lacks the column electric_vehicle_id"),
        ("user_id,electric_vehicle_id\nme,mine\n", "line 2: expected two UUIDs"),
        ("user_id,electric_vehicle_id\n", "it names no vehicle"),
    ],
)
def test_a_fleet_file_with_bad_rows_ends_the_run_with_one_line_and_writes_nothing(
    pipeline: Pipeline, tmp_path: Path, text: str, told: str
) -> None:
    fleet_file = tmp_path / "fleet.csv"
    fleet_file.write_text(text)
    result = pipeline.refresh(DAYS, settings={"fleet_file": str(fleet_file)})
    assert not result.success
    (line,) = failures(result)
    assert line.startswith(f"{fleet_file}: {told}")
    assert "\n" not in line
    assert not (pipeline.state / "ev_sessions.duckdb").exists()


def test_a_vehicle_that_is_no_longer_listed_is_marked_keeps_its_sessions_and_is_due_no_more(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    everything = write_fleet_file(tmp_path / "all.csv", pairs(pipeline))
    fewer = write_fleet_file(tmp_path / "fewer.csv", pairs(pipeline)[1:])
    pipeline.refresh(DAYS, settings={"fleet_file": str(everything)})
    before = pipeline.rows("SELECT electric_vehicle_id, id FROM raw.sessions ORDER BY ALL")
    result = pipeline.refresh(DAYS, settings={"fleet_file": str(fewer)})
    lost = pipeline.sandbox.truth.vehicle_ids()[0]
    assert vehicles(pipeline) == {car: car == lost for car in pipeline.sandbox.truth.vehicle_ids()}
    assert pipeline.rows("SELECT electric_vehicle_id, id FROM raw.sessions ORDER BY ALL") == before
    assert red(result) == set()


def test_a_vehicle_that_is_listed_again_is_missing_no_longer(pipeline: Pipeline, tmp_path: Path) -> None:
    everything = write_fleet_file(tmp_path / "all.csv", pairs(pipeline))
    fewer = write_fleet_file(tmp_path / "fewer.csv", pairs(pipeline)[1:])
    for fleet_file in (everything, fewer, everything):
        pipeline.refresh(DAYS, settings={"fleet_file": str(fleet_file)})
    assert set(vehicles(pipeline).values()) == {False}


def test_a_vehicle_whose_owner_cannot_be_read_is_not_marked_as_missing(pipeline: Pipeline) -> None:
    pipeline.refresh(DAYS)
    pipeline.sandbox.fail_next(1, kind="vehicles", status=500)
    result = pipeline.refresh(DAYS, settings={"max_attempts": "1"})
    assert result.success, failures(result)
    assert set(vehicles(pipeline).values()) == {False}
    told = [event.materialization.metadata for event in result.get_asset_materialization_events()]
    assert [metadata["users_failed"].value for metadata in told if "users_failed" in metadata] == [0, 1]


def test_a_fleet_that_grows_is_read_with_its_new_vehicle_from_the_day_before_it_was_added(tmp_path: Path) -> None:
    with pipeline_over(sandbox_with(vehicles=8, added_rate=0.5, days=10), tmp_path) as pipeline:
        truth = pipeline.sandbox.truth
        added = max(datetime.fromisoformat(car["created_at"]) for car in truth.vehicles(None, LONG_AFTER))
        assert added.date() > LAST_DAY - timedelta(days=9)
        pipeline.sandbox.now = added - timedelta(minutes=1)
        pipeline.refresh(trailing(10))
        before = len(vehicles(pipeline))
        pipeline.sandbox.now = LONG_AFTER
        result = pipeline.refresh(trailing(10))
        assert len(vehicles(pipeline)) == len(truth.vehicle_ids()) > before
        read = {day: told["vehicles_read"] for day, told in told_by_day(result, "raw_sessions").items()}
        assert read[LAST_DAY] == len(truth.vehicle_ids())
        assert pipeline.rows("SELECT max(first_day) FROM raw.fetches") == [(added.date() - timedelta(days=1),)]


def test_vehicles_asked_for_that_the_fleet_does_not_have_fail_the_run_with_one_line(pipeline: Pipeline, tmp_path: Path) -> None:
    listed = write_fleet_file(tmp_path / "some.csv", [pairs(pipeline)[0], (UUID(int=1), UUID(int=2))])
    result = pipeline.refresh(DAYS, vehicles_from=listed)
    assert failures(result) == [f"{listed}: 1 of its 2 vehicles are not in the fleet; take them out of it"]
    assert pipeline.sandbox.counts.sessions == 0
