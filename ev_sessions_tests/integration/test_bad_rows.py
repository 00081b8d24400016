"""`ev-sessions bad-rows` as a person or a program meets it, over published rows that break rules of every kind."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ev_sessions.cli.main import app
from ev_sessions.days import ONE_DAY
from ev_sessions.limits import Limits
from ev_sessions.settings import PublishedAccess
from ev_sessions.tables import RAW_QUARANTINE, RAW_SESSIONS, RAW_VEHICLES
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.publish import publish
from ev_sessions.warehouse.rule_hits import RULES_ABOUT_ROWS
from ev_sessions.warehouse.rules import BY_NAME, Severity
from ev_sessions_tests.pipeline import named, own_environment, pipeline_over, sandbox_with, trailing
from ev_sessions_tests.raw_rows import DAY, derive_days, insert, kept_out, session, uid, vehicle

NEXT = DAY + ONE_DAY


def whole(name: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - values of all types
    """A session that breaks no rule."""
    day = changes.get("day", DAY)
    plain = {
        "unplug_time": datetime(day.year, day.month, day.day, 20, tzinfo=UTC),
        "energy_charged_kwh": Decimal(20),
        "actual_cost_eur": Decimal(5),
        "actual_savings_eur": Decimal(1),
    }
    return session(name, **{**plain, **changes})


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two days: a session in order, one kept out for two reasons, one flagged, one only counted, a record that is no session.

    What the one that is counted is counted for, the one that is kept out breaks too.
    """
    folder = tmp_path_factory.mktemp("state")
    database = Database(folder / "ev_sessions.duckdb")
    with own_environment():
        with database.writing() as connection:
            insert(connection, RAW_VEHICLES, *(vehicle(name) for name in ("v1", "v2", "v3", "v4")))
            insert(
                connection,
                RAW_SESSIONS,
                whole("fine"),
                whole("slip", of="v2", energy_charged_kwh=Decimal(20_000), actual_cost_eur=Decimal("-0.5"), price_zone="SE_4"),
                whole("much", of="v3", day=NEXT, energy_charged_kwh=Decimal(120), actual_cost_eur=Decimal(30)),
                whole("paid", of="v4", actual_cost_eur=Decimal("-0.5")),
            )
            insert(connection, RAW_QUARANTINE, kept_out("broken", of="v4", payload="\x1b[2J{]", first=DAY, last=NEXT))
            derive_days(connection, DAY, NEXT, limits=Limits.of({"energy_much_kwh": 90}))
        publish(database, folder / "published", PublishedAccess.OWNER)
        yield folder


def bad_rows(state: Path, *options: object, **settings: str) -> Result:
    environment = named({"state_dir": str(state), **settings})
    return CliRunner().invoke(app, ["bad-rows", *map(str, options)], env=environment)


def rows(state: Path, *options: object, **settings: str) -> list[dict[str, Any]]:
    result = bad_rows(state, "--json", *options, **settings)
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)["rows"]
    return found


def broken(found: list[dict[str, Any]]) -> Counter[str]:
    return Counter(row["rule"] for row in found)


def test_what_is_kept_out_or_flagged_is_listed_with_every_reason_and_what_is_in_order_is_not(state: Path) -> None:
    found = rows(state)
    assert broken(found) == {"too_much_energy": 1, "unit_slip": 1, "much_energy": 1, "malformed": 1}
    assert {row["record_key"] for row in found} == {str(uid("slip")), str(uid("much")), "broken"}


def test_the_newest_day_comes_first(state: Path) -> None:
    days = [row["session_day"] for row in rows(state)]
    assert days == sorted(days, reverse=True)


def test_a_row_has_its_day_its_vehicle_its_rule_the_meaning_with_its_limits_and_its_values(state: Path) -> None:
    (row,) = rows(state, "--rule", "unit_slip")
    assert row["values"].pop("energy_charged_kwh") == "20000"
    assert row["values"].pop("unplug_time") == "2026-03-10T20:00:00Z"
    assert row.pop("values")["is_at_home"] is None
    assert row == {
        "session_day": "2026-03-10",
        "electric_vehicle_id": str(uid("v2")),
        "record_key": str(uid("slip")),
        "rule": "unit_slip",
        "family": "energy",
        "severity": "error",
        "meaning": "More than 1000 kWh or 500 kW: most likely Wh or W",
        "payload": None,
    }


def test_a_record_that_could_not_be_typed_is_shown_as_it_was_sent_without_moving_the_cursor(state: Path) -> None:
    (row,) = rows(state, "--rule", "malformed")
    assert (row["values"], row["payload"], row["meaning"]) == (None, "\x1b[2J{]", "not an object")
    text = bad_rows(state, "--rule", "malformed").stdout
    assert "record broken" in text
    assert " [2J{]" in text
    assert "\x1b" not in text


def test_rows_can_be_narrowed_to_days_a_family_a_severity_and_a_vehicle(state: Path) -> None:
    assert {row["session_day"] for row in rows(state, "--from", NEXT)} == {str(NEXT)}
    assert {row["session_day"] for row in rows(state, "--to", DAY)} == {str(DAY)}
    assert broken(rows(state, "--family", "identity")) == {"malformed": 1}
    assert set(broken(rows(state, "--severity", "warn"))) == {"much_energy"}
    assert {row["electric_vehicle_id"] for row in rows(state, "--vehicle", uid("v3"))} == {str(uid("v3"))}
    assert rows(state, "--from", NEXT, "--family", "identity") == []


def test_what_is_only_counted_is_listed_where_it_is_asked_for(state: Path) -> None:
    assert [row["record_key"] for row in rows(state, "--rule", "negative_cost")] == [str(uid("paid"))]
    assert set(broken(rows(state, "--severity", "info"))) == {"negative_cost"}
    assert "negative_cost" not in broken(rows(state))


def test_as_many_rows_are_listed_for_each_rule_as_the_daily_counts_say(state: Path) -> None:
    with Database(state / "ev_sessions.duckdb").reading() as connection:
        hits = dict(connection.execute("SELECT rule, sum(hits) FROM analytics.rule_hits GROUP BY rule").fetchall())
    assert broken([row for severity in Severity for row in rows(state, "--severity", severity)]) == hits


def test_the_limits_told_are_those_by_which_was_judged_whatever_the_reader_has_set(state: Path) -> None:
    for settings in ({}, {"limits": "energy_much_kwh=95,cost_unusual_max=9"}):
        (row,) = rows(state, "--rule", "much_energy", **settings)
        assert row["meaning"] == "More than 90 kWh"


def test_a_rule_may_be_named_together_with_its_own_family_and_severity(state: Path) -> None:
    found = rows(state, "--rule", "negative_cost", "--family", "money", "--severity", "info")
    assert [row["record_key"] for row in found] == [str(uid("paid"))]


def test_only_so_many_rows_are_shown_and_all_are_counted(state: Path) -> None:
    told = json.loads(bad_rows(state, "--json", "--limit", 1).stdout)
    assert len(told["rows"]) == 1
    assert sum(told["counts"].values()) == len(rows(state))
    text = bad_rows(state, "--limit", 1).stdout
    assert f"{len(rows(state))}  in all; the newest 1 stand above, --limit shows more" in text


def test_a_person_reads_the_row_then_the_reason_then_the_values_that_matter_then_the_counts(state: Path) -> None:
    lines = bad_rows(state, "--rule", "much_energy").stdout.splitlines()
    assert lines[0] == f"2026-03-11  vehicle {uid('v3')}  session {uid('much')}"
    assert lines[1].strip() == "warn much_energy: More than 90 kWh"
    assert lines[2].strip().startswith("energy_charged_kwh 120 kWh, avg_charge_power_kw unknown,")
    assert [line.split() for line in lines[3:]] == [["1", "warn", "much_energy"], ["1", "in", "all"]]


def test_a_spreadsheet_gets_a_column_for_every_field(state: Path) -> None:
    table = list(csv.DictReader(io.StringIO(bad_rows(state, "--csv").stdout)))
    (slip,) = [row for row in table if row["rule"] == "unit_slip"]
    assert (slip["energy_charged_kwh"], slip["actual_cost_eur"], slip["is_at_home"]) == ("20000", "-0.5", "")
    (record,) = [row for row in table if row["rule"] == "malformed"]
    # What moves the cursor is for no terminal and for no spreadsheet.
    assert (record["payload"], record["energy_charged_kwh"]) == ("{]", "")


def test_where_no_rule_is_broken_that_is_said(state: Path) -> None:
    assert bad_rows(state, "--rule", "soc_fell").stdout == "no such row\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--rule", "much_enrgy"], "ev-sessions: there is no rule 'much_enrgy'; did you mean much_energy?"),
        (["--rule", "unusual_volume"], "ev-sessions: no single row breaks unusual_volume: analytics.rule_hits has the days"),
        (["--json", "--csv"], "ev-sessions: --json and --csv are two forms; choose one"),
        (["--rule", "overlap", "--severity", "error"], "ev-sessions: the rule overlap is one of severity warn, not error"),
        (["--rule", "overlap", "--family", "money"], "ev-sessions: the rule overlap is one of family sequence, not money"),
        (["--vehicle", "7"], "ev-sessions: '7' is not the id of a vehicle"),
        (["--from", "2026-03-02", "--to", "2026-03-01"], "ev-sessions: the range 2026-03-02..2026-03-01 ends before it begins"),
    ],
)
def test_what_cannot_be_meant_is_told_in_one_line(state: Path, options: list[str], told: str) -> None:
    result = bad_rows(state, *options)
    assert result.exit_code == 2
    assert result.stderr.startswith(told)
    assert result.stderr.count("\n") == 1


def test_before_anything_is_published_that_is_told_in_one_line(tmp_path: Path) -> None:
    result = bad_rows(tmp_path)
    assert result.exit_code == 1
    assert "ev-sessions run" in result.stderr


def test_nothing_asks_for_the_database_itself_so_a_run_may_write_meanwhile(state: Path) -> None:
    with Database(state / "ev_sessions.duckdb").writing():
        assert len(rows(state)) > 0


def test_of_a_simulated_fleet_as_many_rows_are_listed_as_the_daily_counts_say(tmp_path: Path) -> None:
    sandbox = sandbox_with(vehicles=20, days=10, malformed_rate=0.05)
    with pipeline_over(sandbox, tmp_path) as pipeline:
        assert pipeline.refresh(trailing(10)).success
        hits = dict(pipeline.rows("SELECT rule, sum(hits) FROM analytics.rule_hits GROUP BY rule"))
        listed = {
            name: count
            for severity in Severity
            for name, count in json.loads(bad_rows(pipeline.state, "--json", "--severity", severity).stdout)["counts"].items()
        }
    assert hits["malformed"] > 0
    assert listed == {name: count for name, count in hits.items() if BY_NAME[name] in RULES_ABOUT_ROWS}
