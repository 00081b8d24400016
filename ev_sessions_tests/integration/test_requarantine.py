"""`ev-sessions requarantine`: days are judged again by the limits in force, without the API, and the same command goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner, Result

from ev_sessions.cli.examine import State, examine_rules
from ev_sessions.cli.main import app
from ev_sessions.days import ONE_DAY, DayRange
from ev_sessions.limits import Limits
from ev_sessions.settings import PublishedAccess, ReportDate, Settings
from ev_sessions.tables import RAW_FETCHES, RAW_QUARANTINE, RAW_SESSIONS, RAW_SETTINGS_HISTORY, RAW_TOUCHED_DAYS, RAW_VEHICLES
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.ledger import totals
from ev_sessions.warehouse.monthly import pending_months, sum_months
from ev_sessions.warehouse.publish import publish, views_path
from ev_sessions.warehouse.requarantine import days_judged_otherwise, touch_again
from ev_sessions.warehouse.settings_history import SettingsInForce
from ev_sessions_tests.pipeline import named, own_environment
from ev_sessions_tests.raw_rows import derive_days, insert, kept_out, read, session, vehicle

DAYS = DayRange(date(2025, 3, 29), date(2025, 3, 31))
DERIVED_AT = datetime(2025, 5, 1, tzinfo=UTC)
QUARANTINED = "SELECT record_key, reasons FROM raw.quarantine ORDER BY first_day"
ACCEPTED = "SELECT count(*), sum(energy_charged_kwh) FROM analytics.sessions"


@dataclass(frozen=True)
class Stock:
    """What stands under a state folder: three days, summed up and published, with a session of 20, 120 and 300 kWh."""

    state: Path

    @property
    def database(self) -> Database:
        return Database(self.state / "ev_sessions.duckdb")

    def requarantine(self, *options: object, **settings: str) -> Result:
        environment = named({"state_dir": str(self.state), "first_day": "2025-01-01", **settings})
        return CliRunner().invoke(app, ["requarantine", *map(str, options)], env=environment)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.database.reading() as connection:
            return connection.execute(query).fetchall()

    def published(self, query: str) -> list[tuple[Any, ...]]:
        with Database(views_path(self.state / "published")).reading() as connection:
            return connection.execute(query).fetchall()


def stocked(state: Path) -> Stock:
    found = Stock(state)
    state.mkdir()
    with found.database.writing() as connection:
        insert(connection, RAW_VEHICLES, vehicle("v1"))
        insert(
            connection,
            RAW_SESSIONS,
            *(
                session(str(energy), day=day, energy_charged_kwh=Decimal(energy), unplug_time=_evening(day))
                for day, energy in zip(DAYS, (20, 120, 300), strict=True)
            ),
        )
        insert(connection, RAW_FETCHES, read("v1", DAYS.first, DAYS.last))
        derive_days(connection, DAYS.first, DAYS.last, derived_at=DERIVED_AT)
        sum_months(connection, pending_months(connection), run_id="months", derived_at=DERIVED_AT)
    publish(found.database, found.state / "published", PublishedAccess.OWNER)
    return found


def _evening(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 21, tzinfo=UTC)


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    return stocked(tmp_path / "state")


RAISED = {"limits": "energy_too_much_kwh=400,energy_much_kwh=400"}


@pytest.fixture(scope="module")
def raised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stock, Result]]:
    """What stands after limits were raised and every day was judged again, and what that said. No test changes anything here."""
    with own_environment():
        stock = stocked(tmp_path_factory.mktemp("raised") / "state")
        assert stock.rows(ACCEPTED) == [(2, 140)]
        yield stock, stock.requarantine(**RAISED)


def test_a_raised_limit_lets_sessions_out_of_quarantine_into_days_months_and_published_files(
    raised: tuple[Stock, Result],
) -> None:
    stock, result = raised
    assert result.exit_code == 0, result.stderr
    assert stock.rows(QUARANTINED) == []
    assert stock.rows(ACCEPTED) == stock.published(ACCEPTED) == [(3, 440)]
    month = "SELECT sum(energy_kwh) FROM analytics.monthly_savings"
    assert stock.rows(month) == stock.published(month) == [(440,)]


def test_it_says_what_entered_and_left_quarantine_and_which_rules_are_broken_more_or_less_often(
    raised: tuple[Stock, Result],
) -> None:
    first, *changes = raised[1].stdout.splitlines()
    assert first.startswith("3 days judged again in ")
    assert changes == [
        "quarantine: sessions that entered 0, that left 1; records in it 0, of them refused when read 0",
        "warn   much_energy: 1 -> 0",
        "error  too_much_energy: 1 -> 0",
        "warn   incomplete_figures: 2 -> 3",
    ]


def test_the_run_stands_in_the_history_with_its_days_and_checks(raised: tuple[Stock, Result]) -> None:
    with dg.DagsterInstance.from_config(str(raised[0].state / "dagster")) as instance:
        (run, *_) = instance.get_runs(ascending=True)
        evaluations = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        names = {entry.dagster_event.asset_check_evaluation_data.check_name for entry in evaluations if entry.dagster_event}
    assert run.tags["dagster/asset_partition_range_start"] == str(DAYS.first)
    assert run.tags["dagster/asset_partition_range_end"] == str(DAYS.last)
    assert names >= {"energy", "figures_agree"}


def test_the_doctor_tells_how_many_days_stand_on_other_limits_until_they_are_judged_again(raised: tuple[Stock, Result]) -> None:
    environment = named({"state_dir": str(raised[0].state), "first_day": "2025-01-01"})
    found = examine_rules(Settings.from_env(environment))
    assert found.state is State.PROBLEM
    assert found.text.startswith("3 days were derived by another EV_SESSIONS_LIMITS")
    assert "ev-sessions requarantine" in found.text
    assert examine_rules(Settings.from_env(environment | named(RAISED))).state is State.OK


def test_a_lowered_limit_takes_sessions_of_the_days_asked_for_into_quarantine_with_the_reason(stock: Stock) -> None:
    result = stock.requarantine("--from", DAYS.first, "--to", DAYS.first + ONE_DAY, limits="energy_too_much_kwh=10")
    assert "2 days judged again" in result.stdout
    told = "quarantine: sessions that entered 2, that left 0; records in it 2, of them refused when read 0"
    assert told in result.stdout
    below, another, other_day = (reasons for _, reasons in stock.rows(QUARANTINED))
    assert below == another == ["too_much_energy: More than 10 kWh"]
    assert other_day == ["too_much_energy: More than 250 kWh"]


_MONTH = "SELECT report_month, sum(sessions), sum(energy_kwh) FROM analytics.monthly_savings GROUP BY ALL"


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE analytics.monthly_savings SET energy_kwh = energy_kwh + 1000",
        "TRUNCATE analytics.monthly_savings",
        "INSERT INTO analytics.monthly_savings SELECT * REPLACE ('2025-02-01' AS report_month) FROM analytics.monthly_savings",
        "UPDATE analytics.daily_energy SET energy_kwh = 1",
        "DELETE FROM analytics.sessions; DELETE FROM analytics.daily_energy; DELETE FROM analytics.fleet_daily",
        "UPDATE analytics.sessions SET report_date = '2025-04-01'; UPDATE analytics.daily_savings SET report_date = '2025-04-01'",
    ],
)
def test_what_somebody_changed_in_derived_tables_is_as_it_was_afterwards(stock: Stock, damage: str) -> None:
    accepted, month = stock.rows(ACCEPTED), stock.rows(_MONTH)
    with stock.database.writing() as connection:
        connection.execute(damage)
    result = stock.requarantine("--from", DAYS.first - timedelta(days=40), "--to", DAYS.last)
    assert result.exit_code == 0, result.stderr
    assert stock.rows(ACCEPTED) == stock.published(ACCEPTED) == accepted
    assert stock.rows(_MONTH) == stock.published(_MONTH) == month


def test_a_month_whose_sum_still_is_not_that_of_its_sessions_ends_it_with_status_1_and_the_days_that_mend_it(
    stock: Stock,
) -> None:
    month = stock.rows(_MONTH)
    elsewhere = "SELECT * REPLACE ('2025-04-10'::DATE AS session_day) FROM analytics.sessions WHERE session_day = '2025-03-29'"
    with stock.database.writing() as connection:
        connection.execute(f"INSERT INTO analytics.sessions BY NAME {elsewhere}")
    result = stock.requarantine("--from", DAYS.first, "--to", DAYS.last)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(
        "ev-sessions: sessions of 2025-03-01 is 2 in analytics.monthly_savings and 3 in analytics.sessions, and 1 more differ; "
        "`ev-sessions requarantine --from 2025-03-29 --to 2025-04-10` derives"
    )
    assert stock.requarantine("--from", "2025-03-29", "--to", "2025-04-10").exit_code == 0
    assert stock.rows(_MONTH) == month


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--from", "2024-12-31"], "2024-12-31 lies before the first day, 2025-01-01"),
        (["--to", "2999-01-01"], "2999-01-01 is not over yet"),
        (["--from", "yesterday"], "'yesterday' is not a day"),
    ],
)
def test_days_without_a_partition_are_refused_with_status_2(stock: Stock, options: list[str], told: str) -> None:
    result = stock.requarantine(*options)
    assert result.exit_code == 2
    assert told in result.stderr


def test_before_the_first_run_it_says_what_to_do_and_makes_nothing(tmp_path: Path) -> None:
    result = Stock(tmp_path).requarantine()
    assert result.exit_code == 1
    assert "ev-sessions run" in result.stderr
    assert list(tmp_path.iterdir()) == []


SAME = SettingsInForce(ReportDate.SESSION_END, Limits())
OTHER = SettingsInForce(ReportDate.SESSION_END, Limits.of({"energy_much_kwh": 90}))


def touch(stock: Stock, settings: SettingsInForce, minutes: int) -> list[date]:
    """Mark all days, so many minutes after they were first derived."""
    with stock.database.writing() as connection:
        return touch_again(connection, DAYS, settings=settings, touched_at=DERIVED_AT + timedelta(minutes=minutes))


def derive_the_newest(stock: Stock, minutes: int) -> None:
    """What a run does that is killed after it has derived the newest day."""
    with stock.database.writing() as connection:
        connection.execute("CREATE TEMP TABLE left_over AS FROM raw.touched_days WHERE session_day < ?", [DAYS.last])
        connection.execute("DELETE FROM raw.touched_days WHERE session_day < ?", [DAYS.last])
        derive_days(connection, DAYS.last, derived_at=DERIVED_AT + timedelta(minutes=minutes))
        connection.execute("INSERT INTO raw.touched_days FROM left_over")


def test_a_command_that_was_killed_goes_on_with_the_days_that_are_left(stock: Stock) -> None:
    assert touch(stock, SAME, minutes=1) == list(DAYS)
    derive_the_newest(stock, minutes=2)
    assert touch(stock, SAME, minutes=3) == list(DAYS)[:2]


def test_a_command_that_was_killed_begins_anew_where_the_limits_have_changed_since(stock: Stock) -> None:
    touch(stock, SAME, minutes=1)
    derive_the_newest(stock, minutes=2)
    assert touch(stock, OTHER, minutes=3) == list(DAYS)


def test_a_command_that_was_killed_goes_on_where_later_settings_were_deleted(stock: Stock) -> None:
    begun, derived, again = (DERIVED_AT + timedelta(minutes=minutes) for minutes in (1, 2, 3))
    later = {"in_force_from": DERIVED_AT + ONE_DAY, "settings": "{}", "program_version": "9", "run_id": "later"}
    with stock.database.writing() as connection:
        insert(connection, RAW_SETTINGS_HISTORY, later)
        # From here on the statistics of the file tell of a stamp that no row has.
        connection.execute("CHECKPOINT")
        connection.execute("DELETE FROM raw.settings_history WHERE run_id = 'later'")
        touch_again(connection, DAYS, settings=OTHER, touched_at=begun)
        connection.execute("DELETE FROM raw.touched_days WHERE session_day < ?", [DAYS.last])
        derive_days(connection, DAYS.last, limits=OTHER.limits, derived_at=derived)
        insert(connection, RAW_TOUCHED_DAYS, {"session_day": DAYS.first, "touched_at": begun, "run_id": "requarantine"})
        assert touch_again(connection, DAYS, settings=OTHER, touched_at=again) == list(DAYS)[:2]


def test_a_command_that_came_to_its_end_judges_every_day_again_the_next_time(stock: Stock) -> None:
    touch(stock, SAME, minutes=1)
    with stock.database.writing() as connection:
        derive_days(connection, DAYS.last, derived_at=DERIVED_AT + timedelta(minutes=2))
    assert touch(stock, SAME, minutes=3) == list(DAYS)


def test_records_refused_when_they_were_read_are_counted_as_a_run_counts_them(stock: Stock) -> None:
    with stock.database.writing() as connection:
        insert(connection, RAW_QUARANTINE, kept_out("malformed", first=DAYS.first))
    result = stock.requarantine()
    assert "that left 0; records in it 2, of them refused when read 1" in result.stdout
    with stock.database.reading() as connection:
        assert totals(connection, DAYS).quarantined == 2


EARLIER = "an earlier call did not come to its end: what it had changed by then is not told below"


def test_a_command_that_was_killed_after_deriving_is_continued_and_says_what_it_cannot_tell(stock: Stock) -> None:
    raised = Limits.of({"energy_too_much_kwh": 400, "energy_much_kwh": 400})
    touch(stock, SettingsInForce(ReportDate.SESSION_END, raised), minutes=1)
    with stock.database.writing() as connection:
        derive_days(connection, DAYS.last, limits=raised, derived_at=DERIVED_AT + timedelta(minutes=2))
    first, again = stock.requarantine(**RAISED), stock.requarantine(**RAISED)
    assert EARLIER in first.stdout
    assert EARLIER not in again.stdout
    assert stock.rows(_MONTH) == stock.published(_MONTH) == [(date(2025, 3, 1), 3, 440)]


def judged_otherwise(stock: Stock, settings: SettingsInForce, first: date = DAYS.first) -> int:
    with stock.database.reading() as connection:
        return days_judged_otherwise(connection, settings, first=first)


def test_days_judged_by_other_limits_are_counted_until_each_was_judged_again(stock: Stock) -> None:
    assert judged_otherwise(stock, SAME) == 0
    assert judged_otherwise(stock, OTHER) == 3
    assert judged_otherwise(stock, OTHER, first=DAYS.last) == 1
    with stock.database.writing() as connection:
        derive_days(connection, DAYS.last, limits=OTHER.limits, derived_at=DERIVED_AT + timedelta(minutes=1))
    assert judged_otherwise(stock, OTHER) == 2
    with stock.database.writing() as connection:
        derive_days(connection, DAYS.first, DAYS.last, limits=OTHER.limits, derived_at=DERIVED_AT + timedelta(minutes=2))
    assert judged_otherwise(stock, OTHER) == 0
    # Back again: what was derived by the first settings, long ago, does not stand any more.
    assert judged_otherwise(stock, SAME) == 3
