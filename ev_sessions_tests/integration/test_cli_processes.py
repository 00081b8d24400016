"""`ev-sessions run` as real processes: stopped, killed, two at once, and beside a page."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ev_sessions.days import DayRange
from ev_sessions_tests.pipeline import LONG_AFTER, Pipeline, own_setting, pipeline_over, sandbox_with, trailing
from ev_sessions_tests.processes import ended, ev_sessions, free_port, graphql, over_days, running, stopped_by, wait_until

DAYS = trailing(2)
VEHICLES = 160
WORKERS = 8


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Pipeline]:
    """A fleet that takes a few seconds to read, a few vehicles at a time."""
    sandbox = sandbox_with(vehicles=VEHICLES, vehicles_per_user=40, days=4, latency_ms=100)
    with pipeline_over(sandbox, tmp_path) as pipeline, own_setting("max_concurrency", str(WORKERS)):
        yield pipeline


def start(days: DayRange = DAYS) -> subprocess.Popen[str]:
    """`ev-sessions run` over `days`."""
    return over_days("run", days)


def asked_again(fleet: Pipeline) -> int:
    """The vehicles that were asked for more than once."""
    return fleet.sandbox.counts.sessions - VEHICLES


def history(fleet: Pipeline) -> tuple[list[str], int]:
    """The states of the refreshes in the history, the newest first, and how many runs have left their lock behind."""
    home = fleet.state / "dagster"
    with dg.DagsterInstance.from_config(str(home)) as instance:
        runs = instance.get_runs(dg.RunsFilter(job_name="refresh"))
        return [run.status.value for run in runs], len(list((home / "alive").glob("*.lock")))


def assert_lands_the_truth(fleet: Pipeline, outcome: str, days: DayRange = DAYS) -> None:
    expected = {row["id"] for row in fleet.sandbox.truth.fleet_sessions(days.first, days.last, LONG_AFTER)}
    landed = fleet.rows("SELECT id FROM raw.sessions WHERE session_day BETWEEN ? AND ?", days.first, days.last)
    assert sorted(row[0] for row in landed) == sorted(expected)
    told = json.loads(outcome)
    assert (told["vehicles"], told["vehicles_failed"], told["sessions"]) == (VEHICLES, 0, len(expected))
    ((derived,),) = fleet.rows("SELECT sum(sessions) FROM analytics.fleet_daily WHERE session_day BETWEEN ? AND ?", *bounds(days))
    assert derived == len(expected)


def bounds(days: DayRange) -> tuple[object, object]:
    return days.first, days.last


def test_a_killed_run_is_reaped_by_the_next_which_asks_for_little_again_and_lands_the_truth(fleet: Pipeline) -> None:
    stopped_by(signal.SIGKILL, start, fleet.sandbox, after=VEHICLES * 3 // 4)
    assert history(fleet) == (["STARTED"], 1)
    status, outcome, error = ended(start())
    assert status == 0, error
    assert asked_again(fleet) < 0.3 * VEHICLES
    assert history(fleet) == (["SUCCESS", "FAILURE"], 0)
    assert_lands_the_truth(fleet, outcome)
    assert list((fleet.state / "stage").rglob("*.parquet")) == []


def test_ctrl_c_ends_a_run_with_one_line_and_the_next_goes_on_where_it_was(fleet: Pipeline) -> None:
    status, output, error = stopped_by(signal.SIGINT, start, fleet.sandbox, after=VEHICLES // 2)
    assert (status, output) == (1, "")
    assert error == "ev-sessions: stopped; run it again: it goes on where it was\n"
    assert history(fleet) == (["FAILURE"], 0)
    status, outcome, error = ended(start())
    assert status == 0, error
    # Whatever had been answered was staged; only what was under way is asked for again.
    assert asked_again(fleet) <= WORKERS
    assert_lands_the_truth(fleet, outcome)


def test_two_runs_at_once_over_different_days_both_land_their_days(fleet: Pipeline) -> None:
    earlier = DayRange(trailing(4).first, trailing(3).first)
    both = [start(DAYS), start(earlier)]
    outcomes = [ended(process) for process in both]
    assert [status for status, _, _ in outcomes] == [0, 0], outcomes
    for days, (_, outcome, _) in zip((DAYS, earlier), outcomes, strict=True):
        assert_lands_the_truth(fleet, outcome, days)
    assert history(fleet) == (["SUCCESS", "SUCCESS"], 0)


def test_a_page_and_the_first_run_started_together_share_one_history(fleet: Pipeline, tmp_path: Path) -> None:
    port = free_port()
    with running(*ev_sessions("ui", "--port", port), log=tmp_path / "ui.log") as ui:
        status, outcome, error = ended(start())
        assert status == 0, error
        shown = {"runsOrError": {"results": [{"status": "SUCCESS"}]}}
        query = '{ runsOrError(filter: {pipelineName: "refresh"}) { ... on Runs { results { status } } } }'
        wait_until("the page shows the run", lambda: graphql(port, query) == shown, ui)
    assert_lands_the_truth(fleet, outcome)
    assert history(fleet) == (["SUCCESS"], 0)
