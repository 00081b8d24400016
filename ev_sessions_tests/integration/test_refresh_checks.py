"""Checks on their own: without a run before them, without partitions, over days that nobody has read."""

from __future__ import annotations

import dagster as dg

from ev_sessions.automation.refresh import range_tags
from ev_sessions.days import DayRange
from ev_sessions.definitions import build_defs
from ev_sessions.warehouse.rules import BY_NAME, Family
from ev_sessions_tests.pipeline import Pipeline, failures, findings, named, trailing

CHECKS = {
    "every_vehicle_read",
    "distinct_ids_match_total",
    "no_row_outside_window",
    "ids_of_one_vehicle",
    "keys_unique",
}


KEYS = [dg.AssetCheckKey(dg.AssetKey("raw_sessions"), name) for name in sorted(CHECKS)]


def run_checks(pipeline: Pipeline, days: DayRange | None = None, **settings: str) -> dg.ExecuteInProcessResult:
    """A run of the checks and of nothing else, over the partitions `days` or over none."""
    location = dg.Definitions.merge(
        build_defs({**pipeline.environ, **named(settings)}),
        dg.Definitions(jobs=[dg.define_asset_job("checks_alone", selection=dg.AssetSelection.checks(*KEYS))]),
    )
    job = location.resolve_job_def("checks_alone")
    return job.execute_in_process(
        instance=pipeline.instance, tags=range_tags(days) if days else {}, raise_on_error=False, run_config=QUIET
    )


QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def days_told(result: dg.ExecuteInProcessResult, check: str) -> object:
    (metadata,) = [found.metadata for found in result.get_asset_check_evaluations() if found.check_name == check]
    return metadata["days"].value if "days" in metadata else None


def test_checks_run_alone_and_without_partitions_look_at_the_trailing_days(pipeline: Pipeline) -> None:
    pipeline.refresh(trailing(2))
    result = run_checks(pipeline)
    assert set(findings(result)) == CHECKS
    # The sandbox's days are long past, so none of the trailing ones has been read.
    assert not findings(result)["every_vehicle_read"]
    assert findings(result)["keys_unique"]


def test_checks_of_a_range_look_at_its_days_and_name_those_that_were_not_read(pipeline: Pipeline) -> None:
    pipeline.refresh(trailing(2))
    assert findings(run_checks(pipeline, trailing(2)))["every_vehicle_read"]
    wider = run_checks(pipeline, trailing(4))
    assert not findings(wider)["every_vehicle_read"]
    assert days_told(wider, "every_vehicle_read") == [day.isoformat() for day in trailing(4)][:2]


def test_a_check_that_asks_what_a_rule_asks_is_as_severe_as_the_rule(pipeline: Pipeline) -> None:
    pipeline.refresh(trailing(2))
    severities = {found.check_name: found.severity.value for found in run_checks(pipeline).get_asset_check_evaluations()}
    rules = {
        "distinct_ids_match_total": "count_mismatch",
        "no_row_outside_window": "outside_window",
        "ids_of_one_vehicle": "id_of_two_vehicles",
    }
    for check, rule in rules.items():
        assert severities[check].lower() == BY_NAME[rule].severity


def test_each_check_can_be_run_by_itself(pipeline: Pipeline) -> None:
    pipeline.refresh(trailing(2))
    chosen = dg.AssetCheckKey(dg.AssetKey("raw_sessions"), "keys_unique")
    location = dg.Definitions.merge(
        build_defs(pipeline.environ),
        dg.Definitions(jobs=[dg.define_asset_job("one_check", selection=dg.AssetSelection.checks(chosen))]),
    )
    result = location.resolve_job_def("one_check").execute_in_process(instance=pipeline.instance, run_config=QUIET)
    assert findings(result) == {"keys_unique": True}


def test_checks_before_the_first_run_say_what_to_do(pipeline: Pipeline) -> None:
    result = run_checks(pipeline)
    assert not result.success
    (told,) = failures(result)
    assert "no database at" in told
    assert "ev-sessions run" in told


def test_a_refresh_runs_these_checks_and_not_those_of_freshness(pipeline: Pipeline) -> None:
    of_derived = {"figures_agree", *(family.value for family in Family)}
    assert set(findings(pipeline.refresh(trailing(2)))) == CHECKS | of_derived
