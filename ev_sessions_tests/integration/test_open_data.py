"""What notebooks get from `ev_sessions.open_data`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path

import duckdb
import pandas as pd
import pytest

import ev_sessions
from ev_sessions.days import DayRangeError
from ev_sessions.settings import PublishedAccess
from ev_sessions.tables import ANALYTICS_SESSIONS, ANALYTICS_TABLES, RAW_SESSIONS, RULE_HITS, UNREAD_VEHICLE_DAYS, Column, Table
from ev_sessions.views import MEASURES
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.failures import DatabaseLocked, DatabaseMissing
from ev_sessions.warehouse.monthly import sum_months
from ev_sessions.warehouse.publish import publish, views_path
from ev_sessions.warehouse.reading import NotAQuery
from ev_sessions_tests.raw_rows import NOW, at, derive_days, insert, session

# Those of which `open_data` gives frames by days or months.
FRAMED = (*(table for table in ANALYTICS_TABLES if table not in (RULE_HITS, UNREAD_VEHICLE_DAYS)), *MEASURES.values())
FIRST, LAST = date(2026, 3, 10), date(2026, 3, 12)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with three days; the last one has no session."""
    path = tmp_path_factory.mktemp("data") / "sessions.duckdb"
    with Database(path).writing() as connection:
        insert(
            connection,
            RAW_SESSIONS,
            session(
                "full",
                day=FIRST,
                unplug_time=at("2026-03-10 20:00"),
                energy_charged_kwh=Decimal("12.345678"),
                actual_savings_eur=Decimal("-0.1"),
                is_at_home=True,
                session_outcome="completed",
            ),
            session("bare", day=date(2026, 3, 11), of="v2"),
        )
        months = derive_days(connection, FIRST, LAST).touched_months
        sum_months(connection, months, run_id="months", derived_at=NOW)
    return path


def dtype_of(column: Column) -> str:
    kinds = {
        "BIGINT": "Int64",
        "BOOLEAN": "boolean",
        "DATE": "datetime64[s]",
        "DOUBLE": "float64",
        "TIMESTAMPTZ": "datetime64[us, UTC]",
        "UUID": "string",
        "VARCHAR": "string",
        "VARCHAR[]": "object",
        "MAP(VARCHAR, BIGINT)": "object",
    }
    return "float64" if column.type.startswith("DECIMAL") else kinds[column.type]


@pytest.mark.parametrize(("first", "last"), [(FIRST, LAST), (date(2020, 1, 1), date(2020, 1, 1))])
@pytest.mark.parametrize("table", FRAMED, ids=lambda table: table.name)
def test_every_column_has_its_dtype_also_where_values_or_all_rows_are_missing(
    path: Path, table: Table, first: date, last: date
) -> None:
    data = ev_sessions.open_data(path)
    read: dict[str, Callable[[date, date], pd.DataFrame]] = {
        "sessions": data.sessions,
        "daily_energy": data.daily_energy,
        "daily_savings": data.daily_savings,
        "fleet_daily": data.fleet_daily,
        "monthly_savings": data.monthly_savings,
        **{view.name: partial(data.measures, by=group, period=period) for (period, group), view in MEASURES.items()},
    }
    dtypes = read[table.name](first, last).dtypes
    assert {str(name): str(dtype) for name, dtype in dtypes.items()} == {
        column.name: dtype_of(column) for column in table.columns
    }


def test_a_frame_says_which_of_its_floats_were_exact_decimals(path: Path) -> None:
    frame = ev_sessions.open_data(path).sessions(FIRST, LAST)
    exact = [column.name for column in ANALYTICS_SESSIONS.columns if column.type.startswith("DECIMAL")]
    assert frame.attrs["decimal_columns"] == exact
    assert "savings_rate" not in exact


def test_values_arrive_as_they_stand_and_unknown_ones_as_missing(path: Path) -> None:
    frame = ev_sessions.open_data(path).sessions(FIRST, LAST)
    full, bare = (row for _, row in frame.iterrows())
    assert (full["energy_charged_kwh"], full["actual_savings_eur"], full["is_at_home"]) == (12.345678, -0.1, True)
    assert full["session_end"] == pd.Timestamp("2026-03-10 20:00", tz="UTC")
    assert full["session_day"] == pd.Timestamp("2026-03-10")
    assert all(pd.isna(bare[name]) for name in ("energy_charged_kwh", "session_end", "is_at_home", "session_outcome"))


def test_counts_by_outcome_are_a_dict_a_day(path: Path) -> None:
    frame = ev_sessions.open_data(path).fleet_daily(FIRST, LAST)
    assert frame["sessions_by_outcome"].tolist() == [{"completed": 1}, {}, {}]


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        ("2026-03-10", "2026-03-12", 3),
        (date(2026, 3, 11), "2026-03-11", 1),
        (pd.Timestamp("2026-03-11 15:00"), date(2026, 3, 12), 2),
        ("2026-03-13", "2026-03-31", 0),
    ],
)
def test_both_days_are_included_and_may_be_dates_or_text(path: Path, first: date | str, last: date | str, days: int) -> None:
    assert len(ev_sessions.open_data(path).fleet_daily(first, last)) == days


@pytest.mark.parametrize(("first", "last"), [("2026-03-01", "2026-03-31"), (date(2026, 3, 31), pd.Timestamp("2026-03-31"))])
def test_a_month_is_asked_for_by_any_of_its_days(path: Path, first: date | str, last: date | str) -> None:
    months = ev_sessions.open_data(path).monthly_savings(first, last)
    assert months["report_month"].unique().tolist() == [pd.Timestamp("2026-03-01")]
    assert months["sessions"].sum() == 2


@pytest.mark.parametrize(("first", "last"), [("2026-03-12", "2026-03-10"), ("10.3.2026", "2026-03-12")])
def test_days_that_make_no_range_are_refused(path: Path, first: str, last: str) -> None:
    with pytest.raises(DayRangeError):
        ev_sessions.open_data(path).sessions(first, last)


def test_sql_takes_parameters_by_place_and_by_name(path: Path) -> None:
    data = ev_sessions.open_data(path)
    count = "SELECT count(*) AS n FROM analytics.fleet_daily WHERE session_day > "
    assert data.sql(count + "?", [FIRST])["n"].tolist() == [2]
    assert data.sql(count + "$day", {"day": FIRST})["n"].tolist() == [2]


@pytest.mark.parametrize("digits", ["0.1", "-0.1", "0.000001", "2.675", "123456789.123457"])
def test_a_decimal_becomes_the_nearest_float(path: Path, digits: str) -> None:
    frame = ev_sessions.open_data(path).sql("SELECT ?::DECIMAL(38, 6) AS x", [Decimal(digits)])
    assert frame["x"].tolist() == [float(digits)]


def test_two_columns_of_one_name_both_arrive(path: Path) -> None:
    frame = ev_sessions.open_data(path).sql('SELECT 1 AS x, 2 AS x, DATE \'2026-03-10\' AS "a ""day"""')
    assert (list(frame.columns), frame.to_numpy()[0, :2].tolist()) == (["x", "x", 'a "day"'], [1, 2])


def test_sums_of_integers_stay_integers(path: Path) -> None:
    frame = ev_sessions.open_data(path).sql("SELECT sum(sessions) AS n FROM analytics.fleet_daily")
    assert (str(frame["n"].dtype), frame["n"].tolist()) == ("Int64", [2])


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM raw.sessions",
        "CREATE TABLE mine AS SELECT 1",
        "CREATE TEMP TABLE mine AS SELECT 1",
        "COPY raw.sessions TO 'out.csv'",
        "ATTACH 'other.duckdb'",
        "SELECT 1; DELETE FROM raw.sessions",
        "",
    ],
)
def test_sql_only_reads(path: Path, statement: str) -> None:
    with pytest.raises(NotAQuery):
        ev_sessions.open_data(path).sql(statement)


def test_a_query_that_is_wrong_gets_duckdbs_own_words(path: Path) -> None:
    with pytest.raises(duckdb.Error, match="no_such_table"):
        ev_sessions.open_data(path).sql("FROM no_such_table")


def test_without_a_with_statement_nobody_is_kept_from_writing(path: Path) -> None:
    data = ev_sessions.open_data(path)
    before = len(data.sessions(FIRST, LAST))
    with Database(path, lock_timeout_seconds=0).writing() as connection:
        connection.begin()
        connection.execute("DELETE FROM analytics.sessions")
        connection.rollback()
    assert len(data.sessions(FIRST, LAST)) == before


def test_inside_a_with_statement_writers_wait_until_it_ends(path: Path) -> None:
    writer = Database(path, lock_timeout_seconds=0)
    with ev_sessions.open_data(path) as data:
        assert len(data.fleet_daily(FIRST, LAST)) == 3
        with pytest.raises(DatabaseLocked), writer.writing():
            pass
    with writer.writing() as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_without_a_path_the_settings_name_what_is_published(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(Database(path), tmp_path, PublishedAccess.OWNER)
    monkeypatch.setenv("EV_SESSIONS_PUBLISHED", str(tmp_path))
    assert len(ev_sessions.open_data().fleet_daily(FIRST, LAST)) == 3


def test_a_missing_database_is_told_at_once_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DatabaseMissing, match=r"^[^\n]*no\.duckdb[^\n]*ev-sessions run[^\n]*$"):
        ev_sessions.open_data(tmp_path / "no.duckdb")


def test_a_file_that_somebody_else_writes_is_told_in_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EV_SESSIONS_PUBLISHED", str(path.parent))
    monkeypatch.setenv("EV_SESSIONS_LOCK_TIMEOUT_SECONDS", "0")
    views = Database(views_path(path.parent))
    with views.writing(), pytest.raises(DatabaseLocked, match=r"^[^\n]+$"):
        ev_sessions.open_data()


def test_importing_the_package_loads_neither_pandas_nor_duckdb() -> None:
    program = "import sys, ev_sessions; print({'pandas', 'duckdb', 'dagster'} & sys.modules.keys())"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


def test_the_package_has_no_other_attributes_by_accident() -> None:
    with pytest.raises(AttributeError, match="open_date"):
        ev_sessions.open_date  # noqa: B018
