"""What tells people: a message for every failed run, and a heartbeat for every daily refresh that has landed.

Dagster's own run status sensors are not used: they remember an event's number, and a history on SQLite gives a number out again
once the newest run is deleted; they then overlook the failures that follow. These remember times and run ids.

A message that does not arrive is sent again at the next ticks, for a day: what makes a run fail, the network for example,
often keeps the message back as well. Runs of the command line are nobody's surprise: whoever started them sees how they end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg

from ev_sessions.assets.failures import first_cause
from ev_sessions.assets.graph import Graph
from ev_sessions.automation.origin import location_of
from ev_sessions.automation.refresh import Kind, run_days, sensor_status
from ev_sessions.errors import EvSessionsError
from ev_sessions.resources import AlertsResource
from ev_sessions.settings import variable
from ev_sessions.webhooks import WebhookRefused

# A sensor has 60 s, and the first message that does not arrive ends the tick.
_MOST_MESSAGES_PER_TICK = 5
_KEPT_FOR = timedelta(days=1)

# Runs that end together may be recorded in any order.
_OVERLAP = timedelta(minutes=10)

_LONG_AGO = datetime(1970, 1, 2, tzinfo=UTC)
_TELLING_EVENTS = {
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
}


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended, and when (aware UTC)."""

    run: dg.DagsterRun
    at: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """The newest runs that were told: their ids, and when they ended (aware UTC). What ended long before them was told too."""

    runs: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def since(self) -> datetime:
        """From when on a run may have been overlooked."""
        return max(self.runs.values(), default=_LONG_AGO) - _OVERLAP

    def rest(self, ended: Iterable[Ended]) -> list[Ended]:
        """Those of `ended` that are to be told yet, in the order of their ends."""
        return sorted((e for e in ended if e.at > self.since and e.run.run_id not in self.runs), key=lambda e: e.at)

    def and_(self, ended: Iterable[Ended]) -> Told:
        """These and `ended`."""
        grown = Told({**self.runs, **{e.run.run_id: e.at for e in ended}})
        return Told({run_id: at for run_id, at in grown.runs.items() if at > grown.since})

    def to_cursor(self) -> str:
        """As a sensor's cursor."""
        return json.dumps({run_id: at.isoformat() for run_id, at in self.runs.items()})

    @classmethod
    def from_cursor(cls, cursor: str) -> Told:
        """What `to_cursor` wrote."""
        return cls({run_id: datetime.fromisoformat(at) for run_id, at in json.loads(cursor).items()})


def run_failure_alert_sensor(graph: Graph, *, running: bool) -> dg.SensorDefinition:
    """The sensor that tells of every failed run of this code location; `running`: without being turned on first."""

    @dg.sensor(
        name=graph.name("run_failure_alert"),
        description=f"Sends a message to {variable('alert_url')} for every failed run: what failed, why, and where to look.",
        default_status=sensor_status(running=running),
    )
    def run_failure_alert(context: dg.SensorEvaluationContext, session_alerts: AlertsResource) -> dg.SkipReason:
        if not session_alerts.has_alert_url():
            return dg.SkipReason(f"{variable('alert_url')} is not set, so nobody is told of failed runs.")
        failed = _Ends(context, dg.DagsterRunStatus.FAILURE, {})
        return _catch_up(failed, lambda run: session_alerts.tell(failure_text(context.instance, run, session_alerts.ui_url)))

    return run_failure_alert


def heartbeat_sensor(graph: Graph, *, running: bool) -> dg.SensorDefinition:
    """The sensor that lets a dead man's switch know of every daily refresh that has landed."""

    @dg.sensor(
        name=graph.name("heartbeat"),
        description=f"Asks {variable('heartbeat_url')} whenever the daily refresh has landed; a dead daemon cannot send alerts.",
        default_status=sensor_status(running=running),
    )
    def heartbeat(context: dg.SensorEvaluationContext, session_alerts: AlertsResource) -> dg.SkipReason:
        if not session_alerts.has_heartbeat_url():
            return dg.SkipReason(f"{variable('heartbeat_url')} is not set, so nobody notices when the daily refresh stays away.")
        landed = _Ends(context, dg.DagsterRunStatus.SUCCESS, {"dagster/schedule_name": graph.name(Kind.DAILY_REFRESH)})
        return _catch_up(landed, lambda _: session_alerts.beat())

    return heartbeat


def failure_text(instance: dg.DagsterInstance, run: dg.DagsterRun, ui_url: str) -> str:
    """What people read of a failed run: what it was, why it failed, whether it is tried again, and where to look."""
    records = instance.get_records_for_run(run.run_id, of_type=_TELLING_EVENTS).records
    cause = first_cause(event for record in records if (event := record.event_log_entry.dagster_event))
    what = "An asset run" if run.job_name.startswith("__") else run.job_name
    again = "Dagster tries it again." if run.tags.get("dagster/will_retry") == "true" else "It is not tried again by itself."
    link = f"{ui_url.rstrip('/')}/runs/{run.run_id}"
    days = run_days(run)
    window = "" if days is None else f" for {days}"
    return f"{what} failed{window}: {_escaped(cause)}\n{again} Run {run.run_id}: {link}"


@dataclass(frozen=True, slots=True)
class _Ends:
    """The ends that a sensor watches: of the runs of its code location with this status and these tags."""

    context: dg.SensorEvaluationContext
    status: dg.DagsterRunStatus
    tags: Mapping[str, str]

    def after(self, since: datetime) -> list[Ended]:
        """What ended after `since`."""
        wanted = dg.RunsFilter(statuses=[self.status], tags=self.tags, updated_after=since)
        records = self.context.instance.get_run_records(wanted)
        return [
            Ended(record.dagster_run, datetime.fromtimestamp(record.end_time, UTC))
            for record in records
            if record.end_time is not None and location_of(record.dagster_run) == self._own_location
        ]

    @property
    def _own_location(self) -> str | None:
        origin = self.context.code_location_origin
        return None if origin is None else origin.location_name


def _catch_up(ends: _Ends, tell: Callable[[dg.DagsterRun], None]) -> dg.SkipReason:
    """Tell of the ends that were not told yet, and remember them."""
    context = ends.context
    if context.cursor is None:
        context.update_cursor(Told().and_(ends.after(_LONG_AGO)).to_cursor())
        return dg.SkipReason("Watches from now on; what ended before is not told.")
    told = Told.from_cursor(context.cursor)
    rest = told.rest(ends.after(told.since))
    delivered = 0
    for ended in rest[:_MOST_MESSAGES_PER_TICK]:
        try:
            tell(ended.run)
            delivered += 1
        except WebhookRefused as error:
            context.log.warning("The message about run %s was not taken: %s.", ended.run.run_id, error)
        except EvSessionsError as error:
            context.log.warning("The message about run %s did not arrive: %s.", ended.run.run_id, error)
            # By the machine's own time, as the ends are.
            if datetime.now(UTC) - ended.at < _KEPT_FOR:
                break
        told = told.and_([ended])
    context.update_cursor(told.to_cursor())
    return dg.SkipReason(f"{delivered} of {len(rest)} messages were sent." if rest else "No run has ended that is to be told.")


def _escaped(text: str) -> str:
    """`text` without anything that Slack or Mattermost would take for a link or for calling people."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
