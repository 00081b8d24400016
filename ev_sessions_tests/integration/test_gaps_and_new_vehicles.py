"""What the refreshes have left out: days of a machine that was down, and the history of vehicles that nobody knew."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from ev_sessions.days import ONE_DAY, DayRange
from ev_sessions.tables import RAW_FETCHES, RAW_VEHICLES
from ev_sessions.warehouse.connection import Database
from ev_sessions_tests.operation import Operation, days_of, later, night, operating, vehicle_of
from ev_sessions_tests.pipeline import own_setting, sandbox_with, write_fleet_file
from ev_sessions_tests.raw_rows import LOOKBACK_DAYS, at, derive_days, insert, read, vehicle

FIRST_DAY = date(2026, 3, 1)
SENSORS = ("failed_vehicles", "gaps", "new_vehicles")


def nobody_asks(operation: Operation) -> bool:
    """Whether no sensor asks for a run now."""
    return not any(operation.asked_by(sensor) for sensor in SENSORS)


def finality(operation: Operation) -> list[bool]:
    """Whether each day is final, in order."""
    return [final for (final,) in operation.pipeline.rows("SELECT is_final FROM analytics.fleet_daily ORDER BY session_day")]


def stands_as_the_truth_is(operation: Operation, days: DayRange) -> bool:
    """Whether exactly the sessions stand that the API lists of `days` now."""
    truth = operation.pipeline.sandbox.truth.totals(days.first, days.last, operation.now)
    found = operation.pipeline.rows(
        "SELECT count(*), sum(energy_charged_kwh) FROM raw.sessions WHERE session_day BETWEEN ? AND ?", days.first, days.last
    )
    return found == [(truth.rows, truth.energy_kwh)]


def test_in_thirty_nights_of_steady_operation_no_sensor_asks_for_anything(tmp_path: Path) -> None:
    with operating(sandbox_with(), tmp_path, first_day=FIRST_DAY.isoformat()) as operation:
        database = Database(operation.pipeline.state / "ev_sessions.duckdb")
        operation.pipeline.state.mkdir()
        for number in range(30):
            operation.now = night("2026-03-16") + later(days=number)
            with database.writing() as connection:
                read_as_every_night(connection, operation.now)
            for hours in (0, 22):
                operation.now = night("2026-03-16") + later(days=number, hours=hours)
                assert nobody_asks(operation)
        assert finality(operation) == [True] * 30 + [False] * LOOKBACK_DAYS


def read_as_every_night(connection: duckdb.DuckDBPyConnection, now: datetime) -> None:
    """Write down what the daily refresh does at `now`: one car joins on the way, and one leaves."""
    joined, left = at("2026-03-22 18:00"), at("2026-03-27 07:00")
    cars = [vehicle("old"), vehicle("young", created_at=joined), vehicle("leaving", deleted_at=left)]
    connection.execute("TRUNCATE raw.vehicles")
    insert(connection, RAW_VEHICLES, *(car for car in cars if car.get("created_at", now) <= now))
    days = DayRange.trailing(now.date() - ONE_DAY, LOOKBACK_DAYS + 1)
    for name, lived in {
        "old": days,
        "young": days.clip(joined.date(), None),
        "leaving": days.clip(None, left.date() + ONE_DAY),
    }.items():
        if lived is not None:
            insert(connection, RAW_FETCHES, read(name, lived.first, lived.last, fetched_at=now, landed_at=now))
    derive_days(connection, days.first, days.last, derived_at=now)


def test_after_three_weeks_without_the_machine_the_missing_and_the_not_final_days_are_read_and_then_no_more(
    tmp_path: Path,
) -> None:
    sandbox = sandbox_with(vehicles=2, days=31, restated_rate=0.2)
    with operating(sandbox, tmp_path, lookback_days="3", max_partitions_per_run="10") as operation:
        for day in ("2025-03-05", "2025-03-06"):
            operation.now = night(day)
            operation.refresh()
        operation.now = night("2025-03-28")
        operation.refresh()
        operation.now += later(minutes=20)
        sandbox.counts.reset()
        # Read in time for the last time: 03-02. The refresh of 03-28 read 03-24 and later; 03-23 and 03-24 are due by now.
        assert [str(days) for days in operation.run_all("gaps")] == [
            "2025-03-14..2025-03-23",
            "2025-03-04..2025-03-13",
            "2025-03-03..2025-03-03",
        ]
        assert sandbox.counts.sessions == 3 * 2
        assert sandbox.counts.users == 0
        assert operation.tick("gaps")[0] == []
        whole = DayRange(date(2025, 3, 1), date(2025, 3, 27))
        assert stands_as_the_truth_is(operation, whole)
        assert [day for day, final in zip(whole, finality(operation), strict=True) if not final] == list(whole)[-3:]

        operation.now += later(days=1)
        operation.refresh()
        assert nobody_asks(operation)


def test_a_new_installation_reads_its_history_newest_first_behind_the_daily_refresh(tmp_path: Path) -> None:
    with operating(sandbox_with(vehicles=2, days=31), tmp_path, lookback_days="2", max_partitions_per_run="4") as operation:
        operation.now = night("2025-03-30")
        operation.refresh()
        assert operation.tick("new_vehicles")[0] == []
        requests, _ = operation.tick("gaps")
        # Five at once, and the rest when they are under way: the next tick does not wait for a change of the database.
        assert [str(days_of(request)) for request in requests] == [
            "2025-03-23..2025-03-26",
            "2025-03-19..2025-03-22",
            "2025-03-15..2025-03-18",
            "2025-03-11..2025-03-14",
            "2025-03-07..2025-03-10",
        ]
        assert {request.tags["dagster/priority"] for request in requests} == {"0"}
        assert [str(days) for days in operation.asked_by("gaps")] == ["2025-03-03..2025-03-06", "2025-03-01..2025-03-02"]
        assert operation.asked_by("gaps") == []


def test_a_vehicle_that_comes_to_be_known_gets_the_history_since_its_creation_alone_and_in_chunks(tmp_path: Path) -> None:
    with operating(sandbox_with(vehicles=3, days=20, added_rate=0.5, seed=5), tmp_path) as operation:
        sandbox = operation.pipeline.sandbox
        operation.now = night("2025-04-01")
        cars = {car["id"]: car for car in sandbox.truth.vehicles(None, operation.now)}
        young = next(id_ for id_, car in cars.items() if car["created_at"] > "2025-03-13")
        pairs = [(sandbox.truth.owner(each), each) for each in sandbox.truth.vehicle_ids() if str(each) != young]
        with own_setting("fleet_file", str(write_fleet_file(tmp_path / "fleet.csv", pairs))):
            settings = {"fleet_file": str(tmp_path / "fleet.csv"), "lookback_days": "2"}
            before = Operation(operation.pipeline, settings)
            before.now = operation.now
            before.refresh()
            before.run_all("gaps")
        after = Operation(operation.pipeline, {"lookback_days": "2", "max_partitions_per_run": "5"})
        after.now = operation.now + later(days=1)
        after.refresh()
        sandbox.counts.reset()
        created = datetime.fromisoformat(cars[young]["created_at"]).astimezone(UTC).date()
        ran = after.run_all("new_vehicles")
        assert sum(len(days) for days in ran) == (date(2025, 3, 30) - created).days
        assert min(days.first for days in ran) == created
        assert max(days.last for days in ran) == date(2025, 3, 29)
        assert all(len(days) <= 5 for days in ran)
        assert (sandbox.counts.sessions, sandbox.counts.users) == (len(ran), 0)
        assert nobody_asks(after)
        assert stands_as_the_truth_is(after, DayRange(date(2025, 3, 12), date(2025, 3, 30)))


def test_vehicles_that_were_left_out_of_a_read_of_some_are_read_too(tmp_path: Path) -> None:
    with operating(sandbox_with(vehicles=3, days=12), tmp_path, lookback_days="2") as operation:
        operation.now = night("2025-03-30")
        operation.refresh()
        chosen = vehicle_of(operation)
        only = write_fleet_file(tmp_path / "some.csv", [(operation.pipeline.sandbox.truth.owner(chosen), chosen)])
        days = DayRange(date(2025, 3, 22), date(2025, 3, 25))
        operation.pipeline.refresh(days, vehicles_from=only)
        (request,) = operation.tick("new_vehicles")[0]
        assert days_of(request) == days
        operation.pipeline.sandbox.counts.reset()
        assert operation.run(request).success
        assert operation.pipeline.sandbox.counts.sessions == 2
        assert stands_as_the_truth_is(operation, days)
