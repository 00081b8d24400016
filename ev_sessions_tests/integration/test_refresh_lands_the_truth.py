"""One ranged run over a fleet with all that a fleet has: what lands, what it costs, what it tells, and what it does not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ev_sessions.days import ONE_DAY, parse_day
from ev_sessions.sandbox import Truth
from ev_sessions.tables import ALL_TABLES, RAW_SESSIONS, SESSION_FIELDS
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
)

DAYS = trailing(12)
FIELDS = ("org_id", "user_id", "electric_vehicle_id", *(column.name for column in SESSION_FIELDS))
PARTITIONED = ("raw_sessions", "sessions", "daily_energy", "daily_savings", "rule_hits", "unread_vehicle_days", "fleet_daily")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pipeline, dg.ExecuteInProcessResult]]:
    """A run over every kind of vehicle and record. No test changes anything here."""
    sandbox = sandbox_with(
        vehicles=10,
        vehicles_per_user=2,
        days=len(DAYS),
        malformed_rate=0.05,
        restated_rate=0.2,
        added_rate=0.3,
        deleted_rate=0.3,
    )
    with pipeline_over(sandbox, tmp_path_factory.mktemp("ran")) as pipeline:
        result = pipeline.refresh(DAYS)
        assert result.success, failures(result)
        yield pipeline, result


@pytest.fixture
def done(ran: tuple[Pipeline, dg.ExecuteInProcessResult]) -> Pipeline:
    return ran[0]


@pytest.fixture
def result(ran: tuple[Pipeline, dg.ExecuteInProcessResult]) -> dg.ExecuteInProcessResult:
    return ran[1]


@pytest.fixture
def truth(done: Pipeline) -> Truth:
    return done.sandbox.truth


def test_every_session_of_the_truth_stands_in_the_raw_table_field_by_field(done: Pipeline, truth: Truth) -> None:
    expected = {(row["electric_vehicle_id"], row["id"]): row for row in truth.fleet_sessions(DAYS.first, DAYS.last, LONG_AFTER)}
    landed = [dict(zip(FIELDS, row, strict=True)) for row in done.rows(f"SELECT {', '.join(FIELDS)} FROM raw.sessions")]
    assert len(landed) == len(expected) > 50
    for row in landed:
        key = row["electric_vehicle_id"], row["id"]
        assert row == {name: expected[key][name] for name in FIELDS}


def test_unknown_fields_are_kept_as_they_came(done: Pipeline, truth: Truth) -> None:
    rows = truth.fleet_sessions(DAYS.first, DAYS.last, LONG_AFTER)
    expected = {row["id"]: json.loads(json.dumps(row["extra"], default=float)) for row in rows if row["extra"]}
    landed = {row_id: json.loads(extra) for row_id, extra in done.rows("SELECT id, extra FROM raw.sessions WHERE extra NOT NULL")}
    assert landed == expected != {}


def test_malformed_records_go_to_quarantine_as_they_were_sent_each_with_its_reason(done: Pipeline, truth: Truth) -> None:
    sent = Counter(
        record.decode() for car in truth.vehicle_ids() for record in truth.malformed(car, DAYS.first, DAYS.last, LONG_AFTER)
    )
    kept = done.rows("SELECT payload, reasons FROM raw.quarantine")
    assert Counter(payload for payload, _ in kept) == sent
    assert sent.total() > 1
    assert all(reason.startswith("malformed: ") for _, reasons in kept for reason in reasons)


@pytest.mark.parametrize("table", ["raw.sessions", "analytics.sessions"])
def test_energy_cost_and_savings_add_up_to_the_truth_to_the_last_digit(done: Pipeline, truth: Truth, table: str) -> None:
    totals = truth.totals(DAYS.first, DAYS.last, LONG_AFTER)
    sums = done.rows(f"SELECT count(*), sum(energy_charged_kwh), sum(actual_cost_eur), sum(actual_savings_eur) FROM {table}")
    assert sums == [(totals.rows, totals.energy_kwh, totals.cost_eur, totals.savings_eur)]


@pytest.mark.parametrize("table", ["daily_energy", "daily_savings", "fleet_daily"])
def test_the_derived_tables_agree_with_the_truth(done: Pipeline, truth: Truth, table: str) -> None:
    totals = truth.totals(DAYS.first, DAYS.last, LONG_AFTER)
    expected = {
        "energy_kwh": totals.energy_kwh,
        "cost_eur": totals.cost_eur,
        "savings_eur": totals.savings_eur,
        "sessions": totals.rows,
    }
    columns = {name for (name,) in done.rows(f"SELECT column_name FROM (DESCRIBE analytics.{table})")}
    shown = [name for name in expected if name in columns]
    (sums,) = done.rows(f"SELECT {', '.join(f'sum({name})' for name in shown)} FROM analytics.{table}")
    assert dict(zip(shown, sums, strict=True)) == {name: expected[name] for name in shown}


def test_every_day_of_the_range_has_its_row_of_the_fleet_read_whole_and_final(done: Pipeline) -> None:
    rows = done.rows("SELECT session_day, vehicles_due = vehicles_read, is_final FROM analytics.fleet_daily ORDER BY ALL")
    assert rows == [(day, True, True) for day in DAYS]


def test_every_vehicle_costs_one_request_and_every_customer_one(done: Pipeline, truth: Truth) -> None:
    counts = done.sandbox.counts
    assert (counts.users, counts.vehicles, counts.sessions) == (1, len(truth.users(LONG_AFTER)), len(truth.vehicle_ids()))


def test_no_vehicle_is_asked_for_days_before_the_eve_of_its_creation_or_after_its_deletion(done: Pipeline, truth: Truth) -> None:
    asked = dict(done.rows("SELECT electric_vehicle_id::VARCHAR, (first_day, last_day) FROM raw.fetches"))
    cars = truth.vehicles(None, LONG_AFTER)
    for car in cars:
        first, last = asked[car["id"]]
        assert first == max(DAYS.first, parse_day(car["created_at"][:10]) - ONE_DAY)
        deleted = car["deleted_at"]
        assert last == LAST_DAY if deleted is None else last.isoformat() >= deleted[:10]
    assert any(car["deleted_at"] for car in cars)
    assert any(car["created_at"][:10] > DAYS.first.isoformat() for car in cars)


def test_all_checks_are_green(result: dg.ExecuteInProcessResult) -> None:
    assert red(result) == set()


def test_the_metadata_of_a_partition_is_that_day_s_own(done: Pipeline, truth: Truth, result: dg.ExecuteInProcessResult) -> None:
    told = told_by_day(result, "raw_sessions")
    assert set(told) == set(DAYS)
    for day, figures in told.items():
        totals = truth.totals(day, day, LONG_AFTER)
        assert figures["dagster/partition_row_count"] == totals.rows
        assert Decimal(str(figures["energy_kwh"])) == totals.energy_kwh
        assert Decimal(str(figures["cost_eur"])) == totals.cost_eur
        assert Decimal(str(figures["savings_eur"])) == totals.savings_eur
        assert figures["vehicles_read"] == vehicles_alive(done, day)
    assert len({figures["dagster/partition_row_count"] for figures in told.values()}) > 1


def vehicles_alive(done: Pipeline, day: object) -> int:
    ((count,),) = done.rows("SELECT count(*) FROM raw.fetches WHERE ? BETWEEN first_day AND last_day", day)
    return int(count)


def test_the_row_count_of_a_derived_partition_is_that_day_s_own(done: Pipeline, result: dg.ExecuteInProcessResult) -> None:
    for table in PARTITIONED[1:]:
        counted = dict(done.rows(f"SELECT session_day, count(*) FROM analytics.{table} GROUP BY 1"))
        told = {day: figures["dagster/partition_row_count"] for day, figures in told_by_day(result, table).items()}
        assert told == {day: counted.get(day, 0) for day in DAYS}


def test_every_partition_says_which_table_it_is_in_with_columns_and_where_they_come_from(
    result: dg.ExecuteInProcessResult,
) -> None:
    for asset in PARTITIONED:
        for figures in told_by_day(result, asset).values():
            assert figures["dagster/table_name"] in {table.full_name for table in ALL_TABLES}
            assert figures["dagster/column_schema"].columns
        assert told_by_day(result, asset)[DAYS.last]["dagster/column_lineage"]
    lineage = told_by_day(result, "sessions")[DAYS.last]["dagster/column_lineage"]
    assert lineage.deps_by_column["plug_in_time"] == [dg.TableColumnDep(dg.AssetKey(["raw_sessions"]), "plug_in_time")]
    schema = next(iter(told_by_day(result, "raw_sessions").values()))["dagster/column_schema"]
    assert [column.name for column in schema.columns] == list(RAW_SESSIONS.column_names)


def events_as_text(pipeline: Pipeline) -> str:
    return "\n".join(
        dg.serialize_value(entry) + repr(entry)
        for run in pipeline.instance.get_runs()
        for entry in pipeline.instance.all_logs(run.run_id)
    )


def ids_of_the_fleet(truth: Truth) -> set[str]:
    people = {user["id"] for user in truth.users(LONG_AFTER)}
    sessions = {str(row["id"]) for row in truth.fleet_sessions(DAYS.first, DAYS.last, LONG_AFTER)}
    return people | {str(car) for car in truth.vehicle_ids()} | sessions


def test_no_event_names_a_person_a_vehicle_a_session_or_a_secret(done: Pipeline, truth: Truth) -> None:
    told = events_as_text(done)
    assert "dagster/partition_row_count" in told
    forbidden = ids_of_the_fleet(truth) | truth.personal_values(LONG_AFTER) | {done.sandbox.client_secret, done.sandbox.client_id}
    assert len(forbidden) > 100
    assert [value for value in forbidden if value in told] == []


def stored_texts(done: Pipeline) -> str:
    """Every value of every table."""
    return json.dumps([done.rows(f"FROM {table.full_name}") for table in ALL_TABLES], default=str)


def test_no_name_address_or_secret_stands_in_any_table(done: Pipeline, truth: Truth) -> None:
    stored = stored_texts(done)
    assert str(truth.vehicle_ids()[0]) in stored
    assert [value for value in forbidden_anywhere(done) if value in stored] == []


def forbidden_anywhere(done: Pipeline) -> set[str]:
    return done.sandbox.truth.personal_values(LONG_AFTER) | {done.sandbox.client_secret}


def test_the_supplier_s_own_customer_number_is_kept(done: Pipeline, truth: Truth) -> None:
    told: dict[str, Any] = {user["id"]: user["external_user_id"] for user in truth.users(LONG_AFTER)}
    assert dict(done.rows("SELECT user_id::VARCHAR, external_user_id FROM raw.users")) == told


def test_nothing_stays_in_the_stage_after_a_landing(done: Pipeline) -> None:
    assert list((done.state / "stage").rglob("*.parquet")) == []


def test_the_database_is_readable_by_its_owner_alone(done: Pipeline) -> None:
    database: Path = done.state / "ev_sessions.duckdb"
    assert database.stat().st_mode & 0o077 == 0
