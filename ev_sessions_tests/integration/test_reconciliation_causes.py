"""Which of our rows stand beside the API's sums, and what is named as the likely cause of a difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ev_sessions.tables import RAW_FETCHES, RAW_QUARANTINE, RAW_SESSION_VERSIONS, RAW_SESSIONS, RAW_VEHICLES
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.reconciliation import Asked, months_in_turn, outcomes, reconcile, rows_of_run, whom_to_ask
from ev_sessions_tests.raw_rows import NOW, at, derive_days, insert, kept_out, read, session, uid, vehicle

MONTH, LAST = date(2026, 3, 1), date(2026, 3, 31)
ASKED = Asked(org_id=uid("org"), asked_at=NOW, run_id="asked", share=Decimal("0.01"), lookback_days=14, fleet_is_chosen=False)
NOTHING_HERE = "nothing here explains it: the API's sums are off, or its sessions changed after they were read last"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with two vehicles, all of March read of both, and a session of 10 kWh and 1 EUR of the first."""
    with Database(tmp_path / "sessions.duckdb").writing() as connection:
        insert(connection, RAW_VEHICLES, vehicle("v1"), vehicle("v2"))
        insert(connection, RAW_FETCHES, read("v1", MONTH, LAST), read("v2", MONTH, LAST))
        insert(connection, RAW_SESSIONS, session("s1", energy_charged_kwh=Decimal(10), actual_savings_eur=Decimal(1)))
        yield connection


def said(of: str | None = "v1", month: date = MONTH, **figures: object) -> dict[str, Any]:
    """What the API gave of a vehicle (None: of all) and month."""
    owner = {"user_id": of and uid(f"user of {of}"), "electric_vehicle_id": of and uid(of), "report_month": month}
    unknown = dict.fromkeys(("outcome", "api_sessions", "api_energy_kwh", "api_savings_eur", "cause"))
    return unknown | owner | {name: Decimal(str(value)) for name, value in figures.items()}


def of_a_vehicle(sessions: int, energy: object = 10, savings: object = 1) -> dict[str, Any]:
    return said(api_sessions=sessions, api_energy_kwh=energy, api_savings_eur=savings)


def compared(
    connection: duckdb.DuckDBPyConnection, *answers: dict[str, Any], asked: Asked = ASKED
) -> list[tuple[str, str | None]]:
    """The outcome and the cause of each answer: the organisation's first, then by vehicle and month."""
    reconcile(connection, answers, asked)
    return [(row["outcome"], row["cause"]) for row in rows_of_run(connection, asked.run_id)]


def test_sessions_that_error_rules_keep_out_count_as_copied(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_SESSIONS, session("slip", energy_charged_kwh=Decimal(24_000), actual_savings_eur=Decimal(1)))
    derive_days(connection)
    assert connection.execute("SELECT in_sessions FROM raw.quarantine").fetchall() == [(True,)]
    assert compared(connection, of_a_vehicle(2, 24_010, 2)) == [("agrees", None)]


def test_an_api_that_leaves_out_what_the_rules_keep_out_is_told_so(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_SESSIONS, session("slip", energy_charged_kwh=Decimal(24_000), actual_savings_eur=Decimal(1)))
    derive_days(connection)
    expected = "count, energy, savings: 1 sessions that error rules keep out may not be in the API's sums"
    assert compared(connection, of_a_vehicle(1)) == [("differs", expected)]


def test_records_that_could_not_be_typed_may_make_the_apis_sums_more(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_QUARANTINE, kept_out("r1"), kept_out("r2", of="v2"), kept_out("r3", first=date(2026, 4, 1)))
    expected = "count: 1 records in quarantine are not in raw.sessions"
    assert compared(connection, of_a_vehicle(2)) == [("differs", expected)]


def test_unread_days_of_the_vehicles_life_are_named(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("new", created_at=at("2026-03-21 10:00")))
    insert(
        connection,
        RAW_FETCHES,
        read("new", date(2026, 3, 21), date(2026, 3, 25)),
        read("new", date(2026, 3, 25), LAST, outcome="failed"),
    )
    answer = said("new", api_sessions=1, api_energy_kwh=5, api_savings_eur=1)
    assert compared(connection, answer) == [("differs", "count, energy, savings: 6 vehicle-days are unread")]


def test_the_unread_days_of_all_are_those_of_the_fleet(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("DELETE FROM raw.fetches WHERE electric_vehicle_id = ?", [uid("v2")])
    derive_days(connection, MONTH, LAST)
    assert compared(connection, said(None, api_savings_eur=5)) == [("differs", "savings: 31 vehicle-days are unread")]


def test_vanished_sessions_may_still_be_in_the_apis_sums(connection: duckdb.DuckDBPyConnection) -> None:
    ended = {"replaced_at": NOW, "replaced_by_run_id": "landing"}
    insert(
        connection,
        RAW_SESSION_VERSIONS,
        {**session("gone"), **ended, "end_reason": "vanished"},
        {**session("s1"), **ended, "end_reason": "vanished"},
        {**session("s1", version=2), **ended, "end_reason": "restated"},
    )
    expected = "count, energy: 1 sessions are no longer listed and may still be in the API's sums"
    assert compared(connection, of_a_vehicle(2, 20)) == [("differs", expected)]


def test_where_nothing_here_fits_it_says_when_the_month_was_read_last(connection: duckdb.DuckDBPyConnection) -> None:
    assert compared(connection, of_a_vehicle(1, 10, 2)) == [("differs", f"savings: {NOTHING_HERE}, on 2026-06-01")]


def test_missing_rows_are_no_cause_where_the_count_is_the_same(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_QUARANTINE, kept_out("r1"))
    assert compared(connection, of_a_vehicle(1, 10, 2)) == [("differs", f"savings: {NOTHING_HERE}, on 2026-06-01")]
    no_count = said(api_energy_kwh=10, api_savings_eur=2)
    missing = "1 records in quarantine are not in raw.sessions"
    assert compared(connection, no_count, asked=replace(ASKED, run_id="no count")) == [("differs", f"savings: {missing}")]


def test_rows_too_many_are_no_cause_where_the_count_is_the_same(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_SESSIONS, session("slip", energy_charged_kwh=Decimal(24_000), actual_savings_eur=Decimal(1)))
    derive_days(connection)
    assert compared(connection, of_a_vehicle(2, 24_010, 1)) == [("differs", f"savings: {NOTHING_HERE}, on 2026-06-01")]


def test_a_row_that_the_tolerance_hides_in_the_count_may_still_be_the_cause(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_SESSIONS, *(session(f"free {number}", actual_savings_eur=None) for number in range(199)))
    insert(connection, RAW_QUARANTINE, kept_out("r1"))
    expected = "savings: 1 records in quarantine are not in raw.sessions"
    assert compared(connection, said(api_sessions=201, api_savings_eur=2)) == [("differs", expected)]


def test_causes_that_would_make_the_other_side_more_are_not_named(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_QUARANTINE, kept_out("r1"))
    assert compared(connection, said(api_energy_kwh=10, api_savings_eur=0)) == [
        ("differs", f"savings: {NOTHING_HERE}, on 2026-06-01")
    ]


def test_a_fleet_file_may_explain_a_total_that_is_less_here(connection: duckdb.DuckDBPyConnection) -> None:
    chosen = replace(ASKED, fleet_is_chosen=True)
    answers = said(None, api_savings_eur=9), of_a_vehicle(1, 10, 9)
    assert compared(connection, *answers, asked=chosen) == [
        ("differs", "savings: the fleet file may leave vehicles out"),
        ("differs", f"savings: {NOTHING_HERE}, on 2026-06-01"),
    ]


def test_a_month_that_is_not_final_says_so(connection: duckdb.DuckDBPyConnection) -> None:
    early = replace(ASKED, asked_at=datetime(2026, 4, 14, 23, tzinfo=UTC))
    assert compared(connection, of_a_vehicle(1, 10, 2), asked=early) == [("differs", "savings: the month is not final yet")]


def test_a_month_that_the_api_leaves_out_agrees_only_where_there_is_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    april = date(2026, 4, 1)
    assert compared(connection, said(), said(month=april)) == [
        ("unexpected", "the answer leaves the month out, in which there are sessions here"),
        ("agrees", None),
    ]


def test_a_count_alone_proves_no_amount(connection: duckdb.DuckDBPyConnection) -> None:
    april, june = date(2026, 4, 1), date(2026, 6, 1)
    insert(connection, RAW_SESSIONS, session("unpriced", day=june, energy_charged_kwh=None, actual_savings_eur=None))
    alone = ("unexpected", "the answer gives a count alone: the energy and savings here cannot be compared")
    answers = said(api_sessions=1), said(month=april, api_sessions=0), said(month=june, api_sessions=1)
    assert compared(connection, *answers) == [alone, ("agrees", None), ("agrees", None)]
    wrong = compared(connection, said(api_sessions=7), asked=replace(ASKED, run_id="wrong"))
    assert wrong == [("differs", f"count: {NOTHING_HERE}, on 2026-06-01")]
    assert compared(connection, said(api_sessions=1, api_savings_eur=1), asked=replace(ASKED, run_id="one amount")) == [
        ("agrees", None)
    ]


def test_what_could_not_be_read_is_kept_beside_our_own_sums(connection: duckdb.DuckDBPyConnection) -> None:
    failed = said() | {"outcome": "failed", "cause": "the API answers 500"}
    assert compared(connection, failed) == [("failed", "the API answers 500")]
    (row,) = rows_of_run(connection, "asked")
    assert (row["sessions"], row["energy_kwh"], row["api_sessions"]) == (1, 10, None)


def test_the_sums_of_another_organisation_are_not_ours(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_SESSIONS, session("theirs", of="v9", actual_savings_eur=Decimal(7)) | {"org_id": uid("another")})
    assert compared(connection, said(None, api_savings_eur=1)) == [("agrees", None)]


def test_a_session_over_the_months_end_is_found_whichever_month_it_stands_under(connection: duckdb.DuckDBPyConnection) -> None:
    over = session("over", day=LAST, unplug_time=at("2026-04-20 07:00"), energy_charged_kwh=Decimal(5))
    insert(connection, RAW_SESSIONS, over)
    april = said(month=date(2026, 4, 1), api_sessions=1, api_energy_kwh=5, api_savings_eur=0)
    by_end = ("edge", "agrees where the month is cut by the UTC day of the end")
    assert compared(connection, of_a_vehicle(1), april) == [by_end, by_end]


def test_wrong_sums_of_a_vehicle_are_no_edge_where_most_vehicles_show_how_the_month_is_cut(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    last_night = {"unplug_time": at("2026-04-01 07:00"), "energy_charged_kwh": Decimal(5), "actual_savings_eur": Decimal("0.5")}
    insert(connection, RAW_SESSIONS, *(session(f"over {of}", of=of, day=LAST, **last_night) for of in ("v1", "v2", "v3")))
    wrong, by_all = of_a_vehicle(2, 12, "1.2"), said(None, api_savings_eur=2)
    right = [said(of, api_sessions=1, api_energy_kwh=5, api_savings_eur="0.5") for of in ("v2", "v3")]
    undecided = ("edge", "within what the sessions at the month's edges can make")
    assert compared(connection, by_all, wrong) == [undecided, undecided]
    of_all, *of_vehicles = compared(connection, by_all, wrong, *right, asked=replace(ASKED, run_id="later"))
    assert of_all[0] == "differs"
    differs = ("differs", f"energy, savings: {NOTHING_HERE}, on 2026-06-01")
    assert sorted(of_vehicles, key=str) == [("agrees", None), ("agrees", None), differs]


def test_a_difference_is_explained_by_the_cut_of_the_api(connection: duckdb.DuckDBPyConnection) -> None:
    night: dict[str, Any] = {"day": LAST, "unplug_time": at("2026-04-01 07:00"), "energy_charged_kwh": Decimal(5)}
    insert(connection, RAW_SESSIONS, *(session(f"over {of}", of=of, **night) for of in ("v1", "v2", "v3")))
    insert(connection, RAW_QUARANTINE, kept_out("r1"))
    by_end = [said(of, api_sessions=0, api_energy_kwh=0) for of in ("v2", "v3")]
    # By the end of its stays, v1 has one more than is here; by our own day it would have as many.
    expected = "count (where the month is cut by the UTC day of the end): 1 records in quarantine are not in raw.sessions"
    assert ("differs", expected) in compared(connection, of_a_vehicle(2, 10, 1), *by_end)
    (row,) = (row for row in rows_of_run(connection, "asked") if row["outcome"] == "differs")
    assert (row["sessions"], row["energy_kwh"]) == (2, 15)


def test_the_newest_reconciliation_of_a_month_counts(connection: duckdb.DuckDBPyConnection) -> None:
    compared(connection, of_a_vehicle(1, 10, 2))
    later = replace(ASKED, asked_at=NOW + timedelta(days=7), run_id="later")
    compared(connection, of_a_vehicle(1), asked=later)
    (ended,) = outcomes(connection, in_total=False, months=12)
    assert (ended.outcome, ended.months, ended.vehicles, ended.savings_eur) == ("agrees", 1, 1, Decimal(1))
    assert outcomes(connection, in_total=True, months=12) == []


def test_months_that_are_no_longer_asked_for_stand_in_nobodys_way(connection: duckdb.DuckDBPyConnection) -> None:
    compared(connection, of_a_vehicle(1, 10, 2), said(month=date(2027, 3, 1)))
    assert [ended.outcome for ended in outcomes(connection, in_total=False, months=12)] == ["agrees"]
    assert [ended.outcome for ended in outcomes(connection, in_total=False, months=13)] == ["agrees", "differs"]


def test_those_never_asked_come_first_then_those_asked_longest_ago(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v3"))
    compared(connection, of_a_vehicle(1), asked=replace(ASKED, asked_at=NOW + timedelta(days=1)))
    compared(connection, said("v2"))
    assert whom_to_ask(connection, uid("org"), 10) == [uid("v3"), uid("v2"), uid("v1")]
    assert whom_to_ask(connection, uid("another"), 10) == []


def test_of_the_organisation_months_never_asked_come_first_then_those_asked_longest_ago(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    months = [date(2026, number, 1) for number in (1, 2, 3, 4)]
    compared(connection, said(None, months[3], api_savings_eur=0), said("v1", months[0]))
    compared(connection, said(None, months[1], api_savings_eur=0), asked=replace(ASKED, asked_at=NOW - timedelta(days=7)))
    assert months_in_turn(connection, uid("org"), months) == [months[2], months[0], months[1], months[3]]
    assert months_in_turn(connection, uid("another"), months) == months[::-1]


def test_those_that_differed_come_before_all_but_only_half_of_what_may_be_asked(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v3"))
    compared(connection, of_a_vehicle(1, 10, 2), said("v2", api_savings_eur=9))
    first, second = sorted((uid("v1"), uid("v2")))
    assert whom_to_ask(connection, uid("org"), 4) == [first, second, uid("v3")]
    assert whom_to_ask(connection, uid("org"), 2) == [first, uid("v3"), second]
    assert whom_to_ask(connection, uid("org"), 1) == [uid("v3"), first, second]


def test_nothing_asked_is_nothing_kept(connection: duckdb.DuckDBPyConnection) -> None:
    reconcile(connection, [], ASKED)
    assert rows_of_run(connection, "asked") == []
