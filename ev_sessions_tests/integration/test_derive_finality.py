"""When a day became final, what changed afterwards, and how far a day that is not final has come."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from ev_sessions.days import ONE_DAY
from ev_sessions.tables import FLEET_DAILY, RAW_FETCHES, RAW_SESSION_VERSIONS, RAW_SESSIONS, RAW_VEHICLES
from ev_sessions.warehouse.connection import Database
from ev_sessions_tests.raw_rows import DAY, LOOKBACK_DAYS, Row, at, derive_days, empty, insert, read, rows_of, session, vehicle

HOUR = timedelta(hours=1)
END = at("2026-03-11 00:00")
LATE = END + LOOKBACK_DAYS * ONE_DAY
"""From here on a read of `DAY` is late enough."""


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("finality") / "sessions.duckdb").writing() as connection:
        yield connection


@pytest.fixture
def connection(warehouse: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    empty(warehouse)
    return warehouse


def former(row: Row, replaced_at: datetime, reason: str = "restated", **changes: object) -> Row:
    """A version that ended."""
    return {**row, "replaced_at": replaced_at, "replaced_by_run_id": "landing", "end_reason": reason, **changes}


def derived(connection: duckdb.DuckDBPyConnection, day: date = DAY) -> dict[str, Any]:
    """The row of `day`, derived alone."""
    derive_days(connection, day)
    (row,) = [row for row in rows_of(connection, FLEET_DAILY) if row["session_day"] == day]
    return row


@pytest.mark.parametrize(
    ("reads", "early"),
    [
        ([], 0),
        ([read("v1", DAY, fetched_at=LATE - HOUR)], 1),
        ([read("v1", DAY, fetched_at=LATE)], 0),
        ([read("v1", DAY, fetched_at=LATE - HOUR, outcome="failed")], 1),
        ([read("v1", DAY, fetched_at=LATE - HOUR), read("v1", DAY, fetched_at=LATE, outcome="failed")], 0),
        ([read("v1", DAY + ONE_DAY, fetched_at=LATE - HOUR)], 0),
        ([read("nobody", DAY, fetched_at=LATE - HOUR)], 0),
    ],
)
def test_a_vehicle_is_read_early_while_its_last_attempt_of_whatever_outcome_was_too_soon(
    connection: duckdb.DuckDBPyConnection, reads: list[Row], early: int
) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"))
    insert(connection, RAW_FETCHES, *reads)
    assert derived(connection)["vehicles_read_early"] == early


def test_a_day_is_final_since_the_last_of_the_first_late_reads(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"), vehicle("v2"))
    insert(
        connection,
        RAW_FETCHES,
        read("v1", DAY, fetched_at=LATE - HOUR),
        read("v1", DAY, DAY + ONE_DAY, fetched_at=LATE),
        read("v1", DAY - ONE_DAY, DAY, fetched_at=LATE + 9 * HOUR),
        read("v2", DAY, outcome="failed", fetched_at=LATE),
        read("v2", DAY, outcome="gone", fetched_at=LATE + 2 * HOUR),
    )
    assert derived(connection)["final_since"] == LATE + 2 * HOUR


def test_a_day_with_a_vehicle_that_was_never_read_late_is_final_since_never(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"), vehicle("v2"))
    insert(connection, RAW_FETCHES, read("v1", DAY, fetched_at=LATE), read("v2", DAY, outcome="count_mismatch", fetched_at=LATE))
    row = derived(connection)
    assert (row["final_since"], row["changed_after_final"]) == (None, None)


AFTER, BEFORE = LATE + HOUR, LATE - HOUR
PLAIN = session("s", first_seen_at=BEFORE, fetched_at=AFTER)


@pytest.mark.parametrize(
    ("standing", "versions", "changed"),
    [
        pytest.param([PLAIN], [], 0, id="nothing"),
        pytest.param([PLAIN | {"first_seen_at": AFTER}], [], 1, id="appeared"),
        pytest.param([PLAIN | {"first_seen_at": LATE}], [], 0, id="appeared in the read that made it final"),
        pytest.param([PLAIN | {"version": 2}], [former(PLAIN, AFTER)], 1, id="restated"),
        pytest.param([PLAIN | {"version": 2}], [former(PLAIN, LATE)], 0, id="restated before"),
        pytest.param(
            [PLAIN | {"version": 3}],
            [former(PLAIN, AFTER), former(PLAIN, AFTER + HOUR, fetched_at=AFTER)],
            1,
            id="restated twice",
        ),
        pytest.param([], [former(PLAIN, AFTER, "vanished")], 1, id="vanished"),
        pytest.param([], [former(PLAIN, BEFORE, "vanished")], 0, id="vanished before"),
        pytest.param([PLAIN | {"session_day": DAY + ONE_DAY, "version": 2}], [former(PLAIN, AFTER)], 1, id="moved away"),
        pytest.param([PLAIN | {"version": 2}], [former(PLAIN, AFTER, session_day=DAY - ONE_DAY)], 1, id="moved here"),
        pytest.param([PLAIN | {"version": 2}], [former(PLAIN, BEFORE, session_day=DAY - ONE_DAY)], 0, id="moved here before"),
    ],
)
def test_what_changes_after_a_day_became_final_is_counted_once_a_session(
    connection: duckdb.DuckDBPyConnection, standing: list[Row], versions: list[Row], changed: int
) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"))
    insert(connection, RAW_FETCHES, read("v1", DAY, fetched_at=LATE), read("v1", DAY, fetched_at=AFTER))
    insert(connection, RAW_SESSIONS, *standing)
    insert(connection, RAW_SESSION_VERSIONS, *versions)
    assert derived(connection)["changed_after_final"] == changed


# The fleet is read every night at a quarter past three. Of each past day one session of 3 kWh ended within it, one of 5 kWh was
# seen a night later, one of 2 kWh two nights later still; the day at hand was read once so far.

NIGHT = timedelta(hours=3, minutes=15)
PAST = [DAY - days * ONE_DAY for days in (16, 17, 20)]
SEEN = {"at once": (0, 3), "a night later": (1, 5), "three nights later": (3, 2)}


def night_after(day: date, nights: int = 0) -> datetime:
    """The read `nights` nights after the first one of `day`."""
    return datetime.combine(day + (1 + nights) * ONE_DAY, datetime.min.time(), END.tzinfo) + NIGHT


def followed(connection: duckdb.DuckDBPyConnection, *, nights: range = range(16)) -> None:
    """The past days, read on `nights` after their ends, and their sessions; `DAY` itself is read the first night."""
    insert(connection, RAW_VEHICLES, vehicle("v1", first_seen_at=at("2026-01-01 00:00")))
    insert(connection, RAW_FETCHES, *(read("v1", day, fetched_at=night_after(day, night)) for day in PAST for night in nights))
    for day in PAST:
        for name, (night, energy) in SEEN.items():
            insert(
                connection,
                RAW_SESSIONS,
                session(f"{name} {day}", day=day, energy_charged_kwh=energy, first_seen_at=night_after(day, night)),
            )
        derive_days(connection, day)
    insert(connection, RAW_FETCHES, read("v1", DAY, fetched_at=night_after(DAY)))


def maturity(connection: duckdb.DuckDBPyConnection, day: date = DAY) -> tuple[Any, Any]:
    row = derived(connection, day)
    return row["sessions_maturity"], row["energy_maturity"]


def test_a_provisional_day_tells_which_share_past_days_had_at_its_age(connection: duckdb.DuckDBPyConnection) -> None:
    followed(connection)
    assert maturity(connection) == (pytest.approx(1 / 3), pytest.approx(0.3))


def test_the_share_grows_with_the_age(connection: duckdb.DuckDBPyConnection) -> None:
    followed(connection)
    insert(connection, RAW_FETCHES, read("v1", DAY, fetched_at=night_after(DAY, 2)))
    assert maturity(connection) == (pytest.approx(2 / 3), pytest.approx(0.8))
    insert(connection, RAW_FETCHES, read("v1", DAY, fetched_at=night_after(DAY, 3)))
    assert maturity(connection) == (1, 1)


def test_a_run_that_was_a_few_minutes_slower_than_the_one_at_hand_counts_for_its_night(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    followed(connection)
    connection.execute("UPDATE raw.sessions SET first_seen_at = first_seen_at + INTERVAL 20 MINUTE")
    derive_days(connection, PAST[-1], PAST[0])
    assert maturity(connection) == (pytest.approx(1 / 3), pytest.approx(0.3))


def test_a_final_day_has_no_maturity(connection: duckdb.DuckDBPyConnection) -> None:
    followed(connection)
    assert maturity(connection, PAST[0]) == (None, None)


def test_a_day_that_was_never_read_has_no_maturity(connection: duckdb.DuckDBPyConnection) -> None:
    followed(connection)
    assert maturity(connection, DAY - ONE_DAY) == (None, None)


def test_days_that_were_not_read_at_that_age_tell_nothing_of_it(connection: duckdb.DuckDBPyConnection) -> None:
    followed(connection, nights=range(14, 16))
    assert maturity(connection) == (None, None)


def test_the_history_of_a_vehicle_that_came_later_tells_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    followed(connection)
    insert(connection, RAW_VEHICLES, vehicle("late", first_seen_at=DAY + ONE_DAY))
    for day in PAST:
        insert(connection, RAW_SESSIONS, session(f"late {day}", of="late", day=day, first_seen_at=DAY + ONE_DAY))
        insert(connection, RAW_FETCHES, read("late", day, fetched_at=DAY + ONE_DAY))
    derive_days(connection, PAST[-1], PAST[0])
    insert(connection, RAW_FETCHES, read("late", DAY, fetched_at=night_after(DAY)))
    assert maturity(connection) == (pytest.approx(1 / 3), pytest.approx(0.3))


def test_only_the_eight_weeks_before_a_day_are_looked_at(connection: duckdb.DuckDBPyConnection) -> None:
    followed(connection)
    later = PAST[0] + 57 * ONE_DAY
    insert(connection, RAW_FETCHES, read("v1", later, fetched_at=night_after(later)))
    assert maturity(connection, later) == (None, None)
    assert maturity(connection, later - ONE_DAY) == (None, None)
    insert(connection, RAW_FETCHES, read("v1", later - ONE_DAY, fetched_at=night_after(later - ONE_DAY)))
    assert maturity(connection, later - ONE_DAY) == (pytest.approx(1 / 3), pytest.approx(0.3))
