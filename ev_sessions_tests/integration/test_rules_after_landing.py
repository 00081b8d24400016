"""How verdicts follow what lands: quarantine comes and goes, neighbours on other days are judged again, and no order matters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ev_sessions.days import DayRange
from ev_sessions.limits import Limits
from ev_sessions.settings import ReportDate
from ev_sessions.tables import RAW_QUARANTINE, RAW_QUARANTINE_PAST, RAW_TOUCHED_DAYS, RULE_HITS
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.derive import derive
from ev_sessions.warehouse.landing import LandingReport, WrongSessionDay, land
from ev_sessions.warehouse.rules import RULES
from ev_sessions.warehouse.scripts import run_sql
from ev_sessions_tests.parts import Answer, Rejection, Row, session, write_part
from ev_sessions_tests.raw_rows import empty, insert, rows_of, touched

CAR, OTHER_CAR = UUID(int=101), UUID(int=102)
MONDAY = date(2026, 3, 2)
TUESDAY, SUNDAY = MONDAY + timedelta(days=1), MONDAY + timedelta(days=6)
WEEK = DayRange(MONDAY, SUNDAY)
# A day that holds nothing: deriving has to be asked for one.
IDLE_DAY = DayRange(MONDAY - timedelta(days=40), MONDAY - timedelta(days=40))
READ_AT = datetime(2026, 3, 9, 3, 15, tzinfo=UTC)
HOUR = timedelta(hours=1)

Land = Callable[..., LandingReport]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("rules") / "rules.duckdb").writing() as connection:
        yield connection


@pytest.fixture
def connection(warehouse: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    empty(warehouse)
    return warehouse


def land_parts(
    connection: duckdb.DuckDBPyConnection, parts: Sequence[Path], limits: Mapping[str, float] | None = None
) -> LandingReport:
    return land(
        connection,
        parts,
        run_id="run",
        landed_at=READ_AT + 24 * HOUR,
        zones={},
        default_time_zone="Europe/Berlin",
        limits=Limits.of(limits or {}),
        hold_share=1.0,
    )


@pytest.fixture
def land_answers(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> Land:
    """Stages the answers as one part, lands it, and derives what that touched."""
    numbers = count()

    def land_them(*answers: Answer, limits: Mapping[str, float] | None = None) -> LandingReport:
        report = land_parts(connection, [write_part(tmp_path / f"part-{next(numbers)}", answers)], limits)
        derive_touched(connection)
        return report

    return land_them


def derive_touched(connection: duckdb.DuckDBPyConnection, limits: Limits | None = None, *, days: DayRange = IDLE_DAY) -> None:
    derive(
        connection,
        days,
        run_id="derive",
        report_date=ReportDate.SESSION_END,
        lookback_days=14,
        limits=limits or Limits(),
        derived_at=READ_AT + 24 * HOUR,
    )


def touch_everything(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("DELETE FROM raw.touched_days")
    days = connection.execute("SELECT DISTINCT session_day FROM raw.sessions").fetchall()
    insert(connection, RAW_TOUCHED_DAYS, *(touched(day) for (day,) in days))


def answer(
    *sessions: Row,
    later: int = 0,
    vehicle: UUID = CAR,
    days: DayRange = WEEK,
    rejected: Sequence[Rejection] = (),
    outcome: str = "complete",
) -> Answer:
    """An answer about the days, read `later` hours after the first."""
    return Answer(vehicle, days.first, days.last, READ_AT + later * HOUR, sessions, rejected, outcome)


def stay(number: int, day: date, hours: float = 6, *, at: float = 12, **fields: object) -> Row:
    """A session that is plugged in at the hour `at` of `day`, for so many hours."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC) + at * HOUR
    return session(number, day, **{"plug_in_time": begin, "unplug_time": begin + hours * HOUR, **fields})


def reasons(connection: duckdb.DuckDBPyConnection) -> dict[tuple[int, int], list[str]]:
    """The rules for which each session is kept out, by vehicle and session."""
    entries = rows_of(connection, RAW_QUARANTINE)
    assert all([reason.partition(":")[0] for reason in entry["reasons"]] == entry["rules"] for entry in entries)
    return {(entry["electric_vehicle_id"].int, entry["session_id"].int): entry["rules"] for entry in entries}


def flags(connection: duckdb.DuckDBPyConnection) -> dict[int, list[str]]:
    """The warnings of each session that is derived."""
    found = connection.execute("SELECT id, flags FROM analytics.sessions ORDER BY id").fetchall()
    return {key.int: names for key, names in found}


# Quarantine comes and goes


def test_a_session_leaves_the_quarantine_when_a_later_read_mends_it(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(answer(stay(1, MONDAY, -1)))
    assert (reasons(connection), flags(connection)) == ({(CAR.int, 1): ["ends_before_plug_in"]}, {})
    land_answers(answer(stay(1, MONDAY, 1), later=1))
    assert (reasons(connection), flags(connection)) == ({}, {1: []})


def test_a_session_leaves_the_quarantine_when_it_is_no_longer_listed(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(answer(stay(1, MONDAY, -1), stay(2, MONDAY)))
    land_answers(answer(stay(2, MONDAY), later=1))
    assert (reasons(connection), flags(connection)) == ({}, {2: []})
    assert connection.execute("SELECT id, end_reason FROM raw.session_versions").fetchall() == [(UUID(int=1), "vanished")]


def test_a_session_that_goes_bad_goes_into_quarantine(connection: duckdb.DuckDBPyConnection, land_answers: Land) -> None:
    land_answers(answer(stay(1, MONDAY)))
    land_answers(answer(stay(1, MONDAY, energy_charged_kwh=Decimal(-1)), later=1))
    assert (reasons(connection), flags(connection)) == ({(CAR.int, 1): ["negative_energy"]}, {})


def test_a_session_that_moves_to_another_day_is_in_quarantine_once(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(answer(stay(1, MONDAY, -1)))
    land_answers(answer(stay(1, TUESDAY, -1), later=1))
    assert [row["first_day"] for row in rows_of(connection, RAW_QUARANTINE)] == [TUESDAY]


def test_what_seemed_to_lie_in_the_future_is_believed_when_it_is_read_later_unchanged(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    ahead = session(1, SUNDAY, unplug_time=READ_AT + HOUR)
    land_answers(answer(ahead))
    assert reasons(connection) == {(CAR.int, 1): ["in_the_future"]}
    assert land_answers(answer(ahead, later=2)).touched_days == [SUNDAY]
    assert (reasons(connection), flags(connection)) == ({}, {1: []})


def test_a_read_that_finds_a_bad_session_unchanged_leaves_it_in_quarantine(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(answer(stay(1, MONDAY, -1)))
    land_answers(answer(stay(1, MONDAY, -1), later=1))
    (entry,) = rows_of(connection, RAW_QUARANTINE)
    assert (entry["first_seen_at"], entry["fetched_at"]) == (READ_AT, READ_AT + HOUR)


def test_other_limits_let_sessions_out_and_in_once_their_days_are_touched(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(answer(stay(1, MONDAY, energy_charged_kwh=Decimal(300)), stay(2, TUESDAY, energy_charged_kwh=Decimal(90))))
    assert reasons(connection) == {(CAR.int, 1): ["too_much_energy"]}
    touch_everything(connection)
    derive_touched(connection, Limits.of({"energy_too_much_kwh": 400, "energy_much_kwh": 80}))
    assert (reasons(connection), flags(connection)) == ({}, {1: FLAGGED, 2: FLAGGED})
    touch_everything(connection)
    derive_touched(connection, Limits.of({"energy_too_much_kwh": 50}))
    assert (set(reasons(connection)), flags(connection)) == ({(CAR.int, 1), (CAR.int, 2)}, {})


FLAGGED = ["much_energy", "incomplete_figures"]


def test_records_that_cannot_be_typed_are_left_alone_by_deriving(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    malformed = Rejection(str(UUID(int=9)), payload="{}")
    land_answers(answer(stay(1, MONDAY, -1), rejected=[malformed]))
    touch_everything(connection)
    derive_touched(connection)
    assert reasons(connection) == {(CAR.int, 1): ["ends_before_plug_in"], (CAR.int, 9): ["malformed"]}


def test_a_record_that_turns_up_on_another_day_counts_on_the_first_no_more(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    malformed = Rejection(str(UUID(int=9)))
    land_answers(answer(days=DayRange(MONDAY, MONDAY), rejected=[malformed]))
    derive_touched(connection, days=DayRange(MONDAY, MONDAY))
    assert malformed_on(connection) == [MONDAY]
    land_answers(answer(stay(9, TUESDAY), later=1, days=DayRange(TUESDAY, TUESDAY)))
    assert malformed_on(connection) == []


def malformed_on(connection: duckdb.DuckDBPyConnection) -> list[date]:
    return [row["session_day"] for row in rows_of(connection, RULE_HITS) if row["rule"] == "malformed"]


@pytest.mark.parametrize("order", [[[0], [1], [2]], [[2], [1], [0]], [[1], [0, 2]], [[0, 1, 2]]])
def test_what_could_not_be_typed_is_kept_in_whatever_order_answers_land(
    connection: duckdb.DuckDBPyConnection, land_answers: Land, order: list[list[int]]
) -> None:
    at_first, later = (Rejection(str(UUID(int=9)), payload=payload) for payload in ('"first"', '"later"'))
    answers = [
        answer(later=0, rejected=[at_first]),
        answer(later=1, rejected=[later]),
        answer(stay(9, MONDAY), later=2),
    ]
    for landing in order:
        land_answers(*(answers[number] for number in landing))
    past = {(row["payload"], row["fetched_at"], row["left_at"]) for row in rows_of(connection, RAW_QUARANTINE_PAST)}
    assert past == {('"first"', READ_AT, READ_AT + HOUR), ('"later"', READ_AT + HOUR, READ_AT + 2 * HOUR)}
    assert (reasons(connection), set(flags(connection))) == ({}, {9})


def test_an_id_of_two_vehicles_is_listed_with_what_else_is_wrong_until_one_of_them_goes(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(answer(stay(1, MONDAY, -1)), answer(stay(1, TUESDAY), vehicle=OTHER_CAR))
    assert reasons(connection) == {
        (CAR.int, 1): ["id_of_two_vehicles", "ends_before_plug_in"],
        (OTHER_CAR.int, 1): ["id_of_two_vehicles"],
    }
    land_answers(answer(vehicle=OTHER_CAR, later=1))
    assert reasons(connection) == {(CAR.int, 1): ["ends_before_plug_in"]}


@pytest.mark.parametrize(
    ("limits", "lands"),
    [({}, False), ({"outside_share": 0.5}, True), ({"outside_share": 0.49}, False), ({"outside_vehicles": 3}, True)],
)
def test_the_limits_of_what_may_lie_outside_the_days_asked_for_can_be_replaced(
    land_answers: Land, limits: Mapping[str, float], lands: object
) -> None:
    outside = [Rejection("x", "outside_window: not then", day=date(2026, 1, 1))]
    answers = [answer(stay(car.int, MONDAY), vehicle=car, rejected=outside) for car in (CAR, OTHER_CAR)]
    if lands:
        assert land_answers(*answers, limits=limits).quarantined == 2
    else:
        with pytest.raises(WrongSessionDay):
            land_answers(*answers, limits=limits)


def test_a_session_in_quarantine_whose_id_another_vehicle_takes_up_counts_for_both_reasons(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(answer(stay(1, SUNDAY, -1)))
    report = land_answers(answer(stay(1, MONDAY), vehicle=OTHER_CAR, later=1))
    assert report.touched_days == [MONDAY, SUNDAY]
    hits = connection.execute("SELECT rule FROM analytics.rule_hits WHERE session_day = ?", [SUNDAY]).fetchall()
    assert {rule for (rule,) in hits} >= {"id_of_two_vehicles", "ends_before_plug_in"}


# Neighbours on other days


def test_a_session_that_lands_late_is_a_neighbour_of_the_next_days(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(answer(stay(2, TUESDAY, at=6)))
    assert flags(connection) == {2: []}
    report = land_answers(answer(stay(1, MONDAY, 20), days=DayRange(MONDAY, MONDAY), later=1))
    assert report.touched_days == [MONDAY, TUESDAY]
    assert flags(connection) == {1: [], 2: ["overlap"]}


def test_an_overlap_ends_when_the_session_before_is_restated(connection: duckdb.DuckDBPyConnection, land_answers: Land) -> None:
    land_answers(answer(stay(1, MONDAY, 20), stay(2, TUESDAY, at=6)))
    assert flags(connection) == {1: [], 2: ["overlap"]}
    report = land_answers(answer(stay(1, MONDAY, 10), days=DayRange(MONDAY, MONDAY), later=1))
    assert (report.touched_days, flags(connection)) == ([MONDAY, TUESDAY], {1: [], 2: []})


def test_the_session_counted_twice_comes_back_when_the_first_vanishes(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    figures = {"energy_charged_kwh": 5, "actual_cost_eur": 1, "actual_savings_eur": 1}
    land_answers(answer(stay(1, MONDAY, 20, **figures), stay(2, TUESDAY, at=6, **figures)))
    assert (reasons(connection), flags(connection)) == ({(CAR.int, 2): ["counted_twice"]}, {1: []})
    land_answers(answer(days=DayRange(MONDAY, MONDAY), later=1))
    assert (reasons(connection), flags(connection)) == ({}, {2: []})


def test_the_session_before_decides_whether_one_between_is_missing(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(answer(stay(1, MONDAY, final_soc_pct=50), stay(3, SUNDAY, initial_soc_pct=80)))
    assert flags(connection) == {1: [], 3: ["session_missing"]}
    land_answers(answer(stay(2, TUESDAY, final_soc_pct=80), days=DayRange(TUESDAY, TUESDAY), later=1))
    assert flags(connection) == {1: [], 2: [], 3: []}
    land_answers(answer(days=DayRange(TUESDAY, TUESDAY), later=2))
    assert flags(connection) == {1: [], 3: ["session_missing"]}


def test_a_session_that_is_kept_out_hides_no_follower_on_a_later_day(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    kept_out, follower = stay(2, TUESDAY, energy_charged_kwh=-5), stay(3, SUNDAY, initial_soc_pct=80)
    land_answers(answer(stay(1, MONDAY, final_soc_pct=50), kept_out, follower))
    assert flags(connection) == {1: [], 3: ["session_missing"]}
    land_answers(answer(stay(1, MONDAY, final_soc_pct=80), days=DayRange(MONDAY, MONDAY), later=1))
    assert flags(connection) == {1: [], 3: []}


# What is no longer listed


def vanished(connection: duckdb.DuckDBPyConnection) -> dict[date, int]:
    found = connection.execute("SELECT session_day, hits FROM analytics.rule_hits WHERE rule = 'vanished'").fetchall()
    return dict(found)


def test_a_session_that_comes_back_on_another_day_has_vanished_from_none(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(answer(stay(1, MONDAY), stay(2, MONDAY)))
    land_answers(answer(later=1))
    assert vanished(connection) == {MONDAY: 2}
    report = land_answers(answer(stay(1, TUESDAY), days=DayRange(TUESDAY, TUESDAY), later=2))
    assert (report.touched_days, vanished(connection)) == ([MONDAY, TUESDAY], {MONDAY: 1})


def test_a_session_that_vanishes_again_has_vanished_from_its_last_day(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    for hour, listed in enumerate([[stay(1, MONDAY)], [], [stay(1, TUESDAY)], []]):
        land_answers(answer(*listed, later=hour))
    assert vanished(connection) == {TUESDAY: 1}
    insert(connection, RAW_TOUCHED_DAYS, touched(MONDAY), touched(TUESDAY))
    derive_touched(connection)
    assert vanished(connection) == {TUESDAY: 1}


def test_a_chain_of_equal_sessions_is_told_anew_when_its_first_one_vanishes(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    first, second = stay(1, MONDAY, 20), stay(2, TUESDAY, 24, at=6)
    third = stay(3, TUESDAY + timedelta(days=1), at=5)
    land_answers(answer(*(row | FIGURES for row in (first, second, third))))
    assert (set(reasons(connection)), set(flags(connection))) == ({(CAR.int, 2)}, {1, 3})
    land_answers(answer(days=DayRange(MONDAY, MONDAY), later=1))
    assert (set(reasons(connection)), set(flags(connection))) == ({(CAR.int, 3)}, {2})


FIGURES = {"energy_charged_kwh": 5, "actual_cost_eur": 1, "actual_savings_eur": 1}


def test_a_session_does_not_go_for_one_that_stands_under_two_vehicles(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    twins = stay(1, MONDAY, 20) | FIGURES, stay(2, TUESDAY, at=6) | FIGURES
    land_answers(answer(*twins))
    assert set(flags(connection)) == {1}
    report = land_answers(answer(stay(1, SUNDAY), vehicle=OTHER_CAR, later=1))
    assert (report.touched_days, set(flags(connection))) == ([MONDAY, TUESDAY, SUNDAY], {2})
    land_answers(answer(vehicle=OTHER_CAR, later=2))
    assert set(flags(connection)) == {1}


def test_the_session_before_can_have_others_in_between_that_are_kept_out(
    connection: duckdb.DuckDBPyConnection, land_answers: Land
) -> None:
    land_answers(answer(stay(2, TUESDAY, -1), stay(3, SUNDAY, initial_soc_pct=80)))
    land_answers(answer(stay(1, MONDAY, final_soc_pct=50), days=DayRange(MONDAY, MONDAY), later=1))
    assert flags(connection) == {1: [], 3: ["session_missing"]}


# Whatever the order


_STAYS = [-2, 1, 6, 17.95, 18.05, 30, 100]


@st.composite
def _sessions(draw: st.DrawFn, number: int) -> Row:
    fields = {
        "energy_charged_kwh": draw(st.sampled_from([5, 5, 5, 6, -1])),
        "initial_soc_pct": draw(st.sampled_from([None, 20, 60])),
        "final_soc_pct": draw(st.sampled_from([None, 40, 80])),
    }
    day = draw(st.sampled_from([MONDAY, TUESDAY, SUNDAY]))
    return stay(number, day, draw(st.sampled_from(_STAYS)), at=draw(st.sampled_from([6, 12, 12.05])), **fields)


@st.composite
def _answers(draw: st.DrawFn) -> list[Answer]:
    """Answers about mostly one vehicle's overlapping windows, each read at a time of its own, with sessions that share time."""
    answers = []
    for hour in draw(st.permutations(range(draw(st.integers(2, 5))))):
        first, last = sorted((draw(st.sampled_from([MONDAY, TUESDAY, SUNDAY])), draw(st.sampled_from([MONDAY, TUESDAY, SUNDAY]))))
        sessions = [draw(_sessions(number)) for number in draw(st.sets(st.integers(1, 4)))]
        listed = [row for row in sessions if first <= row["session_day"] <= last]
        vehicle = draw(st.sampled_from([CAR, CAR, CAR, CAR, OTHER_CAR]))
        spoilt = draw(st.sets(st.integers(1, 4), max_size=1)) - {UUID(row["id"]).int for row in listed}
        rejected = [Rejection(str(UUID(int=number))) for number in spoilt]
        answers.append(answer(*listed, later=hour, vehicle=vehicle, days=DayRange(first, last), rejected=rejected))
    return answers


@st.composite
def _landings(draw: st.DrawFn, answers: Sequence[Answer]) -> list[list[Answer]]:
    """The answers in any order, cut into landings."""
    order = draw(st.permutations(answers))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1), max_size=3)))
    return [list(order[start:end]) for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]


@given(data=st.data())
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_landed_in_any_order_lead_to_the_same_verdicts(
    connection: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    answers = data.draw(_answers())
    folder = tmp_path_factory.mktemp("parts")
    empty(connection)
    for number, landing in enumerate(data.draw(_landings(answers))):
        land_parts(connection, [write_part(folder / str(number), landing)])
        derive_touched(connection)
    found = verdicts(connection)

    touch_everything(connection)
    derive_touched(connection)
    assert verdicts(connection) == found

    empty(connection)
    land_parts(connection, [write_part(folder / "at-once", sorted(answers, key=lambda each: each.read_at))])
    derive_touched(connection)
    assert verdicts(connection) == found


def verdicts(connection: duckdb.DuckDBPyConnection) -> list[list[tuple[Any, ...]]]:
    """What the rules say of the sessions that stand, and which records cannot be typed.

    These count on the days that were asked for, which a landing does not touch. What became of former versions is told by those.
    """
    queries = (
        """
        SELECT
            electric_vehicle_id, record_key, session_id, rules, reasons, in_sessions, payload, first_day, last_day, fetched_at,
            if(in_sessions, first_seen_at, NULL)
        FROM raw.quarantine
        """,
        "SELECT electric_vehicle_id, id, session_day, flags FROM analytics.sessions",
        "SELECT session_day, rule, hits FROM analytics.rule_hits WHERE list_contains($about_sessions, rule)",
    )
    about_sessions = [rule.name for rule in RULES if rule.breaks or rule.name == "id_of_two_vehicles"]
    return [run_sql(connection, f"{query} ORDER BY ALL", {"about_sessions": about_sessions}).fetchall() for query in queries]
