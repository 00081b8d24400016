"""`ev-sessions backfill`: what it says beforehand is what it then asks; stopped or killed, it goes on and asks nothing twice."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import dagster as dg
import pytest
import typer
from typer.testing import CliRunner, Result

from ev_sessions.automation.refresh import range_tags
from ev_sessions.cli.backfill import begun_or_new
from ev_sessions.cli.home import recorded_runs
from ev_sessions.cli.main import STOPPED, app, one_line_errors
from ev_sessions.days import DayRange
from ev_sessions.definitions import build_defs
from ev_sessions.sandbox import Quirks
from ev_sessions_tests.pipeline import (
    LAST_DAY,
    LONG_AFTER,
    Pipeline,
    named,
    own_setting,
    pipeline_over,
    sandbox_with,
    trailing,
    write_fleet_file,
)
from ev_sessions_tests.processes import LIMIT, ended, over_days, stopped_by

FAILED, WRONG_USE, INCOMPLETE = 1, 2, 3
VEHICLES, WORKERS = 60, 4
YEAR = 365
FOUR = trailing(4)


def backfill(*options: object, days: DayRange = FOUR, **settings: str) -> Result:
    """`ev-sessions backfill` of `days`, with `settings` (short names) beside those of the environment."""
    arguments = ["backfill", "--from", days.first, "--to", days.last, *options]
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=named(settings))


def told(result: Result) -> dict[str, Any]:
    """The JSON object that a command printed."""
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def history(pipeline: Pipeline) -> list[dg.DagsterRun]:
    """The runs of backfills in the history under the state folder, oldest first."""
    with dg.DagsterInstance.from_config(str(pipeline.state / "dagster")) as instance:
        return [run for run in instance.get_runs(ascending=True) if "ev_sessions/backfill" in run.tags]


def files_in(folder: Path) -> dict[Path, int]:
    """Every file under `folder`, and when it was changed."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Pipeline]:
    """A fleet of eight, four days long, in batches of two days."""
    with (
        pipeline_over(sandbox_with(vehicles=8, days=4), tmp_path) as pipeline,
        own_setting("max_partitions_per_run", "2"),
    ):
        yield pipeline


def read_a_day() -> None:
    day = str(LAST_DAY)
    assert CliRunner().invoke(app, ["run", "--from", day, "--to", day, "--json"]).exit_code == 0


def test_a_year_of_a_thousand_vehicles_asks_four_times_a_vehicle_and_what_was_said_beforehand(tmp_path: Path) -> None:
    # It is requests that count: sessions on the last days alone are enough.
    sandbox = sandbox_with(vehicles=1_000, vehicles_per_user=100, days=3)
    truth = sandbox.truth
    fleet = write_fleet_file(tmp_path / "fleet.csv", [(truth.owner(vehicle), vehicle) for vehicle in truth.vehicle_ids()])
    year = trailing(YEAR)
    with (
        pipeline_over(sandbox, tmp_path) as pipeline,
        own_setting("first_day", str(year.first)),
        own_setting("fleet_file", str(fleet)),
    ):
        read_a_day()
        sandbox.counts.reset()
        said = told(backfill("--dry-run", "--json", days=year))
        assert (said["batches"], said["vehicles"], said["requests"]["sessions"]) == (4, 1_000, 4 * 1_000)
        assert sandbox.counts.total == 0
        # A batch asks once a vehicle, however many days it has: three will do.
        last = trailing(3)
        said = told(backfill("--dry-run", "--json", days=last))["requests"]
        outcome = told(backfill("--json", days=last))
        assert said["sessions"] + said["further_pages"] == sandbox.counts.sessions == 1_000
        assert outcome["requests"] == said["total"] == sandbox.counts.total
        assert pipeline.rows("SELECT count(*) FROM raw.sessions") == [(outcome["sessions"],)]


def test_further_pages_are_expected_as_the_sessions_known_so_far_let_expect(tmp_path: Path) -> None:
    days = trailing(8)
    with pipeline_over(sandbox_with(vehicles=20, days=len(days)), tmp_path) as pipeline, own_setting("page_size", "2"):
        assert told(backfill("--json", days=days))["batches"] == 1
        pipeline.sandbox.counts.reset()
        said = told(backfill("--dry-run", "--json", days=days))["requests"]
        assert said["further_pages"] > 20
        assert backfill("--json", days=days).exit_code == 0
        assert said["sessions"] + said["further_pages"] == pipeline.sandbox.counts.sessions


def test_a_dry_run_asks_nothing_and_writes_nothing(small: Pipeline) -> None:
    read_a_day()
    small.sandbox.counts.reset()
    before = files_in(small.state)
    result = backfill("--dry-run")
    assert result.exit_code == 0, result.stderr
    assert small.sandbox.counts.total == 0
    assert files_in(small.state) == before
    first, second, third = result.stdout.splitlines()
    assert first == f"Backfill of {FOUR}: 2 batches to do."
    assert second == ("8 vehicles, about 30 requests: 16 for sessions, 0 for further pages, 10 for the fleet, 4 for tokens.")
    assert " requests/s, the pace of the run of " in third


def test_a_ceiling_below_the_last_pace_is_what_the_time_is_reckoned_with(small: Pipeline) -> None:
    read_a_day()
    said = told(backfill("--dry-run", "--json", max_requests_per_second="0.5"))
    assert said["requests_per_second"] == 0.5
    assert said["seconds"]["asking"] == 60
    assert small.sandbox.counts.sessions == 8
    people = backfill("--dry-run", max_requests_per_second="0.5").stdout
    assert "60 s of asking at 0.5 requests/s, the ceiling EV_SESSIONS_MAX_REQUESTS_PER_SECOND." in people


def test_how_long_landing_takes_is_told_by_runs_of_a_week_and_not_by_shorter_ones(tmp_path: Path) -> None:
    days = trailing(8)
    with pipeline_over(sandbox_with(vehicles=2, days=len(days)), tmp_path):
        read_a_day()
        assert told(backfill("--dry-run", "--json", days=days))["seconds"]["other"] is None
        assert told(backfill("--json", days=days))["batches"] == 1
        assert told(backfill("--dry-run", "--json", days=days))["seconds"]["other"] > 0


def test_without_a_known_fleet_a_dry_run_says_what_to_do_and_makes_nothing(small: Pipeline) -> None:
    result = backfill("--dry-run")
    assert (result.exit_code, result.stdout) == (FAILED, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("ev-sessions: no vehicle is known yet, so nothing can be said beforehand; `ev-sessions run ")
    assert not small.state.exists()


def test_it_reads_all_days_behind_the_daily_work_and_starts_anew_once_it_is_done(small: Pipeline) -> None:
    result = backfill()
    assert result.exit_code == 0, result.stderr
    assert "No vehicle is known yet, so nothing can be said beforehand: the first batch reads the fleet." in result.stderr
    assert "2 of 2 batches are done" in result.stderr
    assert f"Charging sessions, {FOUR}" in result.stdout
    assert small.sandbox.counts.sessions == 2 * 8
    runs = history(small)
    assert [(run.tags["dagster/priority"], run.tags["dagster/max_retries"]) for run in runs] == [("-5", "0")] * 2

    outcome = told(backfill("--json"))
    assert (outcome["batches"], outcome["batches_done_before"]) == (2, 0)
    assert small.sandbox.counts.sessions == 4 * 8
    assert len({run.tags["ev_sessions/backfill"] for run in history(small)}) == 2


def test_after_a_failed_batch_the_same_command_goes_on_from_there_and_tells_of_the_whole(small: Pipeline) -> None:
    truth = small.sandbox.truth
    everybody_fails = {vehicle: Quirks(status=500) for vehicle in truth.vehicle_ids()}
    small.sandbox.at_request(8 + 1, lambda: small.sandbox.quirks.update(everybody_fails))
    result = backfill("--json", max_attempts="2")
    assert result.exit_code == FAILED
    (line,) = result.stderr.splitlines()
    assert line.endswith("1 of 2 batches are done, the same command goes on from there")
    small.sandbox.quirks.clear()
    small.sandbox.counts.reset()

    assert told(backfill("--dry-run", "--json"))["requests"]["fleet"] == 0
    too_old = told(backfill("--dry-run", "--json", stage_max_age_hours="0"))
    assert too_old["requests"]["fleet"] == 10
    small.sandbox.quirks[truth.vehicle_ids()[0]] = Quirks(status=500)
    goes_on = backfill("--json", max_attempts="2")
    assert goes_on.exit_code == INCOMPLETE, goes_on.stderr
    outcome = json.loads(goes_on.stdout)
    assert (outcome["batches"], outcome["batches_done_before"], outcome["vehicles_failed"]) == (1, 1, 1)
    assert (small.sandbox.counts.sessions, small.sandbox.counts.users, small.sandbox.counts.vehicles) == (8 + 1, 0, 0)
    ((landed,),) = small.rows("SELECT count(*) FROM raw.sessions")
    assert outcome["sessions"] == landed


def test_ctrl_c_outside_of_a_run_says_how_to_go_on_too(capsys: pytest.CaptureFixture[str]) -> None:
    @one_line_errors
    def command() -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(typer.Exit) as ending:
        command()
    assert ending.value.exit_code == STOPPED
    assert capsys.readouterr().err == "ev-sessions: stopped; the same command goes on where it was\n"


@pytest.mark.parametrize("option", ["--json", "--dry-run"])
def test_days_that_cannot_be_read_are_wrong_use(small: Pipeline, option: str) -> None:
    result = backfill(option, days=DayRange(FOUR.first.replace(year=2020), FOUR.last))
    assert result.exit_code == WRONG_USE
    assert "lies before the first day" in result.stderr
    assert not small.state.exists()


def test_a_second_one_beside_it_is_refused(small: Pipeline) -> None:
    reached, over = Event(), Event()

    def hold() -> None:
        reached.set()
        over.wait(LIMIT)

    small.sandbox.at_request(3, hold)
    first = start()
    try:
        assert reached.wait(LIMIT)
        result = backfill("--json")
        over.set()
        assert ended(first)[0] == 0
    finally:
        over.set()
        first.kill()
        first.communicate()
    assert result.exit_code == FAILED
    assert f"another process works on the backfill of {FOUR}; wait for it, or end it" in result.stderr


def test_a_run_that_a_killed_command_had_made_and_not_started_is_in_nobody_s_way(small: Pipeline) -> None:
    with recorded_runs(small.state / "dagster") as instance:
        left = begun_or_new(instance, FOUR)
        instance.create_run_for_job(build_defs(small.environ).resolve_job_def("refresh"), tags=left.tags | range_tags(FOUR))
    assert told(backfill("--json"))["batches"] == 2


def start(days: DayRange = FOUR) -> subprocess.Popen[str]:
    """`ev-sessions backfill` over `days`."""
    return over_days("backfill", days)


def test_stopped_once_and_killed_once_it_ends_as_if_nothing_had_happened_and_asks_for_little_twice(tmp_path: Path) -> None:
    sandbox = sandbox_with(vehicles=VEHICLES, vehicles_per_user=20, days=4, latency_ms=40)
    with (
        pipeline_over(sandbox, tmp_path) as fleet,
        own_setting("max_concurrency", str(WORKERS)),
        own_setting("max_partitions_per_run", "2"),
    ):
        status, output, error = stopped_by(signal.SIGINT, start, fleet.sandbox, after=VEHICLES // 2)
        assert (status, output) == (FAILED, "")
        assert error == "ev-sessions: stopped; 0 of 2 batches are done, the same command goes on from there\n"
        fleet_requests = (fleet.sandbox.counts.users, fleet.sandbox.counts.vehicles)

        stopped_by(signal.SIGKILL, start, fleet.sandbox, after=VEHICLES * 3 // 2)
        status, output, error = ended(start())
        assert (status, error) == (0, ""), error

        outcome = json.loads(output)
        truth = sandbox.truth.totals(FOUR.first, FOUR.last, LONG_AFTER)
        assert (outcome["batches"], outcome["batches_done_before"], outcome["sessions"]) == (1, 1, truth.rows)
        assert fleet.rows("SELECT count(*), sum(energy_charged_kwh) FROM raw.sessions") == [(truth.rows, truth.energy_kwh)]
        assert (fleet.sandbox.counts.users, fleet.sandbox.counts.vehicles) == fleet_requests
        # A stop loses what is under way; a kill loses at most what waits for its part file as well.
        assert fleet.sandbox.counts.sessions - 2 * VEHICLES <= 2 * WORKERS + 8
        assert {run.status.value for run in history(fleet)} == {"FAILURE", "SUCCESS"}


def test_what_is_left_is_cut_as_at_the_beginning(tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        found = begun_or_new(instance, FOUR)
        assert found.batches(3) == FOUR.split(3)
        assert not found.begun
