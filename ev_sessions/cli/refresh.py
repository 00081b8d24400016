"""Runs a range of days through Dagster in this process, batch by batch, and gathers what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from ev_sessions.assets.failures import NEVER_AGAIN, first_cause
from ev_sessions.assets.graph import asset_name
from ev_sessions.assets.raw_sessions import ProgressReport, RawSessionsConfig
from ev_sessions.automation.refresh import range_tags
from ev_sessions.cli.home import recorded_runs
from ev_sessions.cli.months import month_runs
from ev_sessions.days import DayRange
from ev_sessions.definitions import build_defs
from ev_sessions.errors import EvSessionsError
from ev_sessions.settings import Settings
from ev_sessions.tables import DAILY_TABLES, RAW_SESSIONS


class RunFailed(EvSessionsError):
    """A run that Dagster recorded as failed; the message is its first cause."""


class RunStopped(EvSessionsError):
    """A run that somebody stopped, with Ctrl-C for example."""


@dataclass(slots=True)
class Outcome:
    """What a refresh did; `seconds` are wall time by step.

    `vehicles` are those due, `vehicles_failed` those that could not be read (over several batches: of the worst of them).
    `sessions` stand as the answers have them, new or not. `requests` are all that were sent: for users, vehicles, sessions
    and tokens, repeated ones (`retries`) included; to `refused_429` of them the API answered 429.
    """

    days: DayRange
    vehicles: int = 0
    vehicles_failed: int = 0
    sessions: int = 0
    requests: int = 0
    retries: int = 0
    refused_429: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("fetch", "land", "derive", "months", "total"), 0.0))

    def as_json(self) -> dict[str, Any]:
        """The outcome as one JSON object."""
        return {
            "days": {"from": self.days.first.isoformat(), "to": self.days.last.isoformat(), "count": len(self.days)},
            "vehicles": self.vehicles,
            "vehicles_failed": self.vehicles_failed,
            "sessions": self.sessions,
            "requests": self.requests,
            "retries": self.retries,
            "refused_429": self.refused_429,
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }


def refresh(
    environ: Mapping[str, str], days: DayRange, *, progress: ProgressReport, vehicles_from: Path | None = None
) -> Outcome:
    """Fleet, raw and derived assets for `days`, recorded in the instance under STATE_DIR/dagster.

    A range longer than MAX_PARTITIONS_PER_RUN becomes several runs, one after the other.

    Raises:
        SettingsError: a setting is malformed.
        RunFailed, RunStopped: a run failed, or was stopped; what earlier batches landed stays.
    """
    settings = Settings.from_env(environ)
    outcome = Outcome(days)
    with recorded_runs(settings.dagster_home) as instance:
        batches = days.split(settings.max_partitions_per_run)
        refresh_batches(environ, instance, batches, outcome, progress=progress, vehicles_from=vehicles_from)
    return outcome


def refresh_batches(
    environ: Mapping[str, str],
    instance: dg.DagsterInstance,
    batches: Iterable[DayRange],
    outcome: Outcome,
    *,
    progress: ProgressReport,
    vehicles_from: Path | None = None,
    with_fleet: bool = True,
    tags: Mapping[str, str] | None = None,
) -> None:
    """One run for each of `batches`, in their order, with `tags`, then those that sum the touched months up.

    What each did is added to `outcome`.

    `with_fleet`: the first of them reads the fleet, which then serves all.

    Raises:
        RunFailed, RunStopped: a run failed, or was stopped; what earlier batches landed stays, and stands in `outcome`.
    """
    job = build_defs(environ, resources={"progress": progress}).resolve_job_def("refresh")
    config = RawSessionsConfig(vehicles_from=None if vehicles_from is None else str(vehicles_from))
    began = time.monotonic()
    for number, batch in enumerate(batches):
        result = job.execute_in_process(
            instance=instance,
            asset_selection=None if with_fleet and number == 0 else _DAILY,
            # Nobody repeats behind a person's back what ran in this process.
            tags={**(tags or {}), **range_tags(batch), **NEVER_AGAIN},
            run_config={"ops": {"raw_sessions": {"config": config.model_dump()}}, "loggers": QUIET},
            raise_on_error=False,
        )
        _take_in(result, outcome)
    for result in month_runs(environ, instance, {"loggers": QUIET}):
        _take_in(result, outcome)
    outcome.seconds["total"] += time.monotonic() - began


_DAILY = [dg.AssetKey(asset_name(table)) for table in (RAW_SESSIONS, *DAILY_TABLES)]

QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}
"""The command line tells the story itself; Dagster's own log stays in its history."""


def _take_in(result: dg.ExecuteInProcessResult, outcome: Outcome) -> None:
    if not result.success:
        raise failure_of(result)
    add_told(result.all_events, outcome)


def add_told(events: Iterable[dg.DagsterEvent], outcome: Outcome) -> None:
    """Add the figures of one run to `outcome`: what its assets told as observations, among its `events`."""
    for event in events:
        if event.is_asset_observation:
            told = event.asset_observation_data.asset_observation.metadata
            _add(outcome, {name: value.value for name, value in told.items()})


def _add(outcome: Outcome, told: Mapping[str, Any]) -> None:
    # The same vehicles are asked in every batch; all else adds up.
    outcome.vehicles = max(outcome.vehicles, told.get("vehicles", 0))
    outcome.vehicles_failed = max(outcome.vehicles_failed, told.get("vehicles_failed", 0))
    outcome.sessions += told.get("sessions", 0)
    outcome.requests += told.get("requests", 0) + told.get("token_requests", 0)
    outcome.retries += told.get("retries", 0)
    outcome.refused_429 += told.get("refused_429", 0)
    for step in ("fetch", "land", "derive", "months"):
        outcome.seconds[step] += told.get(f"{step}_seconds", 0.0)


def failure_of(result: dg.ExecuteInProcessResult) -> RunFailed | RunStopped:
    """Why the run failed, or that somebody stopped it."""
    if any(event.is_step_failure and _was_interrupted(event.step_failure_data.error) for event in result.all_events):
        return RunStopped("stopped; run it again: it goes on where it was")
    return RunFailed(first_cause(result.all_events))


def _was_interrupted(error: SerializableErrorInfo | None) -> bool:
    while error is not None and error.cause is not None:
        error = error.cause
    return error is not None and error.cls_name == dg.DagsterExecutionInterruptedError.__name__
