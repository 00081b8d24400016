"""The table of days that stands at the end of `ev-sessions run`."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from rich.console import Console

from ev_sessions.cli.summary import show_days
from ev_sessions.days import ONE_DAY, DayRange
from ev_sessions.tables import RAW_FETCHES, RAW_SESSIONS, RAW_VEHICLES
from ev_sessions.warehouse.connection import Database
from ev_sessions_tests.raw_rows import DAY, derive_days, insert, read, session, vehicle


def test_a_day_is_final_or_tells_how_far_it_has_come_or_says_that_it_is_not(tmp_path: Path) -> None:
    database = Database(tmp_path / "sessions.duckdb")
    final, maturing, unknown = DAY, DAY + ONE_DAY, DAY + 2 * ONE_DAY
    with database.writing() as connection:
        insert(connection, RAW_VEHICLES, vehicle("v1"))
        insert(connection, RAW_SESSIONS, session("s"))
        insert(connection, RAW_FETCHES, read("v1", final))
        derive_days(connection, final, unknown)
        connection.execute("UPDATE analytics.fleet_daily SET energy_maturity = 0.936 WHERE session_day = ?", [maturing])
    console = Console(file=StringIO(), width=120, record=True)
    show_days(console, database.path, DayRange(final, unknown))
    lines = [line.split(maxsplit=7) for line in console.export_text().splitlines() if line.strip().startswith("2026-")]
    ends = {line[0]: line[-1].strip() for line in lines}
    assert ends == {str(final): "yes", str(maturing): "no, ~94%", str(unknown): "no"}
