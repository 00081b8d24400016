"""What the ledger answers to whoever looks for gaps. All questions are asked over a read-only connection."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from ev_sessions.days import DayRange
from ev_sessions.tables import RAW_FETCHES, RAW_QUARANTINE, RAW_SESSIONS, RAW_VEHICLES
from ev_sessions.warehouse import ledger
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.ledger import DayCount, DayCoverage, DuplicateKeys, RowsOutsideWindow
from ev_sessions_tests.raw_rows import DAY, NOW, at, derive_days, insert, kept_out, read, session, vehicle

ONE_DAY = timedelta(days=1)
BEFORE, AFTER = DAY - ONE_DAY, DAY + ONE_DAY
THREE_DAYS = DayRange(BEFORE, AFTER)
LONG_AGO = date(2024, 2, 29)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "sessions.duckdb")


def write(database: Database, fill: Callable[[duckdb.DuckDBPyConnection], object]) -> None:
    with database.writing() as connection:
        fill(connection)


def fill_reads(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1"), vehicle("v2"), vehicle("new", created_at=at("2026-03-11 10:00")))
    insert(
        connection,
        RAW_FETCHES,
        read("v1", DAY, AFTER, outcome="count_mismatch"),
        read("v2", DAY, outcome="failed"),
        read("new", AFTER, fetched_at=NOW - ONE_DAY),
        read("new", AFTER, outcome="held"),
    )


def test_every_day_says_how_many_vehicles_were_due_read_failed_held_and_mismatched(database: Database) -> None:
    write(database, fill_reads)
    with database.reading() as connection:
        answer = ledger.vehicles_unread(connection, THREE_DAYS)
    assert answer == [
        DayCoverage(BEFORE, due=2, read=0, failed=0, held=0, mismatched=0),
        DayCoverage(DAY, due=2, read=1, failed=1, held=0, mismatched=1),
        DayCoverage(AFTER, due=3, read=2, failed=0, held=1, mismatched=1),
    ]
    assert [day.unread for day in answer] == [2, 1, 1]


def test_a_count_mismatch_stands_until_a_newer_complete_read(database: Database) -> None:
    write(database, fill_reads)
    with database.reading() as connection:
        assert ledger.count_mismatches(connection, THREE_DAYS) == [DayCount(DAY, 1), DayCount(AFTER, 1)]
    write(database, lambda connection: insert(connection, RAW_FETCHES, read("v1", DAY, fetched_at=NOW + ONE_DAY)))
    with database.reading() as connection:
        assert ledger.count_mismatches(connection, THREE_DAYS) == [DayCount(AFTER, 1)]


def test_a_doubled_key_shows_on_the_days_asked_about_wherever_its_twin_stands(database: Database) -> None:
    twins = (session("doubled"), session("doubled", day=LONG_AGO), session("shared"), session("shared", of="v2"))
    write(database, lambda connection: insert(connection, RAW_SESSIONS, *twins, session("alone"), session("alone too")))
    with database.reading() as connection:
        assert ledger.duplicate_keys(connection, THREE_DAYS) == [DuplicateKeys(DAY, doubled=1, shared=1)]
        assert ledger.duplicate_keys(connection, DayRange(BEFORE, BEFORE)) == []
        assert ledger.duplicate_keys(connection, None) == [DuplicateKeys(LONG_AGO, 1, 0), DuplicateKeys(DAY, 1, 1)]


def test_rows_that_no_landed_read_covers_and_records_refused_as_outside_are_told(database: Database) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        insert(connection, RAW_FETCHES, read("v1", BEFORE, DAY), read("v2", DAY, outcome="failed"))
        insert(connection, RAW_SESSIONS, session("covered"), session("late", day=AFTER), session("never read", of="v2"))
        outside = ["outside_window: its plug_in_time falls on 2026-01-01"]
        insert(
            connection,
            RAW_QUARANTINE,
            kept_out("outside", reasons=outside),
            kept_out("outside long ago", reasons=outside, first=LONG_AGO),
            kept_out("not typed"),
        )

    write(database, fill)
    with database.reading() as connection:
        answer = ledger.rows_outside_window(connection, THREE_DAYS)
    assert answer == RowsOutsideWindow(uncovered=(DayCount(DAY, 1), DayCount(AFTER, 1)), quarantined=1)


def test_totals_are_ratios_of_sums_over_the_derived_days(database: Database) -> None:
    def fill(connection: duckdb.DuckDBPyConnection) -> None:
        insert(connection, RAW_VEHICLES, vehicle("v1"))
        insert(connection, RAW_FETCHES, read("v1", BEFORE, DAY))
        insert(
            connection,
            RAW_SESSIONS,
            session("s1", day=BEFORE, energy_charged_kwh=7, actual_cost_eur=1, actual_savings_eur=3),
            session("s2", energy_charged_kwh=3, actual_cost_eur=13, actual_savings_eur=-1),
            session("s3", energy_charged_kwh=10, of="v2"),
        )
        derive_days(connection, BEFORE, DAY)

    write(database, fill)
    with database.reading() as connection:
        totals = ledger.totals(connection, THREE_DAYS)
    assert (totals.days, totals.final_days, totals.sessions, totals.quarantined) == (2, 2, 3, 0)
    assert totals.energy_kwh == Decimal(20)
    assert [totals.savings_eur, totals.negative_savings_sessions, totals.negative_savings_eur] == [2, 1, -1]
    assert [totals.cost_eur, totals.counterfactual_eur, totals.savings_rate] == [14, 16, 0.125]
    assert (totals.vehicle_days_due, totals.vehicle_days_read, totals.read_coverage) == (2, 2, 1.0)
    assert (totals.cost_coverage, totals.savings_coverage) == (0.5, 0.5)


def test_totals_of_days_that_are_not_derived_are_unknown_and_not_zero(database: Database) -> None:
    write(database, lambda connection: insert(connection, RAW_SESSIONS, session("s1", energy_charged_kwh=1)))
    with database.reading() as connection:
        totals = ledger.totals(connection, THREE_DAYS)
    assert (totals.days, totals.sessions, totals.energy_kwh, totals.savings_rate, totals.read_coverage) == (
        0,
        0,
        None,
        None,
        None,
    )
