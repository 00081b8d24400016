"""What `ev-sessions diff` tells a person, and in JSON, of what is published."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from ev_sessions.cli.main import app
from ev_sessions.limits import Limits
from ev_sessions.settings import PublishedAccess
from ev_sessions.tables import RAW_USERS
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.landing import land
from ev_sessions.warehouse.monthly import pending_months, sum_months
from ev_sessions.warehouse.publish import publish
from ev_sessions_tests.parts import ORG, USER, Answer, Row, session, write_part
from ev_sessions_tests.raw_rows import derive_days, insert

CAR = UUID(int=101)
FIRST, LAST = date(2026, 3, 1), date(2026, 3, 31)
READ_AT = datetime(2026, 4, 2, 3, 15, tzinfo=UTC)
SINCE = "2026-04-02T06:00:00Z"

Tell = Callable[..., None]
Diff = Callable[..., Result]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    (tmp_path / "state").mkdir()
    database = Database(tmp_path / "state" / "ev_sessions.duckdb")
    with database.writing() as connection:
        seen = {"first_seen_at": READ_AT, "last_seen_at": READ_AT, "run_id": "fleet"}
        insert(connection, RAW_USERS, {"org_id": ORG, "user_id": USER, "external_user_id": "K-1"} | seen)
    return database


@pytest.fixture
def tell(tmp_path: Path, database: Database) -> Tell:
    """Lands an answer of the n-th night, derives, sums up and publishes."""
    numbers = count()

    def land_answer(*sessions: Row, summed: bool = True, **limits: str) -> None:
        read_at = READ_AT + timedelta(days=next(numbers))
        in_force = Limits.of(limits)
        part = write_part(tmp_path / f"part-{read_at:%d}", [Answer(CAR, FIRST, LAST, read_at, sessions)])
        with database.writing() as connection:
            land(
                connection,
                [part],
                run_id="run",
                landed_at=read_at,
                zones={},
                default_time_zone="UTC",
                hold_share=1.0,
                limits=in_force,
            )
            derive_days(connection, FIRST, LAST, limits=in_force, derived_at=read_at)
            if summed:
                sum_months(connection, pending_months(connection), run_id="run", derived_at=read_at)
        publish(database, tmp_path / "state" / "published", PublishedAccess.OWNER)

    return land_answer


@pytest.fixture
def diff(tmp_path: Path) -> Diff:
    def run(*options: str, month: str = "2026-03", since: str = SINCE) -> Result:
        environ = {"EV_SESSIONS_STATE_DIR": str(tmp_path / "state"), "COLUMNS": "200"}
        return CliRunner().invoke(app, ["diff", "--month", month, "--since", since, *options], env=environ)

    return run


def charged(number: int, energy: str = "5", savings: str | None = "1", **fields: object) -> Row:
    figures = {"energy_charged_kwh": Decimal(energy), "actual_savings_eur": savings and Decimal(savings)}
    return session(number, FIRST + timedelta(days=number), **figures) | fields


def test_the_figures_of_then_and_now_and_what_each_cause_did_stand_in_one_table(tell: Tell, diff: Diff) -> None:
    tell(charged(1), charged(2, savings="0.125"), charged(3, energy="60"))
    tell(charged(1, savings="0.75"), charged(3, energy="60"), charged(4, savings="-2"), energy_too_much_kwh="50")
    lines = [line.split() for line in diff().stdout.splitlines()]
    for line in (
        "2026-03, from what was known at 2026-04-02 06:00:00 UTC to now",
        "then 3 70 unknown 2.125",
        "late +1 +5 -2 1",
        "restated -0.25 1",
        "vanished -1 -5 -0.125 1",
        "rule 0",
        "setting -1 -60 -1 1",
        "now 2 10 unknown -1.25",
        'Settings then: {"REPORT_DATE": "session_end"}; now: {"REPORT_DATE": "session_end", "energy_too_much_kwh": "50"}',
        "restated: 1 (its content changed, or the month that it reports to)",
        f'{UUID(int=1)} of vehicle {CAR}, customer {USER} ("K-1"): -0.25 EUR saved',
        f'{USER} ("K-1"): 2.125 -> -1.25',
    ):
        assert line.split() in lines


def test_a_session_that_reports_to_another_month_is_told_with_both(tell: Tell, diff: Diff) -> None:
    tell(charged(1))
    tell(charged(1, unplug_time=datetime(2026, 4, 1, 7, tzinfo=UTC)))
    told = diff().stdout
    assert "restated: 1 (its content changed, or the month that it reports to); 1 to another month" in told
    assert "-1 session, -5 kWh, -1 EUR saved, reported to 2026-03, now to 2026-04" in told


def test_as_json_it_is_one_object_with_exact_numbers(tell: Tell, diff: Diff) -> None:
    tell(charged(1))
    tell(charged(1, savings="0.000001"))
    found = json.loads(diff("--json").stdout)
    nothing = {"sessions": 0, "energy_kwh": "0", "cost_eur": "0", "savings_eur": "0"}
    change = nothing | {"savings_eur": "-0.999999"}
    assert (found["month"], found["since"]) == ("2026-03", SINCE)
    assert found["then"] == {"sessions": 1, "energy_kwh": "5", "cost_eur": None, "savings_eur": "1"}
    assert found["now"] == found["monthly_savings"] == found["then"] | {"savings_eur": "0.000001"}
    assert {cause: effect["change"] for cause, effect in found["causes"].items()} == {
        "late": nothing,
        "restated": change,
        "vanished": nothing,
        "rule": nothing,
        "setting": nothing,
    }
    assert found["sessions"] == [
        {
            "cause": "restated",
            "session_id": str(UUID(int=1)),
            "electric_vehicle_id": str(CAR),
            "user_id": str(USER),
            "external_user_id": "K-1",
            "month_then": "2026-03",
            "month_now": "2026-03",
            "change": change,
        }
    ]
    assert found["users"] == [
        {"user_id": str(USER), "external_user_id": "K-1", "savings_then_eur": "1", "savings_now_eur": "0.000001"}
    ]
    assert found["settings_then"] == found["settings_now"] == {"REPORT_DATE": "session_end"}


def test_it_says_how_many_it_does_not_name_and_names_all_when_asked(tell: Tell, diff: Diff) -> None:
    tell(charged(1))
    tell(charged(1), *(charged(number, savings=str(number)) for number in range(2, 14)))
    told = diff().stdout
    assert told.count(f" of vehicle {CAR}") == 10
    assert "  and 2 more, which --limit 0 names" in told.splitlines()
    assert diff("--limit", "11").stdout.count(f" of vehicle {CAR}") == 11
    told = diff("--limit", "0").stdout
    assert told.count(f" of vehicle {CAR}") == 12
    assert "more" not in told


def test_json_names_all_unless_it_is_limited(tell: Tell, diff: Diff) -> None:
    tell(charged(1))
    tell(charged(1), *(charged(number) for number in range(2, 14)))
    assert len(json.loads(diff("--json").stdout)["sessions"]) == 12
    found = json.loads(diff("--json", "--limit", "1").stdout)
    assert len(found["sessions"]) == len(found["users"]) == found["users_concerned"] == 1
    assert found["causes"]["late"]["sessions_concerned"] == 12


def test_savings_that_are_known_no_longer_are_told_as_unknown(tell: Tell, diff: Diff) -> None:
    tell(charged(1, savings="7.2"))
    tell(charged(1, savings=None))
    lines = [line.split() for line in diff().stdout.splitlines()]
    for line in ("then 1 5 unknown 7.2", "restated -7.2 1", "now 1 5 unknown unknown", f'{USER} ("K-1"): 7.2 -> unknown'):
        assert line.split() in lines
    found = json.loads(diff("--json").stdout)
    assert (found["now"]["savings_eur"], found["users"][0]["savings_now_eur"]) == (None, None)


def test_figures_and_settings_that_something_else_stands_in_for_are_told(tell: Tell, diff: Diff, database: Database) -> None:
    tell(charged(1))
    with database.writing() as connection:
        connection.execute("UPDATE raw.settings_history SET in_force_from = now()")
    tell(charged(1), charged(2), summed=False)
    told = diff().stdout
    assert "analytics.monthly_savings has other figures (1 session, 5 kWh, cost unknown, 1 EUR saved)" in told
    assert "No figures had been derived by then" in told


@pytest.mark.parametrize(
    ("month", "since", "told"),
    [
        ("March", SINCE, "'March' is not a month; write it as YYYY-MM"),
        ("2026-13", SINCE, "'2026-13' is not a month"),
        ("2026-03", "lately", "'lately' is not an instant"),
    ],
)
def test_what_is_no_month_or_no_instant_is_wrong_use(diff: Diff, month: str, since: str, told: str) -> None:
    result = diff(month=month, since=since)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr


def test_what_cannot_be_compared_is_told_in_one_line(tell: Tell, diff: Diff) -> None:
    tell(charged(1))
    for month, since, told in (
        ("2026-03", "2999-01-01", "2999-01-01 00:00:00 UTC is yet to come"),
        ("2026-03", "2026-04-01", "nothing was read before 2026-04-02 03:15:00 UTC"),
        ("2025-06", SINCE, "no session reports to 2025-06, neither then nor now"),
    ):
        result = diff(month=month, since=since)
        assert (result.exit_code, result.stdout) == (1, "")
        assert told in result.stderr
        assert result.stderr.count("\n") == 1


def test_before_anything_is_published_it_says_what_to_do(diff: Diff) -> None:
    result = diff()
    assert result.exit_code == 1
    assert "ev-sessions run" in result.stderr
