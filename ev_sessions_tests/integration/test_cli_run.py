"""`ev-sessions run` as a person or a script meets it: what it prints, its exit status, and the history that it leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner, Result

from ev_sessions.automation.refresh import range_tags
from ev_sessions.cli.main import app
from ev_sessions.days import ONE_DAY, DayRange, utc_today
from ev_sessions.sandbox import Quirks
from ev_sessions.settings import variable
from ev_sessions_tests.pipeline import (
    LAST_DAY,
    LONG_AFTER,
    Pipeline,
    named,
    pipeline_over,
    sandbox_with,
    trailing,
    write_fleet_file,
)

DAYS = trailing(3)
FAILED, WRONG_USE, INCOMPLETE = 1, 2, 3


def run(*options: object, first: object = DAYS.first, last: object = DAYS.last, **settings: str) -> Result:
    """`ev-sessions run` from `first` to `last`, with `settings` (short names) beside those of the environment."""
    arguments = ["run", "--from", first, "--to", last, *options]
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=named(settings))


def only_line(result: Result) -> str:
    """The one line on standard error of a command that failed."""
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pipeline, dict[str, Any]]]:
    """A finished `run --json` in three batches, and what it printed. No test changes anything here."""
    sandbox = sandbox_with(vehicles=6, restated_rate=0.5, malformed_rate=0.05)
    with pipeline_over(sandbox, tmp_path_factory.mktemp("told")) as pipeline:
        result = run("--json", first=trailing(5).first, last=LAST_DAY, max_partitions_per_run="2")
        assert result.exit_code == 0, result.stderr
        assert result.stderr == ""
        yield pipeline, json.loads(result.stdout)


def test_json_is_one_object_with_what_a_script_needs(told: tuple[Pipeline, dict[str, Any]]) -> None:
    _, outcome = told
    assert list(outcome) == ["days", "vehicles", "vehicles_failed", "sessions", "requests", "retries", "refused_429", "seconds"]
    assert list(outcome["seconds"]) == ["fetch", "land", "derive", "months", "total"]
    assert outcome["days"] == {"from": str(trailing(5).first), "to": str(LAST_DAY), "count": 5}
    assert 0 < outcome["seconds"]["fetch"] < outcome["seconds"]["total"]


def test_requests_are_those_that_the_api_saw_and_sessions_those_that_it_has(told: tuple[Pipeline, dict[str, Any]]) -> None:
    pipeline, outcome = told
    truth = pipeline.sandbox.truth.totals(trailing(5).first, LAST_DAY, LONG_AFTER)
    assert outcome["requests"] == pipeline.sandbox.counts.total
    assert outcome["sessions"] == truth.rows == pipeline.rows("SELECT count(*) FROM raw.sessions")[0][0]
    assert (outcome["vehicles"], outcome["vehicles_failed"], outcome["retries"], outcome["refused_429"]) == (6, 0, 0, 0)


def history(pipeline: Pipeline) -> list[dg.DagsterRun]:
    """The runs in the history under the state folder, oldest first."""
    with dg.DagsterInstance.from_config(str(pipeline.state / "dagster")) as instance:
        return list(instance.get_runs(ascending=True))


def test_a_range_longer_than_a_run_may_be_becomes_several_runs_each_with_its_days(
    told: tuple[Pipeline, dict[str, Any]],
) -> None:
    runs = [run for run in history(told[0]) if run.job_name == "refresh"]
    assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS] * 3
    assert [range_tags(batch).items() <= run.tags.items() for run, batch in zip(runs, trailing(5).split(2), strict=True)] == [
        True
    ] * 3


def test_the_months_that_all_batches_touched_are_summed_up_in_one_run_at_the_end(told: tuple[Pipeline, dict[str, Any]]) -> None:
    pipeline, _ = told
    *_, last = history(pipeline)
    sums = "SELECT {month} AS month, sum(sessions), sum(savings_eur) FROM analytics.{table} GROUP BY month ORDER BY month"
    by_day = pipeline.rows(sums.format(month="date_trunc('month', report_date)::DATE", table="daily_savings"))
    assert by_day == pipeline.rows(sums.format(month="report_month", table="monthly_savings"))
    assert range_tags(DayRange(by_day[0][0], by_day[-1][0])).items() <= last.tags.items()
    assert pipeline.rows("FROM raw.touched_months") == []


def test_the_fleet_is_asked_for_once_however_many_batches_there_are(told: tuple[Pipeline, dict[str, Any]]) -> None:
    counts = told[0].sandbox.counts
    customers_and_an_administrator = 6 + 1
    assert (counts.users, counts.vehicles) == (1, customers_and_an_administrator)


def test_every_batch_is_checked(told: tuple[Pipeline, dict[str, Any]]) -> None:
    with dg.DagsterInstance.from_config(str(told[0].state / "dagster")) as instance:
        for run in instance.get_runs(dg.RunsFilter(job_name="refresh")):
            evaluations = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
            made = [entry.dagster_event.asset_check_evaluation_data for entry in evaluations if entry.dagster_event]
            assert {check.check_name for check in made} >= {"every_vehicle_read", "distinct_ids_match_total", "keys_unique"}


def test_nobody_but_the_command_line_repeats_its_runs(told: tuple[Pipeline, dict[str, Any]]) -> None:
    assert {run.tags["dagster/max_retries"] for run in history(told[0])} == {"0"}


def test_no_file_in_the_state_folder_holds_a_secret_or_anything_personal(told: tuple[Pipeline, dict[str, Any]]) -> None:
    pipeline, _ = told
    sandbox = pipeline.sandbox
    forbidden = {sandbox.client_id, sandbox.client_secret} | sandbox.truth.personal_values(LONG_AFTER)
    files = [path for path in pipeline.state.rglob("*") if path.is_file()]
    assert len(files) > 5
    found = {(path.name, value) for path in files for value in forbidden if value.encode() in path.read_bytes()}
    assert found == set()


def test_no_event_of_the_history_names_a_vehicle_a_customer_or_a_session(told: tuple[Pipeline, dict[str, Any]]) -> None:
    pipeline, _ = told
    truth = pipeline.sandbox.truth
    ids = {str(row[name]) for row in truth.fleet_sessions(trailing(5).first, LAST_DAY, LONG_AFTER) for name in ("id", "user_id")}
    ids |= {str(car) for car in truth.vehicle_ids()}
    stored = b"".join(path.read_bytes() for path in (pipeline.state / "dagster").rglob("*") if path.is_file())
    assert b"dagster/partition_row_count" in stored
    assert [value for value in ids if value.encode() in stored] == []


def test_the_state_folder_s_files_are_readable_by_their_owner_alone(told: tuple[Pipeline, dict[str, Any]]) -> None:
    state = told[0].state
    assert (state / "ev_sessions.duckdb").stat().st_mode & 0o077 == 0
    assert (state / "dagster").stat().st_mode & 0o077 == 0


def test_without_json_a_person_sees_the_days_and_the_totals(pipeline: Pipeline) -> None:
    result = run()
    assert result.exit_code == 0, result.stderr
    totals = pipeline.sandbox.truth.totals(DAYS.first, DAYS.last, LONG_AFTER)
    assert f"Charging sessions, {DAYS}" in result.stdout
    assert all(str(day) in result.stdout for day in DAYS)
    assert f"{totals.energy_kwh:,.1f}" in result.stdout
    assert f"{totals.savings_eur:,.2f}" in result.stdout
    assert f"3 days, 4 vehicles (0 failed), {totals.rows} sessions, {pipeline.sandbox.counts.total} requests" in result.stdout


def test_a_vehicle_that_cannot_be_read_makes_the_exit_status_three(pipeline: Pipeline, tmp_path: Path) -> None:
    truth = pipeline.sandbox.truth
    broken, fine = truth.vehicle_ids()[:2]
    pipeline.sandbox.quirks[broken] = Quirks(status=500)
    result = run("--json", max_attempts="2")
    assert result.exit_code == INCOMPLETE
    outcome = json.loads(result.stdout)
    assert (outcome["vehicles"], outcome["vehicles_failed"], outcome["retries"]) == (4, 1, 1)
    assert outcome["requests"] == pipeline.sandbox.counts.total
    some = write_fleet_file(tmp_path / "some.csv", [(truth.owner(fine), fine)])
    assert run("--vehicles-from", some, "--json").exit_code == 0


@pytest.mark.parametrize(
    ("days", "told_first"),
    [
        (("2025-03-1x", LAST_DAY), "'2025-03-1x' is not a day; write it as YYYY-MM-DD"),
        ((LAST_DAY, LAST_DAY - ONE_DAY), "the range 2025-03-31..2025-03-30 ends before it begins"),
        ((LAST_DAY - timedelta(days=99), LAST_DAY), "2024-12-22 lies before the first day, 2025-03-27"),
        ((LAST_DAY, "2999-01-01"), "2999-01-01 is not over yet (UTC); ask for days up to"),
    ],
)
def test_days_that_cannot_be_read_are_wrong_use_said_in_one_line(
    pipeline: Pipeline, days: tuple[object, object], told_first: str
) -> None:
    result = run(first=days[0], last=days[1])
    assert result.exit_code == WRONG_USE
    assert only_line(result).startswith(f"ev-sessions: {told_first}")
    assert not pipeline.state.exists()


def test_today_is_not_over_yet(pipeline: Pipeline) -> None:
    today = utc_today(datetime.now(UTC))
    result = run(first=today, last=today)
    assert result.exit_code == WRONG_USE
    assert f"{today} is not over yet" in only_line(result)
    assert pipeline.sandbox.counts.total == 0


@pytest.mark.parametrize("name", ["api_url", "org_id", "client_id", "client_secret"])
def test_a_setting_that_is_missing_is_wrong_use_said_in_one_line(pipeline: Pipeline, name: str) -> None:
    os.environ[variable(name)] = ""
    result = run()
    assert result.exit_code == WRONG_USE
    assert only_line(result).startswith(f"ev-sessions: EV_SESSIONS_{name.upper()} is not set")
    assert pipeline.sandbox.counts.total == 0


def test_a_wrong_secret_fails_with_one_line_that_does_not_tell_it(pipeline: Pipeline) -> None:
    result = run(client_secret="wrong-but-mine")  # noqa: S106
    assert result.exit_code == FAILED
    assert "refuses the client id and secret" in only_line(result)
    assert "wrong-but-mine" not in result.output
    assert pipeline.sandbox.counts.total == pipeline.sandbox.counts.token == 1


def test_an_api_that_is_not_there_fails_with_one_line(pipeline: Pipeline) -> None:
    result = run(api_url="http://127.0.0.1:9", max_attempts="1")
    assert result.exit_code == FAILED
    assert "the access token" in only_line(result)
    assert [run.status for run in history(pipeline)] == [dg.DagsterRunStatus.FAILURE]


def test_a_run_with_another_organisation_s_id_fails_with_one_line(pipeline: Pipeline) -> None:
    result = run(org_id="00000000-0000-4000-8000-000000000000")
    assert pipeline.sandbox.counts.sessions == 0
    assert result.exit_code == FAILED
    assert "check that the credentials belong to the organisation" in only_line(result)
