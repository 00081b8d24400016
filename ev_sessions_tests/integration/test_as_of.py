"""`raw.sessions` as it was known at an instant: as it stood when only the answers read until then had landed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ev_sessions
from ev_sessions.days import DayRangeError
from ev_sessions.limits import Limits
from ev_sessions.settings import PublishedAccess
from ev_sessions.tables import RAW_SESSIONS, RAW_TABLES
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.landing import land
from ev_sessions.warehouse.publish import publish, views_path
from ev_sessions.warehouse.versions import NothingKnown, as_second, known_at
from ev_sessions_tests.parts import Answer, Rejection, Row, session, write_part
from ev_sessions_tests.raw_rows import derive_days

CAR = UUID(int=101)
DAYS = [date(2026, 3, 2), date(2026, 3, 3)]
READ_AT = datetime(2026, 3, 4, 3, 15, tzinfo=UTC)
ONE_READ = timedelta(hours=1)

Land = Callable[[int, Answer], None]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "ev_sessions.duckdb")


@pytest.fixture
def connection(database: Database) -> Iterator[duckdb.DuckDBPyConnection]:
    with database.writing() as connection:
        yield connection


@pytest.fixture
def land_answer(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> Land:
    """Lands one answer as the run of that number, of which a sudden loss is held until the next one says the same."""
    folders = count()

    def land_it(number: int, answer: Answer) -> None:
        land(
            connection,
            [write_part(tmp_path / f"part-{next(folders)}", [answer])],
            run_id=f"run-{number}",
            landed_at=answer.read_at,
            zones={},
            default_time_zone="UTC",
            hold_share=0.5,
            limits=Limits(),
        )

    return land_it


def read(
    number: int, *sessions: Row, rejected: tuple[Rejection, ...] = (), days: tuple[date, date] = (DAYS[0], DAYS[1])
) -> Answer:
    return Answer(CAR, *days, READ_AT + number * ONE_READ, sessions, rejected)


@st.composite
def answers(draw: st.DrawFn) -> list[Answer]:
    """Answers of one vehicle in the order of reading: sessions come, change, move, become malformed, vanish, come back."""
    made = []
    for number in range(draw(st.integers(2, 6))):
        first, last = sorted((draw(st.sampled_from(DAYS)), draw(st.sampled_from(DAYS))))
        seen = draw(st.dictionaries(st.integers(1, 4), st.sampled_from([first, last, None])))
        rows = [session(key, day, energy_charged_kwh=draw(st.integers(1, 2))) for key, day in seen.items() if day is not None]
        rejected = tuple(Rejection(str(UUID(int=key))) for key, day in seen.items() if day is None)
        made.append(read(number, *rows, rejected=rejected, days=(first, last)))
    return made


def content(connection: duckdb.DuckDBPyConnection, relation: str, instant: datetime | None = None) -> list[tuple[Any, ...]]:
    """All that can be told of the past: which read was a version's last, and its run, are those of the last one ever."""
    query = f"SELECT * EXCLUDE (fetched_at, run_id) FROM {relation} ORDER BY electric_vehicle_id, id"
    return connection.execute(query, {} if instant is None else {"instant": instant}).fetchall()


@given(sequence=answers())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_as_of_an_instant_the_sessions_are_those_that_stood_when_the_answers_read_until_then_had_landed(
    connection: duckdb.DuckDBPyConnection, land_answer: Land, sequence: list[Answer]
) -> None:
    for table in RAW_TABLES:
        connection.execute(f"DELETE FROM {table.full_name}")
    stood = [content(connection, "raw.sessions")]
    for number, answer in enumerate(sequence):
        land_answer(number, answer)
        stood.append(content(connection, "raw.sessions"))
    just_before, at_once = timedelta(microseconds=-1), timedelta(0)
    for number, (before, after) in enumerate(pairwise(stood)):
        instant = READ_AT + number * ONE_READ
        assert content(connection, f"({known_at()})", instant + just_before) == before
        assert content(connection, f"({known_at()})", instant + at_once) == after


@pytest.fixture
def views(database: Database, tmp_path: Path) -> Path:
    """What is published after a session was restated and another one vanished."""
    with database.writing() as connection:
        first = read(0, session(1, DAYS[0], energy_charged_kwh=5), session(2, DAYS[0]), session(3, DAYS[1]))
        second = read(1, session(1, DAYS[0], energy_charged_kwh=6), session(3, DAYS[1]))
        for number, answer in enumerate((first, second)):
            land(
                connection,
                [write_part(tmp_path / f"views-{number}", [answer])],
                run_id=f"run-{number}",
                landed_at=answer.read_at,
                zones={},
                default_time_zone="UTC",
                hold_share=0.5,
                limits=Limits(),
            )
        derive_days(connection, DAYS[0], DAYS[1])
    publish(database, tmp_path / "published", PublishedAccess.OWNER)
    return views_path(tmp_path / "published")


@pytest.mark.parametrize(
    ("instant", "energy"),
    [
        ("2026-03-04T03:15:00Z", {1: 5.0, 2: None, 3: None}),
        ("2026-03-04T05:14:59+01:00", {1: 5.0, 2: None, 3: None}),
        (datetime(2026, 3, 4, 4, 15), {1: 6.0, 3: None}),
        (datetime(2026, 3, 4, 4, 15, tzinfo=UTC), {1: 6.0, 3: None}),
        (pd.Timestamp("2026-04-01"), {1: 6.0, 3: None}),
    ],
)
def test_notebooks_ask_by_text_or_by_stamp_and_a_missing_zone_is_utc(
    views: Path, instant: str | datetime, energy: dict[int, float | None]
) -> None:
    frame = ev_sessions.open_data(views).as_of(instant)
    found = {UUID(row["id"]).int: row["energy_charged_kwh"] for row in frame.to_dict("records")}
    assert {key: None if pd.isna(value) else value for key, value in found.items()} == energy


def test_the_frame_has_the_columns_of_raw_sessions_in_their_order(views: Path) -> None:
    frame = ev_sessions.open_data(views).as_of("2026-03-04T03:15:00Z")
    assert tuple(frame.columns) == RAW_SESSIONS.column_names


@pytest.mark.parametrize("given", ["1 April", None, pd.NaT, 20260401.5])
def test_an_instant_that_is_none_is_refused(views: Path, given: Any) -> None:  # noqa: ANN401 - what a notebook may hand over
    with pytest.raises(DayRangeError, match=f"'{given}' is not an instant"):
        ev_sessions.open_data(views).as_of(given)


@pytest.mark.parametrize(
    ("instant", "told"),
    [
        (
            "2026-03-04",
            "nothing was known at 2026-03-04 00:00:00 UTC: nothing was read before 2026-03-04 03:15:00 UTC; give a later",
        ),
        ("2999-01-01", "2999-01-01 00:00:00 UTC is yet to come; give an instant of the past"),
    ],
)
def test_an_instant_of_which_nothing_is_known_is_told_in_one_line(views: Path, instant: str, told: str) -> None:
    with pytest.raises(NothingKnown, match=told) as refused:
        ev_sessions.open_data(views).as_of(instant)
    assert "\n" not in str(refused.value)


def test_a_stamp_as_it_is_shown_is_one_by_which_it_was_known() -> None:
    assert as_second(READ_AT) == "2026-03-04 03:15:00 UTC"
    assert as_second(READ_AT + timedelta(microseconds=1)) == "2026-03-04 03:15:01 UTC"
