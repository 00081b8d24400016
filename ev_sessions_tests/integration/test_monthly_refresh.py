"""Months in Dagster: a refresh has those summed up again that it touched, however old, and no others. Real runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ev_sessions.assets.failures import NEVER_AGAIN
from ev_sessions.assets.graph import Graph
from ev_sessions.assets.monthly import month_partitions
from ev_sessions.automation.refresh import range_tags
from ev_sessions.days import DayRange
from ev_sessions.definitions import build_defs
from ev_sessions_tests.pipeline import LONG_AFTER, Pipeline, failures, pipeline_over, sandbox_with, told_by_day

FEBRUARY, MARCH = date(2025, 2, 1), date(2025, 3, 1)
DAYS = DayRange(date(2025, 2, 24), date(2025, 3, 3))
OLD_DAY = date(2025, 2, 25)
TODAY = DayRange(DAYS.last, DAYS.last)
MONTHS = dg.AssetKey(["monthly_savings"])
CONTENTS = "SELECT date_trunc('month', report_date)::DATE, id, energy_charged_kwh, actual_savings_eur FROM analytics.sessions"
QUIET: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Operation:
    """A code location whose automation is evaluated as the daemon does it, tick after tick."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._location = build_defs(pipeline.environ)
        self._cursor: Any = None

    def requested(self) -> set[date]:
        """The months that the next tick asks for."""
        selection = dg.AssetSelection.assets(MONTHS)
        tick = dg.evaluate_automation_conditions(self._location, self.pipeline.instance, selection, cursor=self._cursor)
        self._cursor = tick.cursor
        return {date.fromisoformat(key or "") for key in tick.get_requested_partitions(MONTHS)}

    def sum_up(self, months: Iterable[date]) -> dg.ExecuteInProcessResult:
        """Materialize the months from the first to the last of `months` in one run."""
        job = self._location.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self.pipeline.instance,
            asset_selection=[MONTHS],
            tags=range_tags(DayRange(min(months), max(months))) | NEVER_AGAIN,
            run_config=QUIET,
            raise_on_error=False,
        )

    def by_day(self) -> list[Any]:
        return self.pipeline.rows(
            "SELECT date_trunc('month', report_date)::DATE AS month, user_id, sum(sessions), sum(savings_eur), sum(energy_kwh) "
            "FROM analytics.daily_savings GROUP BY ALL ORDER BY ALL"
        )

    def by_month(self) -> list[Any]:
        return self.pipeline.rows(
            "SELECT report_month, user_id, sessions, savings_eur, energy_kwh FROM analytics.monthly_savings ORDER BY ALL"
        )


@pytest.fixture
def operation(tmp_path: Path) -> Iterator[Operation]:
    """The days around the end of February, first read long after them."""
    with pipeline_over(sandbox_with(end=DAYS.last, days=len(DAYS)), tmp_path) as pipeline:
        operation = Operation(pipeline)
        assert operation.requested() == set()
        assert pipeline.refresh(DAYS).success
        yield operation


@pytest.fixture
def settled(operation: Operation) -> Operation:
    operation.sum_up(operation.requested())
    assert operation.requested() == set()
    return operation


def test_a_refresh_has_exactly_the_months_summed_up_that_its_sessions_report_to(operation: Operation) -> None:
    months = operation.requested()
    assert months == {month for month, *_ in operation.by_day()} == {FEBRUARY, MARCH}
    assert operation.by_month() == []
    operation.sum_up(months)
    assert operation.by_month() == operation.by_day()
    assert operation.requested() == set()


def test_a_refresh_that_changes_nothing_requests_nothing(settled: Operation) -> None:
    settled.pipeline.refresh(DAYS)
    assert settled.requested() == set()


def test_a_change_of_an_old_day_requests_its_month_and_no_other(settled: Operation) -> None:
    ((withdrawn,),) = settled.pipeline.rows(
        "SELECT id FROM analytics.sessions WHERE session_day = ? AND report_date < ? LIMIT 1", OLD_DAY, MARCH
    )
    settled.pipeline.sandbox.withdraw([withdrawn])
    settled.pipeline.refresh(DAYS)
    assert settled.requested() == {FEBRUARY}
    settled.sum_up([FEBRUARY])
    assert settled.by_month() == settled.by_day()


def test_a_session_that_moves_over_a_months_end_requests_the_month_it_had_and_the_one_it_has(settled: Operation) -> None:
    ((moved,),) = settled.pipeline.rows(
        "SELECT id FROM analytics.sessions WHERE session_day = ? AND report_date < ? LIMIT 1", OLD_DAY, MARCH
    )
    end = "unplug_time = unplug_time + INTERVAL 7 DAY, content_hash = 'of a session that ended a week later'"
    settled.pipeline.change(f"UPDATE raw.sessions SET {end} WHERE id = ?", moved)
    settled.pipeline.change("INSERT INTO raw.touched_days VALUES (?, now(), 'test')", OLD_DAY)
    settled.pipeline.refresh(TODAY)
    assert settled.requested() == {FEBRUARY, MARCH}
    settled.sum_up([FEBRUARY, MARCH])
    # Now the API says that it ended when it first said it did.
    settled.pipeline.refresh(DayRange(OLD_DAY, OLD_DAY))
    assert settled.requested() == {FEBRUARY, MARCH}
    settled.sum_up([FEBRUARY, MARCH])
    assert settled.by_month() == settled.by_day()


def test_a_restatement_that_time_brings_requests_the_months_of_the_sessions_restated(tmp_path: Path) -> None:
    with pipeline_over(sandbox_with(end=DAYS.last, days=len(DAYS), restated_rate=1), tmp_path) as pipeline:
        operation = Operation(pipeline)
        pipeline.sandbox.now = datetime(2025, 2, 27, 3, 15, tzinfo=UTC)
        pipeline.refresh(DAYS)
        operation.requested()
        operation.sum_up([FEBRUARY, MARCH])
        operation.requested()
        before = set(pipeline.rows(CONTENTS))
        pipeline.sandbox.now = LONG_AFTER
        pipeline.refresh(DayRange(OLD_DAY, OLD_DAY))
        requested = operation.requested()
        assert requested == {month for month, *_ in before ^ set(pipeline.rows(CONTENTS))} == {FEBRUARY}
        operation.sum_up(requested)
        assert operation.by_month() == operation.by_day()


def test_a_month_that_is_touched_again_while_it_is_summed_up_is_requested_again(operation: Operation) -> None:
    assert MARCH in operation.requested()
    operation.pipeline.refresh(TODAY)
    assert MARCH in operation.requested()


def test_each_month_shows_its_own_figures(settled: Operation) -> None:
    settled.pipeline.change("INSERT INTO raw.touched_months VALUES (?, now(), 'test')", FEBRUARY)
    told = told_by_day(settled.sum_up([FEBRUARY, MARCH]), "monthly_savings")
    totals = {
        month: (rows, sessions)
        for month, rows, sessions in settled.pipeline.rows(
            "SELECT report_month, count(*), sum(sessions) FROM analytics.monthly_savings GROUP BY ALL"
        )
    }
    for month in (FEBRUARY, MARCH):
        assert (told[month]["dagster/partition_row_count"], told[month]["sessions"]) == totals[month]
    assert {told[month]["is_final"] for month in (FEBRUARY, MARCH)} == {False}


def test_each_sum_is_compared_with_its_sessions_and_its_published_file(operation: Operation) -> None:
    result = operation.sum_up(operation.requested())
    (evaluation,) = result.get_asset_check_evaluations()
    assert (evaluation.check_name, evaluation.passed) == ("months_agree", True)
    assert evaluation.description == "2 months, and what is published of them, add up"


def test_a_sum_that_is_not_that_of_its_sessions_is_red_and_fails_its_run_in_the_same_words(settled: Operation) -> None:
    # The daily savings tell on which days a month has sessions.
    settled.pipeline.change("DELETE FROM analytics.daily_savings WHERE session_day = ? AND report_date < ?", OLD_DAY, MARCH)
    settled.pipeline.change("DELETE FROM analytics.fleet_daily WHERE session_day = ?", OLD_DAY)
    settled.pipeline.change("UPDATE analytics.sessions SET report_date = '2025-03-02' WHERE session_day = ?", OLD_DAY)
    result = settled.sum_up([FEBRUARY, MARCH])
    (evaluation,) = result.get_asset_check_evaluations()
    assert not result.success
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert evaluation.description is not None
    assert evaluation.description.startswith("sessions of 2025-03-01 is ")
    assert "`ev-sessions requarantine --from 2025-02-25 --to 2025-03-03`" in evaluation.description
    assert failures(result) == [evaluation.description]


def test_a_month_without_a_partition_goes_with_the_nearest_one() -> None:
    graph = Graph.daily(first_day=date(2025, 2, 20), days_per_run=92)
    this_month = graph.months.get_partition_keys()[-1]
    assert month_partitions(graph, [date(2024, 12, 1), FEBRUARY, MARCH, date(2099, 1, 1)]) == [
        "2025-02-01",
        "2025-03-01",
        this_month,
    ]


def test_a_month_before_the_first_partition_is_summed_up_with_it(settled: Operation) -> None:
    settled.pipeline.change("INSERT INTO raw.touched_months VALUES (?, now(), 'test')", date(2024, 12, 1))
    settled.pipeline.refresh(TODAY)
    assert settled.requested() == {FEBRUARY}
    settled.sum_up([FEBRUARY])
    assert settled.pipeline.rows("FROM raw.touched_months") == []


def test_the_sensor_runs_from_the_start_only_where_the_settings_say_so() -> None:
    statuses = {
        on: build_defs({"EV_SESSIONS_SCHEDULES": on}).resolve_sensor_def("monthly_refresh").default_status for on in ("on", "off")
    }
    assert statuses == {"on": dg.DefaultSensorStatus.RUNNING, "off": dg.DefaultSensorStatus.STOPPED}
