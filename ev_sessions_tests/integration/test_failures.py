"""What becomes of a failure: how often it is tried, what a person reads of it, what its first cause is."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import ev_sessions
from ev_sessions.assets.failures import MOST_RETRIES, NEVER_AGAIN, failures_told, first_cause
from ev_sessions.automation.refresh import range_tags
from ev_sessions.definitions import build_defs
from ev_sessions.errors import EvSessionsError, PermanentError, TransientError
from ev_sessions.resources import Clock
from ev_sessions.sandbox.faults import Kind
from ev_sessions_tests.pipeline import Pipeline, failures, named, told_of_run, trailing

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

# An installation of somebody who lets Dagster repeat failed runs too.
EAGER = """
run_retries: {enabled: true, max_retries: 3, retry_on_asset_or_op_failure: true}
telemetry: {enabled: false}
"""


@dataclass
class ImpatientClock(Clock):
    """A clock by which no time passes while somebody waits."""

    waited: list[float] = field(default_factory=list)

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)


@pytest.fixture
def eager(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    home = tmp_path / "eager"
    home.mkdir()
    (home / "dagster.yaml").write_text(EAGER)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@dataclass(frozen=True)
class Refreshed:
    """What came of one refresh: the result, the run as the history has it, and the pauses that it made (s)."""

    result: dg.ExecuteInProcessResult
    run: dg.DagsterRun
    waited: list[float]

    @property
    def attempts(self) -> int:
        """How often a step was begun, the first one that fails included."""
        begun = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_RESTARTED}
        return sum(event.event_type in begun for event in self.result.all_events)


def refresh(
    pipeline: Pipeline,
    instance: dg.DagsterInstance,
    settings: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Refreshed:
    """Run the job `refresh` as the daemon does, by a clock on which pauses take no time."""
    clock = ImpatientClock()
    job = build_defs({**pipeline.environ, **named(settings or {})}, resources={"clock": clock}).resolve_job_def("refresh")
    tags = {**range_tags(trailing(2)), **(tags or {})}
    result = job.execute_in_process(instance=instance, tags=tags, run_config=QUIET, raise_on_error=False)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return Refreshed(result, run, clock.waited)


def all_errors(kind: type[EvSessionsError] = EvSessionsError) -> set[type[EvSessionsError]]:
    return {kind}.union(*(all_errors(narrower) for narrower in kind.__subclasses__()))


def test_every_error_is_either_permanent_or_transient_but_for_what_commands_end_with() -> None:
    for module in pkgutil.walk_packages(ev_sessions.__path__, "ev_sessions."):
        importlib.import_module(module.name)
    for error in all_errors() - {EvSessionsError}:
        is_either = issubclass(error, PermanentError) != issubclass(error, TransientError)
        assert is_either or error.__module__.startswith("ev_sessions.cli."), error


def test_a_permanent_failure_is_tried_once_even_where_dagster_repeats_failed_runs(
    pipeline: Pipeline, eager: dg.DagsterInstance
) -> None:
    pipeline.sandbox.client_secret = "another"  # noqa: S105 - of nothing
    refreshed = refresh(pipeline, eager)
    assert refreshed.attempts == 1
    assert refreshed.run.tags["dagster/will_retry"] == "false"
    assert refreshed.waited == []


def test_a_transient_failure_is_tried_again_after_a_minute_and_after_two(pipeline: Pipeline, eager: dg.DagsterInstance) -> None:
    pipeline.sandbox.fail_next(1000, kind=Kind.USERS)
    refreshed = refresh(pipeline, eager, {"max_attempts": "1"})
    assert refreshed.attempts == 1 + MOST_RETRIES
    first, second = refreshed.waited
    assert 60 <= first <= 90
    assert 120 <= second <= 180
    (sentence,) = failures(refreshed.result)
    assert sentence == "the organisation's users: the API answers 503; gave up after 1 attempts, try again later"


def test_a_failure_that_passes_is_forgotten(pipeline: Pipeline, eager: dg.DagsterInstance) -> None:
    pipeline.sandbox.fail_next(kind=Kind.USERS)
    refreshed = refresh(pipeline, eager, {"max_attempts": "1"})
    assert refreshed.result.success
    assert len(refreshed.waited) == 1


def test_what_an_attempt_has_staged_is_not_asked_for_by_the_next(pipeline: Pipeline, eager: dg.DagsterInstance) -> None:
    vehicles = pipeline.sandbox.options.vehicles
    pipeline.sandbox.at_request(vehicles, lambda: pipeline.sandbox.fail_next(2))
    refreshed = refresh(pipeline, eager, {"max_concurrency": "1", "retry_budget": "0"})
    assert refreshed.result.success
    assert told_of_run(refreshed.result, "raw_sessions")["vehicles_resumed"] == vehicles - 1


def test_nothing_of_a_run_of_the_command_line_is_repeated(pipeline: Pipeline, eager: dg.DagsterInstance) -> None:
    pipeline.sandbox.fail_next(1000, kind=Kind.USERS)
    refreshed = refresh(pipeline, eager, {"max_attempts": "1"}, tags=NEVER_AGAIN)
    assert refreshed.attempts == 1
    assert refreshed.run.tags["dagster/will_retry"] == "false"


def test_a_failure_is_one_sentence_with_its_details_beside_it(pipeline: Pipeline) -> None:
    pipeline.sandbox.client_secret = "another"  # noqa: S105 - of nothing
    refreshed = refresh(pipeline, pipeline.instance)
    (failed,) = (event.step_failure_data for event in refreshed.result.all_events if event.is_step_failure)
    assert failed.user_failure_data is not None
    told = {name: value.value for name, value in failed.user_failure_data.metadata.items()}
    assert told == {"error": "CredentialsRefused", "may_work_later": False}
    assert first_cause(refreshed.result.all_events) == failed.user_failure_data.description


class SecretInItError(Exception):
    """Something that nobody foresaw, with data in its text."""


def cause_of(**what: Any) -> str:  # noqa: ANN401 - whatever a code location is made of
    """The first cause of a run of everything there is."""
    job = dg.Definitions(**what, executor=dg.in_process_executor).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, run_config=QUIET, raise_on_error=False)
        assert not result.success
        return first_cause(result.all_events)


def test_of_an_unforeseen_error_the_cause_names_step_and_class_and_no_data() -> None:
    @dg.asset
    def surprising() -> None:
        raise SecretInItError("vehicle 4711 of Jane Doe")

    assert cause_of(assets=[surprising]) == "surprising failed with SecretInItError; its log tells more"


def test_the_cause_of_a_failing_blocking_check_is_what_it_found() -> None:
    @dg.asset
    def checked() -> None: ...

    @dg.asset_check(asset=checked, blocking=True)
    def is_right() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, description="3 rows stand twice")

    assert cause_of(assets=[checked], asset_checks=[is_right]) == "is_right: 3 rows stand twice"


def test_the_cause_of_a_transient_failure_is_its_last_attempt() -> None:
    messages = iter(["the first", "the second", "the third"])

    @dg.asset
    def failing(context: dg.AssetExecutionContext) -> None:
        with failures_told(context, ImpatientClock()):
            raise TransientError(next(messages))

    assert cause_of(assets=[failing]) == "the third"


def test_the_cause_of_a_run_whose_process_was_told_to_end_says_so() -> None:
    @dg.asset
    def ended() -> None:
        raise dg.DagsterExecutionInterruptedError

    assert cause_of(assets=[ended]) == "the process that ran it was told to end, as when the services are restarted"


@pytest.mark.parametrize(
    ("reported", "cause"),
    [
        (None, "the process that ran it is gone: killed, or marked as failed by somebody"),
        ("Run timed out due to taking longer than 180 seconds to start.",) * 2,
    ],
)
def test_the_cause_of_a_run_that_somebody_else_reports_as_failed_is_what_they_say(reported: str | None, cause: str) -> None:
    @dg.job
    def work() -> None: ...

    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(work)
        instance.report_run_failed(run, reported)
        events = [entry.dagster_event for entry in instance.all_logs(run.run_id)]
    assert first_cause(event for event in events if event) == cause


def test_the_cause_of_a_run_whose_resources_cannot_be_made_is_the_project_s_own_sentence() -> None:
    @dg.resource
    def unmade(_: dg.InitResourceContext) -> None:
        raise PermanentError("EV_SESSIONS_ORG_ID is not set; set it")

    @dg.asset(required_resource_keys={"unmade"})
    def asking() -> None: ...

    assert cause_of(assets=[asking], resources={"unmade": unmade}) == "EV_SESSIONS_ORG_ID is not set; set it"
