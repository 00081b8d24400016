"""The table of days that stands at the end of `ev-sessions run`."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from rich.console import Console

from ev_sessions.cli.summary import show_days
from ev_sessions.days import ONE_DAY, DayRange
from ev_sessions.tables import RAW_FETCHES, RAW_QUARANTINE, RAW_SESSIONS, RAW_VEHICLES
from ev_sessions.warehouse.connection import Database
from ev_sessions_tests.raw_rows import DAY, derive_days, insert, kept_out, read, session, vehicle


def text_of(database: Database, days: DayRange) -> str:
    console = Console(file=StringIO(), width=120, record=True)
    show_days(console, database.path, days)
    return console.export_text()


def test_a_day_is_final_or_tells_how_far_it_has_come_or_says_that_it_is_not(tmp_path: Path) -> None:
    database = Database(tmp_path / "sessions.duckdb")
    final, maturing, unknown = DAY, DAY + ONE_DAY, DAY + 2 * ONE_DAY
    with database.writing() as connection:
        insert(connection, RAW_VEHICLES, vehicle("v1"))
        insert(connection, RAW_SESSIONS, session("s"))
        insert(connection, RAW_FETCHES, read("v1", final))
        derive_days(connection, final, unknown)
        connection.execute("UPDATE analytics.fleet_daily SET energy_maturity = 0.936 WHERE session_day = ?", [maturing])
    shown = text_of(database, DayRange(final, unknown))
    lines = [line.split(maxsplit=7) for line in shown.splitlines() if line.strip().startswith("2026-")]
    ends = {line[0]: line[-1].strip() for line in lines}
    assert ends == {str(final): "yes", str(maturing): "no, ~94%", str(unknown): "no"}


def test_where_rules_keep_records_out_or_flag_sessions_it_is_said_how_many_and_how_to_see_them(tmp_path: Path) -> None:
    database = Database(tmp_path / "sessions.duckdb")
    with database.writing() as connection:
        insert(connection, RAW_VEHICLES, vehicle("v1"))
        insert(connection, RAW_QUARANTINE, kept_out("record"))
        insert(connection, RAW_SESSIONS, session("without an end"))
        derive_days(connection, DAY, DAY + ONE_DAY)
    words = " ".join(text_of(database, DayRange(DAY, DAY)).split())
    assert "keep 1 records out and flag 1 sessions" in words
    assert f"`ev-sessions bad-rows --from {DAY} --to {DAY}`" in words
    assert "Quality rules" not in text_of(database, DayRange(DAY + ONE_DAY, DAY + ONE_DAY))
