"""`ev-sessions backfill`: says beforehand what it costs, goes on where it was stopped, stands behind the daily work.

Its runs carry two tags: the days that were asked for and, since the same days may be read again later, the id of this backfill.
What is done already stands in Dagster's history alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import typer
from rich.console import Console
from rich.text import Text

from ev_sessions.assets.raw_sessions import ProgressReport
from ev_sessions.automation.refresh import PRIORITIES, Kind, run_days
from ev_sessions.cli.estimate import Estimate, expected_requests, last_pace
from ev_sessions.cli.home import existing_history, recorded_runs
from ev_sessions.cli.progress import ProgressBar
from ev_sessions.cli.refresh import Outcome, RunFailed, RunStopped, add_told, refresh_batches
from ev_sessions.cli.run import require_partitions, show_outcome
from ev_sessions.days import DayRange, consecutive, utc_today
from ev_sessions.errors import PermanentError
from ev_sessions.file_locks import locked
from ev_sessions.resources import PartnerApiResource
from ev_sessions.settings import Settings, variable
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.failures import DatabaseMissing
from ev_sessions.warehouse.fleet import fleet_seen_at

ID_TAG = "ev_sessions/backfill"
DAYS_TAG = "ev_sessions/backfill_days"

_SECONDS_BEFORE_MINUTES = 120
_MINUTES_BEFORE_HOURS = 120
_WHOLE_RATES = 10


class FleetUnknown(PermanentError):
    """Nothing can be said of a backfill, since no vehicle is known yet."""


class BackfillUnderWay(PermanentError):
    """Another process works on the backfill of the same days."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """One backfill of `days`: its id, and the ids of the runs that succeeded, by their days.

    `begun`: an earlier command has worked on it.
    """

    id: str
    days: DayRange
    done: Mapping[DayRange, str]
    begun: bool = False

    def batches(self, size: int) -> list[DayRange]:
        """What is left to do, in runs of at most `size` days; cut as at the beginning, so that staged answers are used."""
        left = set(self.days).difference(*self.done)
        return [batch for gap in consecutive(left) for batch in gap.split(size)]

    @property
    def tags(self) -> dict[str, str]:
        """The tags of each of its runs, besides the days."""
        priority = {"dagster/priority": str(PRIORITIES[Kind.BACKFILL])}
        return priority | {ID_TAG: self.id, DAYS_TAG: str(self.days)}


@dataclass(frozen=True, slots=True)
class Prospect:
    """What is to be done, and what it is expected to cost; `estimate` is None where no vehicle is known yet."""

    backfill: Backfill
    batches: Sequence[DayRange]
    with_fleet: bool
    estimate: Estimate | None


def tell_backfill(environ: Mapping[str, str], days: DayRange, *, as_json: bool) -> None:
    """Print what a backfill of `days` would cost. Asks the API nothing and writes nothing.

    Raises:
        DayRangeError: a day that has no partition.
        FleetUnknown: nothing is known to judge by.
        SettingsError, DatabaseLocked, HomeUnusable: see their own words.
    """
    settings, api = _prepared(environ, days)
    with existing_history(settings.dagster_home) as instance:
        prospect = _prospect(instance, api, settings, days)
    if prospect.estimate is None:
        raise FleetUnknown(
            "no vehicle is known yet, so nothing can be said beforehand; "
            "`ev-sessions run --from DAY --to DAY` over one day reads the fleet"
        )
    if as_json:
        typer.echo(json.dumps(_as_json(prospect, prospect.estimate)))
    else:
        _show(Console(highlight=False), prospect)


def run_backfill(environ: Mapping[str, str], days: DayRange, *, as_json: bool) -> int:
    """Say what a backfill of `days` costs, run what is left of it, and print the outcome of all of it.

    Gives the number of vehicles that could not be read.

    Raises:
        DayRangeError: a day that has no partition.
        RunFailed, RunStopped: a batch failed, or somebody stopped it; the same call goes on from there.
        SettingsError, DatabaseLocked, HomeUnusable, BackfillUnderWay: see their own words.
    """
    settings, api = _prepared(environ, days)
    api.client_config()
    with recorded_runs(settings.dagster_home) as instance, _alone(settings.dagster_home, days):
        prospect = _prospect(instance, api, settings, days)
        outcome = _done_before(instance, prospect.backfill)
        if as_json:
            _run(environ, instance, prospect, outcome, ProgressReport(), prospect.batches)
        else:
            _show(Console(stderr=True, highlight=False), prospect)
            with ProgressBar(Console(stderr=True)) as bar:
                _run(environ, instance, prospect, outcome, bar, bar.over(prospect.batches, done=len(prospect.backfill.done)))
    if as_json:
        told = {"batches": len(prospect.batches), "batches_done_before": len(prospect.backfill.done)}
        typer.echo(json.dumps(outcome.as_json() | told))
    else:
        show_outcome(settings.database_path, outcome)
    return outcome.vehicles_failed


def begun_or_new(instance: dg.DagsterInstance, days: DayRange) -> Backfill:
    """The newest backfill of exactly `days` where something is left of it, else a new one."""
    runs = _runs_of(instance, days)
    if runs:
        begun = runs[0].tags[ID_TAG]
        succeeded = [run for run in runs if run.tags[ID_TAG] == begun and run.status is dg.DagsterRunStatus.SUCCESS]
        backfill = Backfill(begun, days, {batch: run.run_id for run in succeeded if (batch := run_days(run))}, begun=True)
        if backfill.batches(len(days)):
            return backfill
    return _new(days)


def _new(days: DayRange) -> Backfill:
    return Backfill(uuid4().hex[:8], days, {})


def _runs_of(instance: dg.DagsterInstance, days: DayRange) -> Sequence[dg.DagsterRun]:
    """The runs of all backfills of `days`, the newest first."""
    return instance.get_runs(filters=dg.RunsFilter(tags={DAYS_TAG: str(days)}))


def _prepared(environ: Mapping[str, str], days: DayRange) -> tuple[Settings, PartnerApiResource]:
    settings = Settings.from_env(environ)
    require_partitions(days, settings.first_day, utc_today(datetime.now(UTC)))
    return settings, PartnerApiResource.outside_dagster(settings, environ)


@contextmanager
def _alone(home: Path, days: DayRange) -> Iterator[None]:
    """Hold the lock on the backfill of `days`: it dies with the process, so one that was killed is in nobody's way.

    Raises:
        BackfillUnderWay: another process holds it.
    """
    folder = home / "backfills"
    folder.mkdir(exist_ok=True, mode=0o700)
    try:
        with locked(folder / f"{days}.lock", wait=False):
            yield
    except BlockingIOError:
        raise BackfillUnderWay(f"another process works on the backfill of {days}; wait for it, or end it") from None


def _prospect(instance: dg.DagsterInstance | None, api: PartnerApiResource, settings: Settings, days: DayRange) -> Prospect:
    """What is to be done for `days`, by what the database and the history (None: there is none yet) tell."""
    backfill = _new(days) if instance is None else begun_or_new(instance, days)
    batches = backfill.batches(settings.max_partitions_per_run)
    org_id = api.organisation()
    try:
        with Database(settings.database_path, settings.lock_timeout_seconds).reading() as connection:
            seen_at = fleet_seen_at(connection, org_id)
            if seen_at is None:
                return Prospect(backfill, batches, with_fleet=True, estimate=None)
            # Soon after a stop the fleet is not asked for again: it counts for as long as staged answers do.
            fresh = datetime.now(UTC) - seen_at < timedelta(hours=settings.stage_max_age_hours)
            with_fleet = not (backfill.begun and fresh)
            vehicles, requests = expected_requests(connection, org_id, settings, batches, with_fleet=with_fleet)
    except DatabaseMissing:
        return Prospect(backfill, batches, with_fleet=True, estimate=None)
    pace = None if instance is None else last_pace(instance)
    days_left = sum(len(batch) for batch in batches)
    estimate = Estimate(vehicles, requests, days_left, pace, settings.max_requests_per_second)
    return Prospect(backfill, batches, with_fleet, estimate)


def _run(
    environ: Mapping[str, str],
    instance: dg.DagsterInstance,
    prospect: Prospect,
    outcome: Outcome,
    progress: ProgressReport,
    batches: Iterable[DayRange],
) -> None:
    backfill = prospect.backfill
    try:
        refresh_batches(
            environ, instance, batches, outcome, progress=progress, with_fleet=prospect.with_fleet, tags=backfill.tags
        )
    except RunStopped:
        raise RunStopped(f"stopped; {_how_to_go_on(instance, prospect)}") from None
    except RunFailed as failed:
        raise RunFailed(f"{failed}; {_how_to_go_on(instance, prospect)}") from None


def _how_to_go_on(instance: dg.DagsterInstance, prospect: Prospect) -> str:
    backfill = prospect.backfill
    total = len(prospect.batches) + len(backfill.done)
    succeeded = dg.RunsFilter(tags={ID_TAG: backfill.id}, statuses=[dg.DagsterRunStatus.SUCCESS])
    done = instance.get_runs_count(succeeded)
    if done == total:
        return f"all {total} batches are done, the next run sums the months up"
    return f"{done} of {total} batches are done, the same command goes on from there"


def _done_before(instance: dg.DagsterInstance, backfill: Backfill) -> Outcome:
    """What the batches did that were done by earlier commands, as the history tells it."""
    outcome = Outcome(backfill.days)
    for run_id in backfill.done.values():
        records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION).records
        add_told([event for record in records if (event := record.event_log_entry.dagster_event)], outcome)
    return outcome


def _show(console: Console, prospect: Prospect) -> None:
    for line in _lines(prospect):
        console.print(Text(line), soft_wrap=True)


def _lines(prospect: Prospect) -> Iterator[str]:
    backfill, estimate = prospect.backfill, prospect.estimate
    done = f"goes on: {len(backfill.done)} batches are done, " if backfill.begun else ""
    yield f"Backfill of {backfill.days}: {done}{len(prospect.batches)} batches to do."
    if estimate is None:
        yield "No vehicle is known yet, so nothing can be said beforehand: the first batch reads the fleet."
        return
    requests = estimate.requests
    yield (
        f"{estimate.vehicles:,} vehicles, about {requests.total:,} requests: {requests.sessions:,} for sessions, "
        f"{requests.further_pages:,} for further pages, {requests.fleet:,} for the fleet, {requests.token:,} for tokens."
    )
    yield _time_line(estimate)


def _time_line(estimate: Estimate) -> str:
    if estimate.asking_seconds is None or estimate.requests_per_second is None:
        return "How long it takes cannot be said: no run tells the pace yet, and no ceiling is set."
    pace = estimate.requests_per_second
    rate = f"at {pace:,.{0 if pace > _WHOLE_RATES else 1}f} requests/s, {_source(estimate)}"
    asking = f"{_duration(estimate.asking_seconds)} of asking {rate}"
    if estimate.other_seconds is None:
        return f"About {asking}. Landing and deriving come on top; how long they take, no run of a week has told yet."
    whole = _duration(estimate.asking_seconds + estimate.other_seconds)
    return f"About {whole}: {asking}, and {_duration(estimate.other_seconds)} of landing and deriving."


def _source(estimate: Estimate) -> str:
    if estimate.pace is None or estimate.requests_per_second == estimate.ceiling:
        return f"the ceiling {variable('max_requests_per_second')}"
    return f"the pace of the run of {estimate.pace.day}"


def _duration(seconds: float) -> str:
    """`seconds` as people say it: 45 s, 12 min, 3.5 h."""
    if seconds < _SECONDS_BEFORE_MINUTES:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < _MINUTES_BEFORE_HOURS else f"{minutes / 60:.1f} h"


def _as_json(prospect: Prospect, estimate: Estimate) -> dict[str, Any]:
    days = prospect.backfill.days
    return {
        "days": {"from": days.first.isoformat(), "to": days.last.isoformat(), "count": len(days)},
        "batches": len(prospect.batches),
        "batches_done_before": len(prospect.backfill.done),
        "vehicles": estimate.vehicles,
        "requests": asdict(estimate.requests) | {"total": estimate.requests.total},
        "requests_per_second": _rounded(estimate.requests_per_second),
        "seconds": {"asking": _rounded(estimate.asking_seconds), "other": _rounded(estimate.other_seconds)},
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
