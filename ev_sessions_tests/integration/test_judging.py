"""What judging leaves behind besides verdicts on sessions: hits of rules about days, novelties, the settings in force."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

import duckdb
import pytest

from ev_sessions.days import ONE_DAY
from ev_sessions.limits import Limits
from ev_sessions.settings import ReportDate
from ev_sessions.tables import (
    RAW_FETCHES,
    RAW_NOVELTIES,
    RAW_SESSION_VERSIONS,
    RAW_SESSIONS,
    RAW_SETTINGS_HISTORY,
    RAW_VEHICLES,
    RULE_HITS,
)
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.derive import Novelty
from ev_sessions.warehouse.landing import land
from ev_sessions.warehouse.settings_history import SettingsInForce, first_settings, newest_settings, settings_at
from ev_sessions_tests.parts import Answer, write_part
from ev_sessions_tests.parts import session as part_session
from ev_sessions_tests.pipeline import Pipeline, told_of_run, trailing
from ev_sessions_tests.raw_rows import (
    DAY,
    LOOKBACK_DAYS,
    NOW,
    Row,
    at,
    derive_days,
    empty,
    insert,
    read,
    rows_of,
    session,
    vehicle,
)

HOUR, ONE_WEEK = timedelta(hours=1), timedelta(days=7)
END = at("2026-03-11 00:00")
LATE = END + LOOKBACK_DAYS * ONE_DAY
EIGHT_WEEKS = [DAY - number * ONE_WEEK for number in range(1, 9)]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("judging") / "sessions.duckdb").writing() as connection:
        yield connection


@pytest.fixture
def connection(warehouse: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    empty(warehouse)
    return warehouse


def hits(connection: duckdb.DuckDBPyConnection, rule: str) -> dict[date, int]:
    return {row["session_day"]: row["hits"] for row in rows_of(connection, RULE_HITS) if row["rule"] == rule}


# The volume of a day


def some(count: int, day: date, energy_charged_kwh: float | None = 10) -> list[Row]:
    """So many sessions on `day`."""
    return [session(f"{number} on {day}", day=day, energy_charged_kwh=energy_charged_kwh) for number in range(count)]


def derive_weeks(connection: duckdb.DuckDBPyConnection, sessions: list[Row], **limits: str) -> dict[date, int]:
    """The days of an unusual volume among `sessions`, of one vehicle that was read late over all of them."""
    first = min(row["session_day"] for row in sessions)
    insert(connection, RAW_VEHICLES, vehicle("v1"))
    insert(connection, RAW_FETCHES, read("v1", first, DAY))
    insert(connection, RAW_SESSIONS, *sessions)
    derive_days(connection, first, DAY, limits=Limits.of(limits))
    return hits(connection, "unusual_volume")


@pytest.mark.parametrize(("count", "unusual"), [(1, True), (2, False), (4, False), (8, False), (9, True)])
def test_a_day_has_half_to_twice_the_sessions_of_the_same_weekdays_before_it(
    connection: duckdb.DuckDBPyConnection, count: int, unusual: object
) -> None:
    before = [row for day in EIGHT_WEEKS for row in some(4, day)]
    assert derive_weeks(connection, [*before, *some(count, DAY, energy_charged_kwh=40 / count)]) == ({DAY: 1} if unusual else {})


@pytest.mark.parametrize(("energy", "unusual"), [(None, True), (19, True), (20, False), (80, False), (81, True)])
def test_a_day_has_half_to_twice_their_energy(connection: duckdb.DuckDBPyConnection, energy: int | None, unusual: object) -> None:
    before = [row for day in EIGHT_WEEKS for row in some(1, day, energy_charged_kwh=40)]
    today = some(1, DAY, energy_charged_kwh=energy)
    assert derive_weeks(connection, [*before, *today]) == ({DAY: 1} if unusual else {})


def test_a_day_without_any_session_is_unusual_where_there_were_some(connection: duckdb.DuckDBPyConnection) -> None:
    assert derive_weeks(connection, [row for day in EIGHT_WEEKS for row in some(1, day)]) == {DAY: 1}


def test_where_there_never_was_a_session_no_number_is_unusual(connection: duckdb.DuckDBPyConnection) -> None:
    assert derive_weeks(connection, [*some(1, EIGHT_WEEKS[-1]), *some(9, DAY)]) == {}


@pytest.mark.parametrize(("weeks", "unusual"), [(2, False), (3, True)])
def test_three_weeks_are_needed_to_tell(connection: duckdb.DuckDBPyConnection, weeks: int, unusual: object) -> None:
    before = [row for day in EIGHT_WEEKS[:weeks] for row in some(4, day)]
    assert derive_weeks(connection, [*before, *some(1, DAY)]) == ({DAY: 1} if unusual else {})


def test_other_weekdays_do_not_count(connection: duckdb.DuckDBPyConnection) -> None:
    before = [row for day in EIGHT_WEEKS for row in [*some(1, day), *some(9, day + ONE_DAY)]]
    assert derive_weeks(connection, [*before, *some(1, DAY)]) == {}


def test_the_limits_of_volume_can_be_replaced(connection: duckdb.DuckDBPyConnection) -> None:
    before = [row for day in EIGHT_WEEKS for row in some(4, day)]
    assert derive_weeks(connection, [*before, *some(1, DAY)], volume_min="0.25") == {}


def test_a_day_that_is_not_final_is_compared_with_what_was_seen_at_the_same_age(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1", first_seen_at=at("2025-01-01 00:00")))
    for day in [DAY, *EIGHT_WEEKS]:
        early = END + (day - DAY) + 3 * HOUR
        insert(connection, RAW_FETCHES, read("v1", day, fetched_at=early))
        insert(connection, RAW_SESSIONS, session(f"early on {day}", day=day, first_seen_at=early))
    for day in EIGHT_WEEKS:
        late = END + (day - DAY) + 48 * HOUR
        insert(connection, RAW_SESSIONS, *(session(f"{n} on {day}", day=day, first_seen_at=late) for n in range(2)))
    derive_days(connection, EIGHT_WEEKS[-1], DAY, derived_at=END + 4 * HOUR)
    assert DAY not in hits(connection, "unusual_volume")
    insert(connection, RAW_SESSIONS, *(session(f"{n} more", first_seen_at=END + 3 * HOUR) for n in range(2)))
    derive_days(connection, DAY, derived_at=END + 4 * HOUR)
    assert hits(connection, "unusual_volume")[DAY] == 1


# Neighbours


def test_an_answer_that_lands_late_decides_which_of_two_was_seen_first(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    stays = {
        day: part_session(number, day, unplug_time=END + 12 * HOUR, energy_charged_kwh=5)
        for number, day in enumerate([DAY, DAY + ONE_DAY], start=1)
    }
    stays[DAY + ONE_DAY]["plug_in_time"] = END + HOUR
    order = [(DAY + ONE_DAY, 2), (DAY, 3), (DAY, 1)]
    touched = [
        _land(connection, tmp_path / str(hours), Answer(UUID(int=101), day, day, NOW + hours * HOUR, [stays[day]]))
        for day, hours in order
    ]
    assert touched == [[DAY + ONE_DAY], [DAY, DAY + ONE_DAY], [DAY, DAY + ONE_DAY]]
    derive_days(connection)
    assert hits(connection, "counted_twice") == {DAY + ONE_DAY: 1}


def _land(connection: duckdb.DuckDBPyConnection, folder: Path, answer: Answer) -> list[date]:
    """Land `answer`; the days that this touches."""
    part = write_part(folder, [answer])
    return land(
        connection,
        [part],
        run_id="landing",
        landed_at=NOW + ONE_DAY,
        zones={},
        default_time_zone="UTC",
        hold_share=1,
        limits=Limits(),
    ).touched_days


# What is no longer listed, and what changed late


def test_a_session_that_vanished_from_its_day_counts_once_until_it_is_back(connection: duckdb.DuckDBPyConnection) -> None:
    gone = {"replaced_at": NOW, "replaced_by_run_id": "landing", "end_reason": "vanished"}
    lost = session("lost")
    insert(connection, RAW_SESSION_VERSIONS, lost | gone, lost | gone | {"fetched_at": NOW - HOUR, "version": 2})
    insert(connection, RAW_SESSION_VERSIONS, session("restated") | gone | {"end_reason": "restated"})
    derive_days(connection)
    assert hits(connection, "vanished") == {DAY: 1}
    insert(connection, RAW_SESSIONS, lost | {"version": 3})
    derive_days(connection)
    assert hits(connection, "vanished") == {}


def test_what_changed_after_its_day_was_final_is_counted(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"))
    insert(connection, RAW_FETCHES, read("v1", DAY, fetched_at=LATE))
    insert(connection, RAW_SESSIONS, *(session(f"s{n}", first_seen_at=LATE + n * HOUR) for n in range(3)))
    derive_days(connection)
    assert hits(connection, "changed_after_final") == {DAY: 2}


# Novelties


def test_what_the_documentation_does_not_name_is_told_once(connection: duckdb.DuckDBPyConnection) -> None:
    insert(
        connection,
        RAW_SESSIONS,
        session("known", session_outcome="not_at_home"),
        session("late", day=DAY + ONE_DAY, session_outcome="charged", extra='{"tariff": 1}'),
        session("first", session_outcome="charged", extra='{"tariff": 2, "color": null}'),
    )
    novelties = (Novelty("field", "color"), Novelty("field", "tariff"), Novelty("session_outcome", "charged"))
    assert tuple(sorted(derive_days(connection, DAY, DAY + ONE_DAY).novelties, key=str)) == novelties
    assert derive_days(connection, DAY, DAY + ONE_DAY).novelties == ()
    assert {row["session_day"] for row in rows_of(connection, RAW_NOVELTIES)} == {DAY}
    assert hits(connection, "unknown_outcome") == hits(connection, "new_field") == {DAY: 1, DAY + ONE_DAY: 1}


def test_a_run_counts_what_is_new_and_names_none_of_it(pipeline: Pipeline) -> None:
    first, again = pipeline.refresh(trailing(5)), pipeline.refresh(trailing(5))
    new = [name for (name,) in pipeline.rows("SELECT name FROM raw.novelties")]
    assert new
    assert [told_of_run(result, "fleet_daily")["novelties"] for result in (first, again)] == [len(new), 0]
    assert not [event for event in first.all_events if any(name in repr(event) for name in new)]


# The settings in force


def in_force(connection: duckdb.DuckDBPyConnection) -> list[Mapping[str, str]]:
    return [json.loads(row["settings"]) for row in rows_of(connection, RAW_SETTINGS_HISTORY)]


def test_the_settings_in_force_are_kept_whenever_they_change(connection: duckdb.DuckDBPyConnection) -> None:
    limits = [
        {},
        {},
        {"energy_much_kwh": "90.0"},
        {"energy_much_kwh": "90"},
        {"SE_4:cost_unusual_max": "2"},
        {"stay_long_hours": "48"},
    ]
    for number, replaced in enumerate(limits):
        derive_days(connection, limits=Limits.of(replaced), derived_at=NOW + number * HOUR)
    derive_days(connection, report_date=ReportDate.PLUG_IN_TIME, derived_at=NOW + 9 * HOUR)
    assert in_force(connection) == [
        {"REPORT_DATE": "session_end"},
        {"REPORT_DATE": "session_end", "energy_much_kwh": "90"},
        {"REPORT_DATE": "session_end", "SE_4:cost_unusual_max": "2"},
        {"REPORT_DATE": "session_end"},
        {"REPORT_DATE": "plug_in_time"},
    ]


def test_the_settings_of_an_instant_are_known(connection: duckdb.DuckDBPyConnection) -> None:
    limits = Limits.of({"energy_much_kwh": "90"})
    derive_days(connection, limits=limits)
    derive_days(connection, derived_at=NOW + HOUR)
    assert settings_at(connection, NOW - HOUR) is None
    assert settings_at(connection, NOW) == SettingsInForce(ReportDate.SESSION_END, limits)
    assert settings_at(connection, NOW + HOUR) == SettingsInForce(ReportDate.SESSION_END, Limits())


def test_the_settings_in_force_are_found_where_later_ones_were_deleted(connection: duckdb.DuckDBPyConnection) -> None:
    for hours in (3, 4):
        derive_days(connection, limits=Limits.of({"energy_much_kwh": str(90 + hours)}), derived_at=NOW + hours * HOUR)
    # From here on the statistics of the file tell of stamps that no row has.
    connection.execute("CHECKPOINT")
    connection.execute("DELETE FROM raw.settings_history")
    first, newest = ({"energy_much_kwh": kwh} for kwh in ("80", "90"))
    for hours, limits in enumerate((first, newest, newest)):
        derive_days(connection, limits=Limits.of(limits), derived_at=NOW + hours * HOUR)
    assert [settings["energy_much_kwh"] for settings in in_force(connection)] == ["80", "90"]
    found = [
        first_settings(connection),
        settings_at(connection, NOW),
        settings_at(connection, NOW + HOUR),
        newest_settings(connection),
    ]
    assert found == [SettingsInForce(ReportDate.SESSION_END, Limits.of(limits)) for limits in (first, first, newest, newest)]


def test_of_two_settings_of_one_instant_the_later_one_is_kept(connection: duckdb.DuckDBPyConnection) -> None:
    derive_days(connection)
    derive_days(connection, limits=Limits.of({"energy_much_kwh": "90"}))
    assert in_force(connection) == [{"REPORT_DATE": "session_end", "energy_much_kwh": "90"}]
