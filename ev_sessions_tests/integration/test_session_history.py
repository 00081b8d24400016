"""What is told of one session: from the versions that landings left, through what is published, to what a person reads."""

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
from ev_sessions.warehouse.publish import publish
from ev_sessions_tests.parts import ORG, USER, Answer, Rejection, Row, session, write_part
from ev_sessions_tests.raw_rows import derive_days, insert

CAR, OTHER_CAR = UUID(int=101), UUID(int=102)
DAY = date(2026, 3, 2)
READ_AT = datetime(2026, 3, 3, 3, 15, tzinfo=UTC)
SESSION = UUID(int=1)

Tell = Callable[..., None]
History = Callable[..., Result]


@pytest.fixture
def tell(tmp_path: Path) -> Tell:
    """Lands an answer of the n-th day's read (run n), derives and publishes."""
    numbers = count(1)
    database = Database(tmp_path / "state" / "ev_sessions.duckdb")
    database.path.parent.mkdir()

    def land_answer(*sessions: Row, vehicle: UUID = CAR, rejected: tuple[Rejection, ...] = ()) -> None:
        number = next(numbers)
        read_at = READ_AT + timedelta(days=number - 1)
        part = write_part(tmp_path / f"part-{number}", [Answer(vehicle, DAY, DAY, read_at, sessions, rejected)])
        with database.writing() as connection:
            land(
                connection,
                [part],
                run_id=f"run-{number}",
                landed_at=read_at,
                zones={},
                default_time_zone="UTC",
                hold_share=1.0,
                limits=Limits(),
            )
            derive_days(connection, DAY, derived_at=read_at)
        publish(database, tmp_path / "state" / "published", PublishedAccess.OWNER)

    return land_answer


@pytest.fixture
def history(tmp_path: Path) -> History:
    """`ev-sessions history` of what was published."""

    def run(*arguments: object) -> Result:
        words = ["history", *map(str, arguments)]
        return CliRunner().invoke(app, words, env={"EV_SESSIONS_STATE_DIR": str(tmp_path / "state")})

    return run


def charged(**fields: object) -> Row:
    return session(1, DAY, energy_charged_kwh=Decimal("12.5"), actual_cost_eur=Decimal("2.50")) | fields


def test_a_session_that_was_restated_vanished_and_came_back_is_told_in_order(tell: Tell, history: History) -> None:
    tell(charged())
    tell(charged(energy_charged_kwh=13, actual_savings_eur=Decimal("-0.4"), is_at_home=False))
    tell(charged(energy_charged_kwh=13, actual_savings_eur=Decimal("-0.4"), is_at_home=False))
    tell()
    tell(charged(energy_charged_kwh=13, actual_savings_eur=Decimal("-0.4")))
    result = history(SESSION)
    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[:-1] == [
        f"Session {SESSION} of vehicle {CAR}, customer {USER}",
        "2026-03-03 03:15:00 UTC  first listed, under the day 2026-03-02",
        "plug_in_time: 2026-03-02 12:00:00 UTC",
        "unplug_time: unknown",
        "energy_charged_kwh: 12.5 kWh",
        "actual_cost_eur: 2.5 EUR",
        "actual_savings_eur: unknown",
        "2026-03-04 03:15:00 UTC  restated, version 2, under the day 2026-03-02 (run run-2)",
        "energy_charged_kwh: 12.5 kWh -> 13 kWh",
        "actual_savings_eur: unknown -> -0.4 EUR",
        "is_at_home: unknown -> no",
        "2026-03-06 03:15:00 UTC  no longer listed (run run-4)",
        "2026-03-07 03:15:00 UTC  listed again, version 3, under the day 2026-03-02",
        "is_at_home: no -> unknown",
    ]
    assert lines[-1].startswith("now                      listed, last read 2026-03-07 03:15:00 UTC; in the figures")


def test_the_customer_is_told_with_the_suppliers_own_number_where_it_is_known(
    tell: Tell, history: History, tmp_path: Path
) -> None:
    with Database(tmp_path / "state" / "ev_sessions.duckdb").writing() as connection:
        seen = {"first_seen_at": READ_AT, "last_seen_at": READ_AT, "run_id": "fleet"}
        insert(connection, RAW_USERS, {"org_id": ORG, "user_id": USER, "external_user_id": "K-1"} | seen)
    tell(charged())
    assert history(SESSION).stdout.splitlines()[0] == f'Session {SESSION} of vehicle {CAR}, customer {USER} ("K-1")'
    (story,) = json.loads(history(SESSION, "--json").stdout)["vehicles"]
    assert story["external_user_id"] == "K-1"


def test_json_has_every_version_with_its_values_and_what_changed(tell: Tell, history: History) -> None:
    tell(charged())
    tell(charged(energy_charged_kwh=Decimal("13.000001"), extra='{"tariff":"x"}'))
    told = json.loads(history(SESSION, "--json").stdout)
    (story,) = told["vehicles"]
    assert (told["session_id"], story["electric_vehicle_id"], story["is_listed"]) == (str(SESSION), str(CAR), True)
    first, second = story["versions"]
    assert (first["replaced_at"], first["end_reason"], first["replaced_by_run_id"]) == (
        "2026-03-04T03:15:00Z",
        "restated",
        "run-2",
    )
    assert (second["valid_from"], second["replaced_at"], second["run_id"]) == ("2026-03-04T03:15:00Z", None, "run-2")
    assert second["changes"] == [
        {"field": "energy_charged_kwh", "unit": "kWh", "before": "12.5", "after": "13.000001"},
        {"field": "extra", "unit": None, "before": None, "after": '{"tariff":"x"}'},
    ]
    assert (first["values"]["energy_charged_kwh"], first["values"]["actual_savings_eur"]) == ("12.5", None)


def test_a_session_that_can_no_longer_be_used_says_why(tell: Tell, history: History) -> None:
    tell(charged())
    tell(rejected=(Rejection(str(SESSION)),))
    ends = history(SESSION).stdout.splitlines()[-2:]
    assert ends == [
        "2026-03-04 03:15:00 UTC  sent in a form that cannot be used (run run-2)",
        "now                      cannot be used: malformed: energy_charged_kwh is not a number",
    ]


def test_a_session_that_never_could_be_used_has_a_story_without_versions(tell: Tell, history: History) -> None:
    tell(rejected=(Rejection(str(SESSION)),))
    (story,) = json.loads(history(SESSION, "--json").stdout)["vehicles"]
    assert (story["versions"], story["first_seen_at"], story["is_listed"]) == ([], "2026-03-03T03:15:00Z", False)
    assert story["quarantine_reasons"] == ["malformed: energy_charged_kwh is not a number"]


def test_a_session_that_could_not_be_used_at_first_says_until_when_and_why(tell: Tell, history: History) -> None:
    tell(rejected=(Rejection(str(SESSION)),))
    tell(charged())
    why = "malformed: energy_charged_kwh is not a number"
    lines = history(SESSION).stdout.splitlines()
    assert lines[1:3] == [
        f"2026-03-03 03:15:00 UTC  in a form that could not be used until 2026-03-04 03:15:00 UTC: {why}",
        "2026-03-04 03:15:00 UTC  first listed, under the day 2026-03-02",
    ]
    (story,) = json.loads(history(SESSION, "--json").stdout)["vehicles"]
    assert story["unusable"] == [{"since": "2026-03-03T03:15:00Z", "until": "2026-03-04T03:15:00Z", "reasons": [why]}]


def test_a_session_that_is_gone_says_so_to_the_end(tell: Tell, history: History) -> None:
    tell(charged())
    tell()
    assert history(SESSION).stdout.splitlines()[-1] == "now                      no longer listed"


def test_an_id_that_two_vehicles_have_is_told_for_both_with_the_reason(tell: Tell, history: History) -> None:
    tell(charged())
    tell(charged(), vehicle=OTHER_CAR)
    lines = history(SESSION).stdout.splitlines()
    assert [line for line in lines if line.startswith("Session")] == [
        f"Session {SESSION} of vehicle {car}, customer {USER}" for car in (CAR, OTHER_CAR)
    ]
    assert sum("kept out of all figures: id_of_two_vehicles" in line for line in lines) == 2


def test_what_the_api_wrote_cannot_move_the_cursor(tell: Tell, history: History) -> None:
    tell(charged())
    tell(charged(session_outcome="a\x1b[2J\nb"))
    assert 'session_outcome: unknown -> "a\\u001b[2J\\nb"' in history(SESSION).stdout


def test_nobody_waits_for_the_writer_nor_the_writer_for_a_reader(tell: Tell, history: History, tmp_path: Path) -> None:
    tell(charged())
    with Database(tmp_path / "state" / "ev_sessions.duckdb").writing():
        assert history(SESSION).exit_code == 0


def test_an_unknown_session_is_told_in_one_line(tell: Tell, history: History) -> None:
    tell(charged())
    result = history(UUID(int=7))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"ev-sessions: no session {UUID(int=7)} was ever landed; ")
    assert result.stderr.count("\n") == 1


def test_a_malformed_id_is_wrong_use(history: History) -> None:
    result = history("17")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("ev-sessions: '17' is not the id of a session; ")


def test_before_anything_is_published_it_says_what_to_do(history: History) -> None:
    result = history(SESSION)
    assert result.exit_code == 1
    assert "ev-sessions run" in result.stderr
