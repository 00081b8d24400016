"""The migrations that ship, on databases as older versions made them."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ev_sessions.tables import DAILY_SAVINGS, FLEET_DAILY, RAW_QUARANTINE, RAW_TOUCHED_DAYS, RAW_VEHICLES
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.scripts import run_sql
from ev_sessions_tests.raw_rows import NOW, derive_days, insert, rows_of, touched, vehicle

FINAL_DAY, OPEN_DAY, TOUCHED_DAY = date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 2)
SEEN, RESTATED = NOW - timedelta(days=2), NOW - timedelta(days=1)
_OF_A_PERSON = '{"driver": "Ada Lovelace", "tyres": [4, "old", "new"], "deep": {"mail": "ada@example.org"}}'
SCHEMAS = Path(__file__).parent / "schemas"

# A value for every column that must have one and that a test does not name.
_PLAIN: dict[str, Any] = {
    "BIGINT": 0,
    "VARCHAR": "",
    "BOOLEAN": False,
    "TIMESTAMP WITH TIME ZONE": NOW,
    "MAP(VARCHAR, BIGINT)": {},
}


def _columns(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT table_schema, table_name, ordinal_position, column_name, data_type, is_nullable FROM information_schema.columns "
        "ORDER BY ALL"
    ).fetchall()


def _old_row(connection: duckdb.DuckDBPyConnection, table: str, **values: object) -> None:
    required = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_schema || '.' || table_name = ? AND is_nullable = 'NO'",
        [table],
    ).fetchall()
    row = {name: _PLAIN.get(kind) for name, kind in required} | values
    places = ", ".join("?" for _ in row)
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", list(row.values()))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A database of schema 1: a final day, an open one and one that a landing touched, with sessions of two months."""
    path = tmp_path / "ev_sessions.duckdb"
    owner = dict.fromkeys(("org_id", "user_id", "electric_vehicle_id"), vehicle("v1")["user_id"])
    restated = {"replaced_at": RESTATED, "end_reason": "restated"}
    with duckdb.connect(path) as connection:
        run_sql(connection, (SCHEMAS / "1.sql").read_text())
        connection.execute("INSERT INTO raw.schema_info VALUES (1, 'ev-sessions 0.1.0', now())")
        for day in (FINAL_DAY, OPEN_DAY, TOUCHED_DAY):
            _old_row(
                connection,
                "analytics.fleet_daily",
                session_day=day,
                is_final=day == FINAL_DAY,
                oldest_read_at=NOW,
                sessions=7,
                energy_kwh=1.5,
            )
        for report_date in (FINAL_DAY, OPEN_DAY):
            _old_row(connection, "analytics.daily_savings", session_day=FINAL_DAY, report_date=report_date, **owner)
        seen = {"session_day": OPEN_DAY, "plug_in_time": SEEN, "first_seen_at": SEEN, "time_zone": "UTC"}
        _old_row(connection, "raw.session_versions", **owner, **seen, **restated, id=owner["user_id"], version=1)
        told = {"session_outcome": "Ada Lovelace", "extra": _OF_A_PERSON, "fetched_at": NOW}
        _old_row(connection, "raw.sessions", **owner, **seen, **told, id=owner["user_id"], version=2)
        for key, reason, payload in (
            ("0" * 32, "well_formed: not an object", '{"id": 7, "note": "Ada, \\"Lady\\" Lovelace"}'),
            ("1", "within_window: too late", '"Ada Lovelace"'),
            (str(owner["user_id"]), "key_unique: elsewhere too", "[]"),
        ):
            entry = {"record_key": key, "reasons": [reason], "payload": payload}
            _old_row(connection, "raw.quarantine", **owner, **entry, first_day=TOUCHED_DAY, last_day=TOUCHED_DAY)
        insert(connection, RAW_TOUCHED_DAYS, touched(TOUCHED_DAY))
        insert(connection, RAW_VEHICLES, vehicle("v1"))
    return Database(path)


def test_a_migrated_database_has_the_tables_of_a_new_one(database: Database, tmp_path: Path) -> None:
    with database.writing() as migrated, Database(tmp_path / "new.duckdb").writing() as new:
        assert _columns(migrated) == _columns(new)


def test_the_figures_of_the_days_stay_as_they_were(database: Database) -> None:
    with database.writing() as connection:
        days = rows_of(connection, FLEET_DAILY)
    assert [day["session_day"] for day in days] == [FINAL_DAY, OPEN_DAY, TOUCHED_DAY]
    assert {(day["sessions"], day["energy_kwh"], day["data_through"]) for day in days} == {(7, 1.5, NOW)}


def test_a_day_knows_the_report_dates_of_its_sessions(database: Database) -> None:
    with database.writing() as connection:
        dates = [(day["first_report_date"], day["last_report_date"]) for day in rows_of(connection, FLEET_DAILY)]
        assert len(rows_of(connection, DAILY_SAVINGS)) == 2
    assert dates == [(FINAL_DAY, OPEN_DAY), (None, None), (None, None)]


def test_the_next_run_derives_every_day_since_no_rule_has_judged_one_yet(database: Database) -> None:
    with database.writing() as connection:
        derived = derive_days(connection, date(2026, 5, 1))
    assert [day.session_day for day in derived.days] == [FINAL_DAY, OPEN_DAY, TOUCHED_DAY, date(2026, 5, 1)]


def test_a_version_is_valid_from_the_end_of_the_one_before_it(database: Database) -> None:
    with database.writing() as connection:
        rows = connection.execute(
            "SELECT version, valid_from FROM raw.session_versions UNION SELECT version, valid_from FROM raw.sessions ORDER BY ALL"
        ).fetchall()
    assert rows == [(1, SEEN), (2, RESTATED)]


def test_what_may_speak_of_a_person_is_no_longer_there(database: Database) -> None:
    with database.writing() as connection:
        ((outcome, extra),) = connection.execute("SELECT session_outcome, extra FROM raw.sessions").fetchall()
        payloads = [entry["payload"] for entry in rows_of(connection, RAW_QUARANTINE)]
    assert outcome == "(text, 12 characters)"
    assert json.loads(extra) == {"driver": "(text)", "tyres": [4, "(text)", "(text)"], "deep": {"mail": "(text)"}}
    assert payloads == ['{"id": 7, "note": "(text)"}', '"(text)"', "[]"]


def test_a_session_under_two_vehicles_is_listed_on_its_own_day(database: Database) -> None:
    with database.writing() as connection:
        days = {(entry["in_sessions"], entry["first_day"], entry["last_day"]) for entry in rows_of(connection, RAW_QUARANTINE)}
    assert days == {(False, TOUCHED_DAY, TOUCHED_DAY), (True, OPEN_DAY, OPEN_DAY)}


def test_quarantine_has_the_names_of_the_rules_and_the_ids_of_those_records_that_have_one(database: Database) -> None:
    with database.writing() as connection:
        kept_out = [
            (entry["rules"], entry["reasons"], entry["session_id"], entry["in_sessions"])
            for entry in rows_of(connection, RAW_QUARANTINE)
        ]
    assert sorted(kept_out) == [
        (["id_of_two_vehicles"], ["id_of_two_vehicles: elsewhere too"], vehicle("v1")["user_id"], True),
        (["malformed"], ["malformed: not an object"], None, False),
        (["outside_window"], ["outside_window: too late"], None, False),
    ]


def test_every_month_that_has_sessions_waits_to_be_summed_up(database: Database) -> None:
    with database.writing() as connection:
        months = connection.execute("SELECT report_month FROM raw.touched_months ORDER BY ALL").fetchall()
    assert months == [(date(2026, 2, 1),), (date(2026, 3, 1),)]


def test_the_older_database_is_kept_beside_it_as_it_was(database: Database) -> None:
    with database.writing():
        pass
    (copy,) = database.path.parent.glob("ev_sessions.v1.*.backup.duckdb")
    with duckdb.connect(copy, read_only=True) as connection:
        assert connection.execute("SELECT count(oldest_read_at) FROM analytics.fleet_daily").fetchall() == [(3,)]
