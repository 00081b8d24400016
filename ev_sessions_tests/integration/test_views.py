"""The views beside the stored tables: that they are as declared, always those of this program, and what notebooks get of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest

import ev_sessions
from ev_sessions.days import DayRange
from ev_sessions.limits import Limits
from ev_sessions.settings import ReportDate
from ev_sessions.tables import RAW_SESSIONS, RAW_VEHICLES, Table
from ev_sessions.views import ALL_VIEWS, MEASURES, Group, Period
from ev_sessions.warehouse.backup import backup, restore
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.derive import derive
from ev_sessions.warehouse.landing import land
from ev_sessions.warehouse.reading import NoSuchMeasures
from ev_sessions_tests.parts import Answer, Row, write_part
from ev_sessions_tests.parts import session as sent
from ev_sessions_tests.raw_rows import NOW, at, derive_days, insert, session, uid, vehicle

MARCH_30, MARCH_31, APRIL_1 = date(2026, 3, 30), date(2026, 3, 31), date(2026, 4, 1)

each_view = pytest.mark.parametrize("view", ALL_VIEWS, ids=[view.name for view in ALL_VIEWS])


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database with sessions of two customers that report to March, one carried over into April; nobody was read."""
    database = Database(tmp_path_factory.mktemp("views") / "sessions.duckdb")
    with database.writing() as connection:
        insert(connection, RAW_VEHICLES, vehicle("v1"), vehicle("v2"))
        insert(
            connection,
            RAW_SESSIONS,
            session("a", of="v1", day=MARCH_30, energy_charged_kwh=Decimal("1.5"), session_outcome="completed"),
            session("b", of="v1", day=MARCH_31, energy_charged_kwh=2),
            session("c", of="v2", day=MARCH_31, unplug_time=at("2026-04-01 08:00"), price_zone=None),
        )
        derive_days(connection, MARCH_30, MARCH_31)
    return database


@pytest.fixture
def database(original: Database, tmp_path: Path) -> Database:
    backup(original, tmp_path / "sessions.duckdb")
    return Database(tmp_path / "sessions.duckdb")


@pytest.fixture(scope="module")
def connection(original: Database) -> Iterator[duckdb.DuckDBPyConnection]:
    with original.reading() as connection:
        yield connection


def contents(database: Database) -> list[list[str]]:
    """The rows of every view."""
    with database.reading() as connection:
        return [sorted(map(str, connection.sql(f"FROM {view.full_name}").fetchall())) for view in ALL_VIEWS]


@each_view
def test_a_view_has_the_columns_and_types_that_its_declaration_says(connection: duckdb.DuckDBPyConnection, view: Table) -> None:
    rows = connection.sql(f"FROM {view.full_name}")
    types = [str(duckdb.type(column.type)) for column in view.columns]
    assert list(zip(rows.columns, map(str, rows.types), strict=True)) == list(zip(view.column_names, types, strict=True))


@each_view
def test_the_key_of_a_view_is_one_and_what_it_promises_is_never_null(connection: duckdb.DuckDBPyConnection, view: Table) -> None:
    key = ", ".join(view.key)
    promised = " OR ".join(f"{column.name} IS NULL" for column in view.columns if column.required)
    assert connection.sql(f"SELECT {key} FROM {view.full_name} GROUP BY {key} HAVING count(*) > 1").fetchall() == []
    assert connection.sql(f"FROM {view.full_name} WHERE {promised}").fetchall() == []


@pytest.mark.parametrize(
    "change",
    [
        "CREATE OR REPLACE VIEW analytics.measures_by_day_user AS SELECT 1 AS older",
        "DROP VIEW analytics.modelled_load",
        "CREATE VIEW analytics.older AS SELECT 1 AS older; COMMENT ON VIEW analytics.older IS 'made by ev-sessions earlier'",
    ],
    ids=["another", "none", "one more"],
)
def test_views_that_another_version_made_are_made_anew_when_the_database_is_written(
    original: Database, database: Database, change: str
) -> None:
    with database.exclusively() as connection:
        connection.execute(change)
    with database.writing() as connection:
        names = connection.execute("SELECT view_name FROM duckdb_views() WHERE schema_name = 'analytics' ORDER BY ALL").fetchall()
    assert names == sorted((view.name,) for view in ALL_VIEWS)
    assert contents(database) == contents(original)


def identities_in(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int]]:
    return connection.execute(
        "SELECT view_name, view_oid FROM duckdb_views() WHERE schema_name = 'analytics' ORDER BY ALL"
    ).fetchall()


def test_views_that_are_those_of_this_program_are_left_alone(database: Database) -> None:
    with database.writing() as connection:
        before = identities_in(connection)
    with database.writing() as connection:
        assert identities_in(connection) == before


def test_a_view_that_somebody_made_beside_ours_stays(database: Database) -> None:
    with database.writing() as connection:
        connection.execute("CREATE VIEW analytics.of_a_person AS SELECT 7 AS lucky")
        connection.execute("DROP VIEW analytics.modelled_load")
    with database.writing() as connection:
        assert connection.execute("FROM analytics.of_a_person").fetchall() == [(7,)]
        assert connection.execute("SELECT count(*) FROM analytics.modelled_load").fetchall() == [(1,)]


def test_a_backup_and_what_is_restored_from_it_have_the_views(original: Database, tmp_path: Path) -> None:
    backup(original, tmp_path / "backup.duckdb")
    restored = Database(tmp_path / "restored.duckdb")
    restore(restored, tmp_path / "backup.duckdb")
    assert contents(restored) == contents(Database(tmp_path / "backup.duckdb")) == contents(original)


def scans(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each table that a query plan reads, and the filters with which it is read."""
    if plan["name"] == "SEQ_SCAN":
        yield plan["extra_info"]["Table"].rpartition(".")[2], str(plan["extra_info"].get("Filters", ""))
    for child in plan["children"]:
        yield from scans(child)


@pytest.mark.parametrize("view", [view for view in ALL_VIEWS if "report_month" in view.key], ids=lambda view: view.name)
def test_asked_for_one_month_a_view_reads_the_rows_of_no_other(connection: duckdb.DuckDBPyConnection, view: Table) -> None:
    query = f"EXPLAIN (FORMAT json) FROM {view.full_name} WHERE report_month = DATE '2026-03-01'"
    ((_, plan),) = connection.execute(query).fetchall()
    filters = {table: filters for table, filters in scans(json.loads(plan)[0]) if table not in ("fleet_daily", "vehicles")}
    assert filters.keys() == {"sessions", "daily_savings"} | ({"unread_vehicle_days"} if view in MEASURES.values() else set())
    assert all("2026-03-01" in filtered for filtered in filters.values())


def test_nothing_changes_when_a_window_is_landed_twice(tmp_path: Path) -> None:
    database = Database(tmp_path / "sessions.duckdb")
    read_at = datetime(2026, 4, 20, 3, 15, tzinfo=UTC)
    window: Row = {"first": MARCH_30, "last": APRIL_1, "read_at": read_at}
    answers = [
        Answer(
            vehicle=UUID(int=number),
            sessions=[
                sent(10 * number + day.day, day, energy_charged_kwh=Decimal(number), actual_savings_eur=Decimal(day.day) / 100)
                for day in DayRange(MARCH_30, APRIL_1)
            ],
            **window,
        )
        for number in (101, 102)
    ]
    states = []
    for again in range(2):
        part = write_part(tmp_path / f"part-{again}", answers)
        with database.writing() as connection:
            land(
                connection,
                [part],
                run_id="landing",
                landed_at=NOW,
                zones={},
                default_time_zone="Europe/Berlin",
                hold_share=0.5,
                limits=Limits(),
            )
            derive(
                connection,
                DayRange(MARCH_30, APRIL_1),
                run_id="derive",
                report_date=ReportDate.SESSION_END,
                lookback_days=14,
                limits=Limits(),
                derived_at=NOW,
            )
        states.append(contents(database))
    assert states[0] == states[1]
    assert sum(len(rows) for rows in states[0]) > len(ALL_VIEWS)


# What notebooks get


@pytest.mark.parametrize("group", Group)
def test_measures_come_by_month_of_the_report_date(original: Database, group: Group) -> None:
    frame = ev_sessions.open_data(original.path).measures("2026-03-15", "2026-03-20", by=group)
    assert list(frame.columns) == list(MEASURES[Period.MONTH, group].column_names)
    assert (set(frame["report_month"].dt.strftime("%Y-%m-%d")), frame["sessions"].sum()) == ({"2026-03-01"}, 2)
    assert frame["energy_kwh"].sum() == pytest.approx(3.5)


def test_measures_come_by_session_day(original: Database) -> None:
    frame = ev_sessions.open_data(original.path).measures(MARCH_31, MARCH_31, by="user", period="day")
    rows = set(zip(frame["report_date"].dt.strftime("%Y-%m-%d"), frame["user_id"], frame["sessions"], strict=True))
    assert rows == {("2026-03-31", str(uid("user of v1")), 1), ("2026-04-01", str(uid("user of v2")), 1)}


def test_measures_of_customers_by_month_are_what_is_asked_for_by_default(original: Database) -> None:
    frame = ev_sessions.open_data(original.path).measures(MARCH_30, APRIL_1)
    assert list(frame.columns) == list(MEASURES[Period.MONTH, Group.USER].column_names)
    assert list(frame["sessions"]) == [2, 1]
    assert frame["sessions_by_outcome"].to_list() == [{"completed": 1}, {}]
    assert str(frame["savings_rate"].dtype) == "float64"


@pytest.mark.parametrize("asked", [{"by": "customer"}, {"period": "week"}])
def test_a_group_or_period_of_which_there_is_no_view_is_told_in_one_line(original: Database, asked: dict[str, str]) -> None:
    with pytest.raises(NoSuchMeasures, match=r"the period is one of day, month, the group one of vehicle, user, [a-z_, ]+$"):
        ev_sessions.open_data(original.path).measures(MARCH_30, APRIL_1, **asked)
