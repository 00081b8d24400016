"""What the raw tables say after answers land: whatever their order, once or twice, from one process or two."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count, groupby
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ev_sessions.limits import Limits
from ev_sessions.tables import RAW_TABLES, SESSION_FIELDS, Column
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.fleet import land_vehicles
from ev_sessions.warehouse.landing import LandedDay, LandingReport, WrongSessionDay, land
from ev_sessions.warehouse.versions import known_at
from ev_sessions_tests.parts import ORG, USER, Answer, Rejection, Row, listed_vehicle, session, write_part

CAR, OTHER_CAR = UUID(int=101), UUID(int=102)
MONDAY = date(2026, 3, 2)
SUNDAY = MONDAY + timedelta(days=6)
READ_AT = datetime(2026, 3, 9, 3, 15, tzinfo=UTC)
HOUR = timedelta(hours=1)

Land = Callable[..., LandingReport]
Rows = list[tuple[Any, ...]]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "ev_sessions.duckdb", lock_timeout_seconds=30)


@pytest.fixture
def connection(database: Database) -> Iterator[duckdb.DuckDBPyConnection]:
    with database.writing() as connection:
        yield connection


@pytest.fixture
def land_answers(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> Land:
    """Stages the answers as one part and lands it."""
    numbers = count()

    def land_them(*answers: Answer, hold_share: float = 1.0, run_id: str = "run") -> LandingReport:
        return _land(connection, [write_part(tmp_path / f"part-{next(numbers)}", answers)], hold_share, run_id)

    return land_them


def _land(
    connection: duckdb.DuckDBPyConnection, parts: Sequence[Path], hold_share: float = 1.0, run_id: str = "run"
) -> LandingReport:
    return land(
        connection,
        parts,
        run_id=run_id,
        landed_at=READ_AT + 24 * HOUR,
        zones={"SE_1": "Europe/Stockholm"},
        default_time_zone="Europe/Berlin",
        hold_share=hold_share,
        limits=Limits(),
    )


def _week(
    *sessions: Row,
    later: int = 0,
    vehicle: UUID = CAR,
    first: date = MONDAY,
    last: date = SUNDAY,
    rejected: Sequence[Rejection] = (),
    outcome: str = "complete",
) -> Answer:
    """An answer about the week, read `later` hours after the first."""
    return Answer(vehicle, first, last, READ_AT + later * HOUR, sessions, rejected, outcome)


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> Rows:
    return connection.execute(query).fetchall()


def _standing(connection: duckdb.DuckDBPyConnection) -> list[int]:
    return [key.int for (key,) in _rows(connection, "SELECT id FROM raw.sessions ORDER BY id")]


def _versions(connection: duckdb.DuckDBPyConnection) -> Rows:
    rows = _rows(connection, "SELECT id, version, end_reason, replaced_at FROM raw.session_versions ORDER BY id, version")
    return [(key.int, *rest) for key, *rest in rows]


# One answer after the other


def test_every_field_of_a_session_is_stored_as_it_was_sent(connection: duckdb.DuckDBPyConnection, land_answers: Land) -> None:
    sent = session(
        1,
        MONDAY,
        unplug_time=datetime(2026, 3, 3, 7, 30, 0, 5, tzinfo=UTC),
        inferred_session_end=datetime(2026, 3, 3, 7, 31, tzinfo=UTC),
        desired_charging_start_time=datetime(2026, 3, 3, 1, tzinfo=UTC),
        desired_charging_end_time=datetime(2026, 3, 3, 4, tzinfo=UTC),
        charge_deadline=datetime(2026, 3, 3, 7, tzinfo=UTC),
        target_soc_pct=Decimal(80),
        initial_soc_pct=Decimal("41.5"),
        final_soc_pct=Decimal(80),
        energy_charged_kwh=Decimal("23.100001"),
        avg_charge_power_kw=Decimal("7.4"),
        peak_charge_power_kw=Decimal(11),
        actual_cost_eur=Decimal("-0.123456"),
        expected_savings_eur=Decimal(1),
        actual_savings_eur=Decimal("-2.5"),
        is_at_home=True,
        session_outcome='not "at" | home',
        extra='{"tariff":"x"}',
    )
    land_answers(_week(sent), run_id="the-run")
    names = [column.name for column in SESSION_FIELDS] + ["session_day", "extra"]
    (row,) = _rows(connection, f"SELECT {', '.join(names)} FROM raw.sessions")
    assert dict(zip(names, row, strict=True)) == sent | {"id": UUID(int=1)}
    (bookkeeping,) = _rows(
        connection,
        "SELECT org_id, user_id, electric_vehicle_id, version, first_seen_at, fetched_at, run_id, time_zone FROM raw.sessions",
    )
    assert bookkeeping == (ORG, USER, CAR, 1, READ_AT, READ_AT, "the-run", "Europe/Berlin")


_SOME_VALUE: dict[str, Any] = {
    "UUID": str(UUID(int=9)),
    "TIMESTAMPTZ": READ_AT,
    "DECIMAL(18,6)": Decimal("1.5"),
    "BOOLEAN": False,
    "VARCHAR": "",
}


@pytest.mark.parametrize("column", [*SESSION_FIELDS, None], ids=lambda column: column.name if column else "extra")
def test_a_change_of_any_field_changes_the_content_hash(
    connection: duckdb.DuckDBPyConnection, land_answers: Land, column: Column | None
) -> None:
    changed = {"extra": "{}"} if column is None else {column.name: _SOME_VALUE[column.type]}
    land_answers(_week(session(1, MONDAY)), _week(session(1, MONDAY) | changed, vehicle=OTHER_CAR))
    assert _rows(connection, "SELECT count(DISTINCT content_hash) FROM raw.sessions") == [(2,)]


def test_text_cannot_pass_for_the_field_beside_it(connection: duckdb.DuckDBPyConnection, land_answers: Land) -> None:
    land_answers(
        _week(session(1, MONDAY, session_outcome='a"|"{}', extra=None)),
        _week(session(1, MONDAY, session_outcome="a", extra="{}"), vehicle=OTHER_CAR),
    )
    assert _rows(connection, "SELECT count(DISTINCT content_hash) FROM raw.sessions") == [(2,)]


def test_a_restated_session_keeps_its_former_version(connection: duckdb.DuckDBPyConnection, land_answers: Land) -> None:
    land_answers(_week(session(1, MONDAY, energy_charged_kwh=5)))
    report = land_answers(_week(session(1, MONDAY, energy_charged_kwh=6), later=1), run_id="second")
    assert (report.restated, report.days[MONDAY].changed_rows, report.touched_days) == (1, 1, [MONDAY])
    assert _rows(connection, "SELECT energy_charged_kwh, version, first_seen_at, fetched_at, run_id FROM raw.sessions") == [
        (Decimal(6), 2, READ_AT, READ_AT + HOUR, "second")
    ]
    assert _versions(connection) == [(1, 1, "restated", READ_AT + HOUR)]
    assert _rows(connection, "SELECT energy_charged_kwh, replaced_by_run_id FROM raw.session_versions") == [
        (Decimal(5), "second")
    ]


def test_a_session_read_again_unchanged_is_refreshed_and_touches_no_day(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY)))
    report = land_answers(_week(session(1, MONDAY), later=1), run_id="second")
    assert (report.landed_rows, report.restated, report.touched_days) == (1, 0, [])
    assert _rows(connection, "SELECT version, fetched_at, run_id FROM raw.sessions") == [(1, READ_AT + HOUR, "second")]
    assert _versions(connection) == []


def test_a_session_that_is_no_longer_listed_is_kept_as_a_version(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY), session(2, MONDAY)))
    report = land_answers(_week(session(1, MONDAY), later=1))
    assert (report.vanished, report.days[MONDAY].vanished_rows, report.touched_days) == (1, 1, [MONDAY])
    assert _standing(connection) == [1]
    assert _versions(connection) == [(2, 1, "vanished", READ_AT + HOUR)]


def test_a_session_that_comes_back_continues_its_versions(connection: duckdb.DuckDBPyConnection, land_answers: Land) -> None:
    land_answers(_week(session(1, MONDAY)))
    land_answers(_week(later=1))
    report = land_answers(_week(session(1, MONDAY), later=2))
    assert report.touched_days == [MONDAY]
    assert _rows(connection, "SELECT version, first_seen_at FROM raw.sessions") == [(2, READ_AT)]


def test_a_session_that_moves_to_another_day_leaves_the_old_one_and_touches_both(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY)))
    report = land_answers(_week(session(1, SUNDAY), later=1, first=SUNDAY))
    assert (report.moved, report.touched_days) == (1, [MONDAY, SUNDAY])
    assert _rows(connection, "SELECT session_day FROM raw.sessions") == [(SUNDAY,)]


def test_a_session_placed_under_another_day_with_its_content_unchanged_moves_without_a_new_version(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY)))
    report = land_answers(_week(session(1, MONDAY) | {"session_day": SUNDAY}, later=1))
    assert (report.moved, report.restated, report.touched_days) == (1, 0, [MONDAY, SUNDAY])
    assert _versions(connection) == []


def test_a_session_seen_again_and_lost_within_one_landing_touches_its_day(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY)))
    report = land_answers(_week(session(1, MONDAY), later=1), _week(later=2))
    assert (_standing(connection), report.touched_days, report.vanished) == ([], [MONDAY], 1)
    assert report.days[MONDAY].vanished_rows == 1
    assert _versions(connection) == [(1, 1, "superseded", READ_AT + 2 * HOUR)]


def test_rows_on_days_or_of_vehicles_that_were_not_read_stay(connection: duckdb.DuckDBPyConnection, land_answers: Land) -> None:
    land_answers(_week(session(1, MONDAY), session(2, SUNDAY)), _week(session(3, MONDAY), vehicle=OTHER_CAR))
    land_answers(_week(later=1, last=MONDAY))
    assert _standing(connection) == [2, 3]


@pytest.mark.parametrize("outcome", ["failed", "gone"])
def test_a_vehicle_that_could_not_be_read_keeps_its_rows_and_the_ledger_says_so(
    connection: duckdb.DuckDBPyConnection, land_answers: Land, outcome: str
) -> None:
    land_answers(_week(session(1, MONDAY)))
    report = land_answers(_week(later=1, outcome=outcome))
    assert _standing(connection) == [1]
    assert _rows(connection, "SELECT outcome FROM raw.fetches ORDER BY fetched_at") == [("complete",), (outcome,)]
    figures = report.days[MONDAY]
    assert (figures.vehicles_read, figures.vehicles_failed) == ((0, 1) if outcome == "failed" else (1, 0))


def test_the_report_tells_the_whole_day_when_only_some_vehicles_land(land_answers: Land) -> None:
    money = {"energy_charged_kwh": Decimal(10), "actual_cost_eur": Decimal("0.1"), "actual_savings_eur": Decimal("-0.2")}
    land_answers(_week(session(1, MONDAY, **money)))
    report = land_answers(_week(session(2, MONDAY, **money), session(3, MONDAY), vehicle=OTHER_CAR, last=MONDAY))
    assert list(report.days) == [MONDAY]
    figures = report.days[MONDAY]
    assert (figures.rows, figures.vehicles_read) == (3, 2)
    assert (figures.energy_kwh, figures.cost_eur, figures.savings_eur) == (Decimal(20), Decimal("0.2"), Decimal("-0.4"))


def test_a_day_without_any_value_has_no_sum(land_answers: Land) -> None:
    report = land_answers(_week(session(1, MONDAY)))
    assert (report.days[MONDAY].energy_kwh, report.days[SUNDAY].cost_eur) == (None, None)


def test_nothing_staged_lands_as_nothing(connection: duckdb.DuckDBPyConnection, land_answers: Land) -> None:
    assert land_answers() == _land(connection, []) == LandingReport()


def test_a_landing_leaves_the_connections_settings_as_they_were(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    settings_of = "SELECT current_setting('threads'), current_setting('memory_limit')"
    connection.execute("SET memory_limit = '1GiB'")
    before = _rows(connection, settings_of)
    land_answers(_week(session(1, MONDAY)))
    assert _rows(connection, settings_of) == before


# Versions say what changed, and the report how much it was


_ANOTHER_VALUE: dict[str, Any] = _SOME_VALUE | {
    "TIMESTAMPTZ": READ_AT + HOUR,
    "DECIMAL(18,6)": None,
    "BOOLEAN": None,
    "VARCHAR": None,
}


@pytest.mark.parametrize("column", [*SESSION_FIELDS[1:], None], ids=lambda column: column.name if column else "extra")
def test_a_former_version_names_the_field_in_which_the_next_one_differs(
    connection: duckdb.DuckDBPyConnection, land_answers: Land, column: Column | None
) -> None:
    name, was, becomes = (
        ("extra", None, "{}") if column is None else (column.name, _SOME_VALUE[column.type], _ANOTHER_VALUE[column.type])
    )
    land_answers(_week(session(1, MONDAY) | {name: was}))
    land_answers(_week(session(1, MONDAY) | {name: becomes}, later=1))
    assert _rows(connection, "SELECT changed_fields FROM raw.session_versions") == [([name],)]


def test_a_version_that_was_not_restated_names_no_fields(connection: duckdb.DuckDBPyConnection, land_answers: Land) -> None:
    land_answers(_week(session(1, MONDAY), session(2, MONDAY)))
    land_answers(_week(later=1, rejected=[Rejection(str(UUID(int=2)))]))
    assert _rows(connection, "SELECT end_reason, changed_fields FROM raw.session_versions ORDER BY id") == [
        ("vanished", None),
        ("quarantined", None),
    ]


def _sums(energy: object, cost: object, savings: object) -> dict[str, object]:
    return {"energy_charged_kwh": energy, "actual_cost_eur": cost, "actual_savings_eur": savings}


def _effects(changes: LandingReport | LandedDay) -> tuple[Decimal | int, ...]:
    return (
        changes.restated_kwh,
        changes.restated_cost_eur,
        changes.restated_savings_eur,
        changes.vanished_kwh,
        changes.vanished_cost_eur,
        changes.vanished_savings_eur,
    )


def test_the_report_tells_what_restated_and_vanished_rows_did_to_the_sums_of_a_day(land_answers: Land) -> None:
    first = land_answers(
        _week(
            session(1, MONDAY, **_sums(10, Decimal("2.5"), None)),
            session(2, MONDAY, **_sums(4, 1, Decimal("0.25"))),
            session(3, MONDAY, **_sums(7, 2, Decimal("-0.5"))),
        )
    )
    assert _effects(first) == _effects(first.days[MONDAY]) == (0, 0, 0, 0, 0, 0)
    report = land_answers(
        _week(session(1, MONDAY, **_sums(9, Decimal("2.5"), Decimal("-0.125"))), session(2, MONDAY, **_sums(4, None, 1)), later=1)
    )
    assert _effects(report) == _effects(report.days[MONDAY]) == (-1, -1, Decimal("0.625"), 7, 2, Decimal("-0.5"))
    assert _effects(report.days[SUNDAY]) == (0, 0, 0, 0, 0, 0)


def test_a_row_that_moves_takes_its_old_values_from_one_day_and_brings_its_new_ones_to_the_other(land_answers: Land) -> None:
    land_answers(_week(session(1, MONDAY, **_sums(10, 2, 1))))
    report = land_answers(_week(session(1, SUNDAY, **_sums(11, 3, 1)), later=1))
    assert _effects(report.days[MONDAY])[:3] == (-10, -2, -1)
    assert _effects(report.days[SUNDAY])[:3] == (11, 3, 1)
    assert _effects(report) == (1, 1, 0, 0, 0, 0)


@pytest.mark.parametrize("seen_in_between", [True, False])
def test_a_row_that_is_still_listed_but_cannot_be_used_has_not_vanished(land_answers: Land, seen_in_between: object) -> None:
    row = session(1, MONDAY, **_sums(10, 2, 1))
    land_answers(_week(row))
    between = [_week(row, later=1)] if seen_in_between else []
    report = land_answers(*between, _week(later=2, rejected=[Rejection(str(UUID(int=1)))]))
    assert (report.quarantined, report.vanished, report.days[MONDAY].vanished_rows) == (1, 0, 0)
    assert _effects(report) == _effects(report.days[MONDAY]) == (0, 0, 0, 0, 0, 0)


def test_a_row_restated_and_lost_within_one_landing_counts_as_vanished(land_answers: Land) -> None:
    land_answers(_week(session(1, MONDAY, **_sums(10, 2, 1))))
    report = land_answers(_week(session(1, MONDAY, **_sums(11, 3, 1)), later=1), _week(later=2))
    assert _effects(report) == (0, 0, 0, 10, 2, 1)


# The time zone is stamped once


def test_a_session_keeps_the_zone_of_its_first_landing_when_the_vehicle_moves_house(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    def move_to(price_zone: str, hours: int) -> None:
        rows = [listed_vehicle(CAR, price_zone=price_zone)]
        land_vehicles(connection, rows, users_read=[USER], seen_at=READ_AT + hours * HOUR, run_id="run")

    move_to("SE_1", 0)
    land_answers(_week(session(1, MONDAY), session(2, MONDAY)))
    move_to("XX", 1)
    land_answers(_week(session(1, MONDAY, energy_charged_kwh=1), session(3, MONDAY), later=1))
    land_answers(_week(session(1, MONDAY), session(2, MONDAY), session(3, MONDAY), later=2))
    assert _rows(connection, "SELECT price_zone, time_zone FROM raw.sessions ORDER BY id") == [
        ("SE_1", "Europe/Stockholm"),
        ("SE_1", "Europe/Stockholm"),
        ("XX", "Europe/Berlin"),
    ]


# Late, repeated and overlapping answers


def test_an_answer_read_earlier_and_landed_later_adds_nothing_but_former_versions(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY, energy_charged_kwh=6), later=1))
    report = land_answers(_week(session(1, MONDAY, energy_charged_kwh=5), session(2, MONDAY)))
    assert report.stale_reads == 1
    assert _rows(connection, "SELECT id, energy_charged_kwh FROM raw.sessions") == [(UUID(int=1), Decimal(6))]
    assert _versions(connection) == [(1, 1, "restated", READ_AT + HOUR), (2, 1, "superseded", READ_AT + HOUR)]


def test_a_late_answer_shows_a_version_between_two_that_are_known(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY, energy_charged_kwh=5)), run_id="first")
    land_answers(_week(session(1, MONDAY, energy_charged_kwh=7), later=2), run_id="second")
    land_answers(_week(session(1, MONDAY, energy_charged_kwh=6), later=1), run_id="late")
    versions = "SELECT version, energy_charged_kwh, valid_from, replaced_at, replaced_by_run_id FROM raw.session_versions"
    assert _rows(connection, f"{versions} ORDER BY version") == [
        (1, 5, READ_AT, READ_AT + HOUR, "late"),
        (2, 6, READ_AT + HOUR, READ_AT + 2 * HOUR, "second"),
    ]
    assert _rows(connection, "SELECT version, energy_charged_kwh, valid_from, run_id FROM raw.sessions") == [
        (3, 7, READ_AT + 2 * HOUR, "second")
    ]


def test_a_late_answer_that_does_not_list_a_session_shows_that_it_was_gone_for_a_while(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY)))
    land_answers(_week(session(1, MONDAY), later=2))
    report = land_answers(_week(later=1))
    assert _versions(connection) == [(1, 1, "vanished", READ_AT + HOUR)]
    assert _rows(connection, "SELECT version, first_seen_at, valid_from FROM raw.sessions") == [(2, READ_AT, READ_AT + 2 * HOUR)]
    assert (report.vanished, report.touched_days) == (0, [MONDAY])


def test_a_version_that_lands_late_ended_as_the_one_before_it_was_taken_to_have_ended(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY, energy_charged_kwh=5)))
    land_answers(_week(later=2, rejected=[Rejection(str(UUID(int=1)))]))
    land_answers(_week(session(1, MONDAY, energy_charged_kwh=6), later=1))
    assert _versions(connection) == [(1, 1, "restated", READ_AT + HOUR), (1, 2, "quarantined", READ_AT + 2 * HOUR)]


def test_a_session_that_went_to_another_day_was_gone_in_between_where_a_late_answer_says_so(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, SUNDAY), last=SUNDAY))
    land_answers(_week(session(1, MONDAY), last=MONDAY, later=2))
    land_answers(_week(first=SUNDAY, later=1))
    assert _versions(connection) == [(1, 1, "vanished", READ_AT + HOUR)]
    assert _rows(connection, "SELECT version, session_day FROM raw.sessions") == [(2, MONDAY)]


def test_what_ended_a_session_on_one_day_ends_it_on_no_other(connection: duckdb.DuckDBPyConnection, land_answers: Land) -> None:
    land_answers(_week(later=2, last=MONDAY))
    land_answers(_week(session(1, MONDAY), last=MONDAY))
    land_answers(_week(session(1, SUNDAY), first=SUNDAY, later=1))
    known = f"SELECT session_day FROM ({known_at()})"
    instants = [READ_AT, READ_AT + HOUR, READ_AT + 2 * HOUR]
    found = [connection.execute(known, {"instant": instant}).fetchall() for instant in instants]
    assert found == [[(MONDAY,)], [(SUNDAY,)], [(SUNDAY,)]]


def test_an_old_answer_does_not_bring_back_a_session_that_was_lost_from_another_day_since(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(later=2, last=MONDAY))
    land_answers(_week(session(1, MONDAY), later=1, last=MONDAY))
    report = land_answers(_week(session(1, SUNDAY)))
    assert (_standing(connection), report.landed_rows) == ([], 0)
    # What is told of the session on both days is another now, and so they are published again.
    assert report.touched_days == [MONDAY, SUNDAY]


def test_landing_the_same_parts_again_adds_nothing_anywhere(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    answers = [
        _week(session(1, MONDAY), session(2, SUNDAY), rejected=[Rejection("x")]),
        _week(vehicle=OTHER_CAR, outcome="failed"),
    ]
    part = write_part(tmp_path / "part", answers)
    _land(connection, [part])
    before = _everything(connection)
    report = _land(connection, [part, part], run_id="again")
    assert (report.landed_rows, report.quarantined, report.stale_reads, report.touched_days) == (0, 0, 1, [])
    assert _everything(connection) == before


def _everything(connection: duckdb.DuckDBPyConnection) -> dict[str, Rows]:
    return {table.name: _rows(connection, f"FROM {table.full_name} ORDER BY ALL") for table in RAW_TABLES}


def test_of_two_reads_of_one_window_in_one_landing_the_newest_counts(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(2, MONDAY), session(3, MONDAY), later=1), _week(session(1, MONDAY), session(2, MONDAY)))
    assert _standing(connection) == [2, 3]


def test_the_ledger_keeps_of_a_window_the_latest_read_the_first_of_each_day_and_every_failure(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    outcomes = {0: "complete", 1: "failed", 2: "failed", 3: "complete", 30: "complete", 31: "complete", 32: "complete"}
    for later, outcome in outcomes.items():
        land_answers(_week(later=later, outcome=outcome))
    land_answers(_week(later=33, first=SUNDAY))
    ledger = _rows(connection, "SELECT outcome, first_day, fetched_at FROM raw.fetches ORDER BY fetched_at")
    assert ledger == [
        ("complete", MONDAY, READ_AT),
        ("failed", MONDAY, READ_AT + HOUR),
        ("failed", MONDAY, READ_AT + 2 * HOUR),
        ("complete", MONDAY, READ_AT + 30 * HOUR),
        ("complete", MONDAY, READ_AT + 32 * HOUR),
        ("complete", SUNDAY, READ_AT + 33 * HOUR),
    ]


DAYS = [MONDAY + timedelta(days=number) for number in range(3)]


@st.composite
def _answers(draw: st.DrawFn, apart: timedelta = HOUR) -> list[Answer]:
    """Answers about two vehicles' overlapping windows, each read at a time of its own, by whole numbers of `apart`."""
    answers = []
    for number_of_read in draw(st.permutations(range(draw(st.integers(3, 6))))):
        first, last = sorted((draw(st.sampled_from(DAYS)), draw(st.sampled_from(DAYS))))
        window = [day for day in DAYS if first <= day <= last]
        outcome = draw(st.sampled_from(["complete", "complete", "complete", "complete", "count_mismatch", "gone", "failed"]))
        seen: dict[int, date | None] = {}
        if outcome in {"complete", "count_mismatch"}:
            seen = draw(st.dictionaries(st.integers(1, 2), st.sampled_from([*window, *window, None])))
        answers.append(
            Answer(
                vehicle=draw(st.sampled_from([CAR, CAR, CAR, OTHER_CAR])),
                first=first,
                last=last,
                read_at=READ_AT + number_of_read * apart,
                sessions=[
                    session(number, day, energy_charged_kwh=draw(st.integers(1, 2)))
                    for number, day in seen.items()
                    if day is not None
                ],
                rejected=[Rejection(str(UUID(int=number))) for number, day in seen.items() if day is None],
                outcome=outcome,
            )
        )
    return answers


@st.composite
def _landings(draw: st.DrawFn, answers: Sequence[Answer]) -> list[list[Answer]]:
    """The answers in any order, some of them twice, cut into landings."""
    order = draw(st.permutations([*answers, *draw(st.lists(st.sampled_from(answers), max_size=2))]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1), max_size=3)))
    return [list(order[start:end]) for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]


def _expected(answers: Sequence[Answer]) -> Rows:
    """The rule: a session is where its newest sighting saw it, unless a newer answer covers that day without listing it."""
    good = sorted((answer for answer in answers if answer.outcome in {"complete", "count_mismatch"}), key=lambda it: it.read_at)
    newest = {(answer.vehicle, row["id"]): (answer, row) for answer in good for row in answer.sessions}
    return sorted(
        (vehicle_id, UUID(session_id), row["session_day"], row["energy_charged_kwh"], answer.read_at)
        for (vehicle_id, session_id), (answer, row) in newest.items()
        if not any(
            later.vehicle == vehicle_id and later.read_at > answer.read_at and later.first <= row["session_day"] <= later.last
            for later in good
        )
    )


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_answers_landed_in_any_order_any_number_of_times_give_the_same_sessions(
    connection: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    answers = data.draw(_answers())
    for table in RAW_TABLES:
        connection.execute(f"DELETE FROM {table.full_name}")
    folder = tmp_path_factory.mktemp("parts")
    for number, landing in enumerate(data.draw(_landings(answers))):
        parts = [write_part(folder / f"{number}-{index}", [answer]) for index, answer in enumerate(landing)]
        before = _content(connection)
        report = _land(connection, parts)
        changed_days = {day for day, *_ in before ^ _content(connection)}
        assert changed_days <= set(report.touched_days)
    found = "SELECT electric_vehicle_id, id, session_day, energy_charged_kwh, fetched_at FROM raw.sessions ORDER BY ALL"
    assert _rows(connection, found) == _expected(answers)
    duplicates = "SELECT electric_vehicle_id, id, fetched_at FROM raw.session_versions GROUP BY ALL HAVING count(*) > 1"
    assert _rows(connection, duplicates) == []


@dataclass
class _Version:
    vehicle: UUID
    row: Row
    valid_from: datetime
    replaced_at: datetime | None = None
    changed_fields: list[str] | None = None


def _history(answers: Sequence[Answer]) -> list[_Version]:
    """What the answers show one after the other, in the order of reading."""
    versions: list[_Version] = []
    for answer in sorted(answers, key=lambda answer: answer.read_at):
        if answer.outcome not in {"complete", "count_mismatch"}:
            continue
        listed = {row["id"]: row for row in answer.sessions}
        for version in [version for version in versions if version.vehicle == answer.vehicle and version.replaced_at is None]:
            row = listed.get(version.row["id"])
            if row is None and answer.first <= version.row["session_day"] <= answer.last:
                version.replaced_at = answer.read_at
            elif row == version.row:
                del listed[row["id"]]
            elif row is not None:
                version.replaced_at = answer.read_at
                compared = ("plug_in_time", "energy_charged_kwh")
                version.changed_fields = [name for name in compared if row[name] != version.row[name]]
        versions += [_Version(answer.vehicle, row, answer.read_at) for row in listed.values()]
    return versions


def _told(history: Sequence[_Version]) -> Rows:
    """The history as the tables should have it."""
    told = []
    for (vehicle, session_id), own in groupby(
        sorted(history, key=lambda it: (it.vehicle, it.row["id"], it.valid_from)), key=lambda it: (it.vehicle, it.row["id"])
    ):
        versions = list(own)
        told += [
            (
                vehicle,
                UUID(session_id),
                number,
                version.row["session_day"],
                version.row["energy_charged_kwh"],
                versions[0].valid_from,
                version.valid_from,
                version.replaced_at,
                version.changed_fields,
            )
            for number, version in enumerate(versions, start=1)
        ]
    return told


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_answers_landed_in_any_order_any_number_of_times_tell_the_same_history(
    connection: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    answers = data.draw(_answers(apart=24 * HOUR))
    for table in RAW_TABLES:
        connection.execute(f"DELETE FROM {table.full_name}")
    folder = tmp_path_factory.mktemp("parts")
    for number, landing in enumerate(data.draw(_landings(answers))):
        _land(connection, [write_part(folder / f"{number}-{index}", [answer]) for index, answer in enumerate(landing)])
    columns = "electric_vehicle_id, id, version, session_day, energy_charged_kwh, first_seen_at, valid_from"
    found = f"""
        SELECT {columns}, NULL AS replaced_at, NULL AS changed_fields FROM raw.sessions
        UNION ALL
        SELECT {columns}, replaced_at, changed_fields FROM raw.session_versions
        ORDER BY electric_vehicle_id, id, version
    """
    assert _rows(connection, found) == _told(_history(answers))
    known = f"SELECT electric_vehicle_id, id, session_day, energy_charged_kwh FROM ({known_at()}) ORDER BY ALL"
    for instant in (READ_AT + hours * HOUR for hours in range(-12, 24 * len(answers), 12)):
        rows = connection.execute(known, {"instant": instant}).fetchall()
        assert rows == [row[:4] for row in _expected([answer for answer in answers if answer.read_at <= instant])]


def _content(connection: duckdb.DuckDBPyConnection) -> set[tuple[Any, ...]]:
    """What is derived from: each row's day and content, those under quarantine left out."""
    query = """
        SELECT session_day, electric_vehicle_id, id, content_hash
        FROM raw.sessions
        ANTI JOIN raw.quarantine AS entry
            ON entry.electric_vehicle_id = sessions.electric_vehicle_id AND entry.record_key = sessions.id::VARCHAR
    """
    return set(_rows(connection, query))


# A sudden loss is held


def test_a_read_that_loses_most_rows_is_held_until_a_later_one_says_the_same(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY), session(2, MONDAY), session(3, MONDAY)))
    report = land_answers(_week(session(1, MONDAY, energy_charged_kwh=1), later=1), hold_share=0.5)
    assert (report.held_vehicles, report.touched_days, report.days[MONDAY].vehicles_failed) == (1, [], 1)
    assert _standing(connection) == [1, 2, 3]
    assert _rows(connection, "SELECT outcome FROM raw.fetches ORDER BY fetched_at") == [("complete",), ("held",)]

    report = land_answers(_week(session(1, MONDAY), later=2), hold_share=0.5)
    assert (report.held_vehicles, report.vanished) == (0, 2)
    assert _standing(connection) == [1]


def test_the_same_answer_landed_twice_does_not_confirm_itself(connection: duckdb.DuckDBPyConnection, land_answers: Land) -> None:
    land_answers(_week(session(1, MONDAY)))
    land_answers(_week(later=1), hold_share=0.5)
    land_answers(_week(later=1), hold_share=0.5)
    assert _standing(connection) == [1]


def test_a_vehicle_that_recovers_after_a_held_read_starts_anew(connection: duckdb.DuckDBPyConnection, land_answers: Land) -> None:
    land_answers(_week(session(1, MONDAY)))
    land_answers(_week(later=1), hold_share=0.5)
    land_answers(_week(session(1, MONDAY), later=2), hold_share=0.5)
    report = land_answers(_week(later=3), hold_share=0.5)
    assert (report.held_vehicles, _standing(connection)) == (1, [1])


def test_only_the_vehicle_that_loses_its_rows_is_held(connection: duckdb.DuckDBPyConnection, land_answers: Land) -> None:
    land_answers(_week(session(1, MONDAY)), _week(session(2, MONDAY), vehicle=OTHER_CAR))
    land_answers(_week(later=1), _week(session(3, MONDAY), session(2, MONDAY), later=1, vehicle=OTHER_CAR), hold_share=0.5)
    assert _standing(connection) == [1, 2, 3]


def test_losing_half_of_the_rows_or_sending_them_malformed_is_not_held(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(*(session(number, MONDAY) for number in (1, 2, 3, 4))))
    report = land_answers(_week(session(1, MONDAY), later=1, rejected=[Rejection(str(UUID(int=2)))]), hold_share=0.5)
    assert (report.held_vehicles, _standing(connection)) == (0, [1])


# Quarantine


def _quarantine(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return [key for (key,) in _rows(connection, "SELECT record_key FROM raw.quarantine ORDER BY ALL")]


def test_a_session_that_is_now_malformed_leaves_for_the_quarantine_and_returns_when_mended(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY)))
    malformed = Rejection(str(UUID(int=1)), payload='{"id": 1}')
    report = land_answers(_week(later=1, rejected=[malformed]))
    assert (report.quarantined, report.days[MONDAY].quarantined, report.touched_days) == (1, 1, [MONDAY])
    assert _versions(connection) == [(1, 1, "quarantined", READ_AT + HOUR)]
    assert _rows(connection, "SELECT session_id, rules, reasons, payload, first_day, last_day FROM raw.quarantine") == [
        (UUID(int=1), ["malformed"], [malformed.reason], malformed.payload, MONDAY, SUNDAY)
    ]

    report = land_answers(_week(session(1, MONDAY), later=2, last=MONDAY))
    assert (_quarantine(connection), _standing(connection), report.touched_days) == ([], [1], [MONDAY])


def test_a_record_without_an_id_is_taken_for_no_session_though_the_hash_of_its_payload_looks_like_an_id(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY)))
    land_answers(_week(later=1, rejected=[Rejection(UUID(int=1).hex)]))
    assert _rows(connection, "SELECT record_key, session_id FROM raw.quarantine") == [(UUID(int=1).hex, None)]
    assert _versions(connection) == [(1, 1, "vanished", READ_AT + HOUR)]


def test_a_record_read_again_keeps_the_time_when_it_was_first_seen(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(rejected=[Rejection("x", payload="old")]))
    land_answers(_week(later=1, rejected=[Rejection("x", payload="new")]))
    assert _rows(connection, "SELECT payload, first_seen_at, fetched_at FROM raw.quarantine") == [
        ("new", READ_AT, READ_AT + HOUR)
    ]


def test_a_record_leaves_when_a_newer_answer_to_its_whole_window_no_longer_brings_it(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(rejected=[Rejection("x")]))
    land_answers(_week(later=1, first=MONDAY + timedelta(days=1)))
    land_answers(_week(later=1, vehicle=OTHER_CAR))
    assert _quarantine(connection) == ["x"]
    land_answers(_week(later=2, last=SUNDAY + timedelta(days=1)))
    assert _quarantine(connection) == []


def _past(connection: duckdb.DuckDBPyConnection) -> Rows:
    return _rows(
        connection,
        "SELECT payload, run_id, fetched_at, left_by_run_id, left_at FROM raw.quarantine_past ORDER BY left_at",
    )


def test_what_a_record_in_quarantine_was_stays_known_when_it_is_mended_or_no_longer_listed(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    malformed = Rejection(str(UUID(int=1)), payload='{"id": 1}')
    land_answers(_week(rejected=[malformed, Rejection("x", payload="odd")]), run_id="first")
    land_answers(_week(later=1, rejected=[malformed, Rejection("x", payload="odd")]), run_id="second")
    assert _past(connection) == []
    land_answers(_week(session(1, MONDAY), later=2, last=MONDAY), run_id="third")
    land_answers(_week(session(1, MONDAY), later=3), run_id="fourth")
    assert _quarantine(connection) == []
    assert _past(connection) == [
        ('{"id": 1}', "second", READ_AT + HOUR, "third", READ_AT + 2 * HOUR),
        ("odd", "second", READ_AT + HOUR, "fourth", READ_AT + 3 * HOUR),
    ]
    reasons = "SELECT reasons, first_day, last_day, first_seen_at FROM raw.quarantine_past"
    assert _rows(connection, reasons) == [([malformed.reason], MONDAY, SUNDAY, READ_AT)] * 2


def test_what_a_record_was_stays_known_when_it_comes_in_another_form_that_cannot_be_used(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(rejected=[Rejection("x", payload="old")]))
    land_answers(_week(later=1, rejected=[Rejection("x", payload="new")]))
    assert _quarantine(connection) == ["x"]
    assert _past(connection) == [("old", "run", READ_AT, "run", READ_AT + HOUR)]


def test_a_session_that_two_vehicles_had_leaves_no_trace_among_the_records_that_could_not_be_used(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY)), _week(session(1, SUNDAY), vehicle=OTHER_CAR))
    land_answers(_week(later=1, vehicle=OTHER_CAR))
    assert (_quarantine(connection), _past(connection)) == ([], [])


def test_an_older_answer_does_not_bring_a_mended_record_back(connection: duckdb.DuckDBPyConnection, land_answers: Land) -> None:
    land_answers(_week(session(1, MONDAY), later=1))
    land_answers(_week(rejected=[Rejection(str(UUID(int=1))), Rejection("x")]))
    assert (_quarantine(connection), _standing(connection)) == ([], [1])


def test_an_older_answer_to_a_longer_window_does_not_bring_a_mended_record_back(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY), later=1, last=MONDAY))
    land_answers(_week(rejected=[Rejection(str(UUID(int=1)))]))
    assert _quarantine(connection) == []


def test_an_id_under_two_vehicles_stays_in_raw_and_both_are_listed_until_the_clash_is_gone(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY), session(2, MONDAY)))
    report = land_answers(_week(session(1, SUNDAY), vehicle=OTHER_CAR))
    assert report.touched_days == [MONDAY, SUNDAY]
    assert _standing(connection) == [1, 1, 2]
    listed = "SELECT electric_vehicle_id, record_key, session_id, rules, reasons[1][:19] FROM raw.quarantine ORDER BY ALL"
    assert _rows(connection, listed) == [
        (car, str(UUID(int=1)), UUID(int=1), ["id_of_two_vehicles"], "id_of_two_vehicles:") for car in (CAR, OTHER_CAR)
    ]

    land_answers(_week(session(1, MONDAY), session(2, MONDAY), later=1))
    assert len(_quarantine(connection)) == 2

    report = land_answers(_week(later=2, vehicle=OTHER_CAR))
    assert (_quarantine(connection), _standing(connection), report.touched_days) == ([], [1, 2], [MONDAY, SUNDAY])


def test_sessions_outside_the_days_asked_for_stop_the_landing_before_anything_is_written(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    outside = [Rejection("x", "outside_window: not then", day=date(2026, 1, 1))]
    many = [session(number, MONDAY) for number in range(1, 101)]
    before = _everything(connection)
    with pytest.raises(WrongSessionDay, match="2 of 102 sessions, of 2 vehicles.*doctor --probe.*EV_SESSIONS_SESSION_DAY"):
        land_answers(_week(*many, rejected=outside), _week(vehicle=OTHER_CAR, rejected=outside))
    assert _everything(connection) == before


def test_a_few_sessions_outside_the_days_asked_for_are_quarantined(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    outside = [Rejection("x", "outside_window: not then", day=date(2026, 1, 1))]
    land_answers(_week(session(1, MONDAY), rejected=outside))
    many = [session(number, MONDAY) for number in range(2, 202)]
    land_answers(_week(*many, vehicle=OTHER_CAR, rejected=outside), _week(later=1, rejected=outside))
    assert _quarantine(connection) == ["x", "x"]


_OUTSIDE = Rejection(str(UUID(int=1)), "outside_window: not on Sunday", day=MONDAY)


@pytest.mark.parametrize("late", [False, True])
def test_a_session_that_its_own_day_lists_stays_whatever_an_answer_about_other_days_says(
    connection: duckdb.DuckDBPyConnection, land_answers: Land, late: object
) -> None:
    answers = [_week(session(1, MONDAY), last=MONDAY), _week(later=1, first=SUNDAY, rejected=[_OUTSIDE])]
    for answer in reversed(answers) if late else answers:
        report = land_answers(answer)
    assert (_standing(connection), _quarantine(connection)) == ([1], [])
    assert report.touched_days == ([MONDAY, SUNDAY] if late else [])


def test_a_session_that_its_own_day_lists_no_longer_is_quarantined_where_else_it_is_listed(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY), last=MONDAY))
    land_answers(_week(later=1, last=MONDAY), _week(later=2, first=SUNDAY, rejected=[_OUTSIDE]))
    assert (_standing(connection), _quarantine(connection)) == ([], [_OUTSIDE.record_key])


def test_a_session_that_the_answer_about_its_own_day_puts_outside_goes_into_quarantine(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, SUNDAY), first=SUNDAY))
    land_answers(_week(later=1, first=SUNDAY, rejected=[_OUTSIDE]))
    assert (_standing(connection), _quarantine(connection)) == ([], [_OUTSIDE.record_key])


@pytest.mark.parametrize("day", [date(1, 1, 1), date(1970, 1, 1), date(2014, 12, 31)])
def test_sessions_of_days_that_no_session_can_have_say_nothing_of_how_the_api_lists_days(
    connection: duckdb.DuckDBPyConnection, land_answers: Land, day: date
) -> None:
    outside = [Rejection("x", "outside_window: not in that week", day=day)]
    land_answers(_week(session(1, MONDAY), rejected=outside), _week(vehicle=OTHER_CAR, rejected=outside))
    assert (_standing(connection), _quarantine(connection)) == ([1], ["x", "x"])


# All or nothing


def test_a_row_that_cannot_be_inserted_leaves_everything_as_it_was(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(_week(session(1, MONDAY), rejected=[Rejection("x")]))
    before = _everything(connection)
    with pytest.raises(duckdb.ConversionException):
        land_answers(_week(session(1, MONDAY, energy_charged_kwh=1), session(2, MONDAY, org_id="no uuid"), later=1))
    assert _everything(connection) == before
    assert land_answers(_week(session(2, MONDAY), later=2)).landed_rows == 1


_CHILD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.landing import land
from ev_sessions.limits import Limits

class StopsBeforeCommit:
    def __init__(self, connection):
        self._connection = connection
    def __getattr__(self, name):
        if name == "commit":
            print("about to commit", flush=True)
            sys.stdin.readline()
        return getattr(self._connection, name)

database, part = map(Path, sys.argv[1:])
with Database(database, lock_timeout_seconds=30).writing() as connection:
    land(
        StopsBeforeCommit(connection), [part], run_id="child", landed_at=datetime.now(UTC), zones={},
        default_time_zone="UTC", hold_share=1.0, limits=Limits(),
    )
"""


def _child(database: Database, part: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _CHILD, str(database.path), str(part)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _wait_for_commit(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    assert child.stdout.readline() == "about to commit\n"


def test_a_process_killed_just_before_its_commit_leaves_everything_as_it_was(database: Database, tmp_path: Path) -> None:
    with database.writing() as connection:
        _land(connection, [write_part(tmp_path / "first", [_week(session(1, MONDAY))])])
        before = _everything(connection)
    second = write_part(tmp_path / "second", [_week(session(2, MONDAY), later=1)])
    child = _child(database, second)
    _wait_for_commit(child)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    with database.writing() as connection:
        assert _everything(connection) == before
        _land(connection, [second])
        assert _standing(connection) == [2]


def test_two_processes_that_land_at_once_both_succeed(database: Database, tmp_path: Path) -> None:
    first = _child(database, write_part(tmp_path / "first", [_week(session(1, MONDAY))]))
    _wait_for_commit(first)  # it holds the lock now
    second = _child(database, write_part(tmp_path / "second", [_week(session(2, MONDAY), vehicle=OTHER_CAR)]))
    for child in (first, second):
        child.communicate("go on\n")
        assert child.returncode == 0
    with database.reading() as connection:
        assert _standing(connection) == [1, 2]
