"""Nights of operation by a clock that tests move: schedules and sensors evaluated as the daemon does, their runs run at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import UUID

import dagster as dg

from ev_sessions.days import DayRange, parse_day
from ev_sessions.definitions import build_defs
from ev_sessions.resources import Clock
from ev_sessions.sandbox import Sandbox
from ev_sessions_tests.pipeline import Pipeline, named, pipeline_over

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class SetClock(Clock):
    """A clock that stands where a test has put it; nobody waits by it."""

    def __init__(self, instant: datetime) -> None:
        self.instant = instant

    def now(self) -> datetime:
        """Where it stands."""
        return self.instant

    def wait(self, seconds: float) -> None:
        """Wait for nothing."""


class Operation:
    """One code location in operation, with what the daemon remembers of its sensors."""

    def __init__(self, pipeline: Pipeline, settings: Mapping[str, str], key_prefix: Sequence[str] = ()) -> None:
        self.pipeline = pipeline
        self.clock = SetClock(pipeline.sandbox.now)
        self.location = build_defs(
            {**pipeline.environ, **named(settings)}, key_prefix=key_prefix, resources={"clock": self.clock}
        )
        self._prefix = key_prefix
        self._cursors: dict[str, str | None] = {}
        self._keys: set[tuple[str, str | None]] = set()

    @property
    def now(self) -> datetime:
        """What the clock of everything, the API's included, says."""
        return self.clock.instant

    @now.setter
    def now(self, instant: datetime) -> None:
        self.clock.instant = instant
        self.pipeline.sandbox.now = instant

    def refresh(self, schedule: str = "daily_refresh") -> dg.ExecuteInProcessResult:
        """Run what the schedule asks for now."""
        context = dg.build_schedule_context(scheduled_execution_time=self.now, repository_def=self.location.get_repository_def())
        (request,) = self.location.resolve_schedule_def(self._name(schedule)).evaluate_tick(context).run_requests or []
        return self.run(request)

    def tick(self, sensor: str) -> tuple[Sequence[dg.RunRequest], str]:
        """What the sensor asks for now, besides what it has asked for under the same key before, and why nothing."""
        definition = next(each for each in self.location.sensors or [] if each.name == self._name(sensor))
        assert isinstance(definition, dg.SensorDefinition)
        with dg.build_sensor_context(
            instance=self.pipeline.instance,
            cursor=self._cursors.get(sensor),
            definitions=self.location,
            resources={name: (self.location.resources or {})[name] for name in ("session_warehouse", "clock")},
        ) as context:
            told = definition.evaluate_tick(context)
        self._cursors[sensor] = told.cursor
        fresh = [request for request in told.run_requests or [] if (sensor, request.run_key) not in self._keys]
        self._keys.update((sensor, request.run_key) for request in fresh)
        return fresh, told.skip_message or ""

    def asked_by(self, sensor: str) -> list[DayRange]:
        """The days of the runs that the sensor asks for now."""
        return [days_of(request) for request in self.tick(sensor)[0]]

    def run_all(self, sensor: str) -> list[DayRange]:
        """Run what the sensor asks for, tick by tick, until it asks for nothing; the days of the runs in their order."""
        ran = []
        while requests := self.tick(sensor)[0]:
            for request in requests:
                assert self.run(request).success
                ran.append(days_of(request))
        return ran

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Run it in this process."""
        return self.location.resolve_job_def(self._name("refresh")).execute_in_process(
            instance=self.pipeline.instance,
            tags=dict(request.tags),
            asset_selection=request.asset_selection,
            run_config=dict(request.run_config or {}) | QUIET,
            raise_on_error=False,
        )

    def freshness(self) -> dg.ExecuteInProcessResult:
        """Run the job `freshness`."""
        return self.location.resolve_job_def(self._name("freshness")).execute_in_process(
            instance=self.pipeline.instance, run_config=QUIET, raise_on_error=False
        )

    def _name(self, name: str) -> str:
        return "__".join([*self._prefix, name])


@contextmanager
def operating(sandbox: Sandbox, folder: Path, **settings: str) -> Iterator[Operation]:
    """An operation that reads `sandbox` into `folder`, with `settings` by their short names."""
    with pipeline_over(sandbox, folder) as pipeline:
        yield Operation(pipeline, settings)


def night(day: str) -> datetime:
    """03:15 UTC on `day`, when the daily refresh begins."""
    return datetime.combine(parse_day(day), time(3, 15), UTC)


def later(*, days: int = 0, hours: float = 0, minutes: float = 0) -> timedelta:
    """A time to move the clock by."""
    return timedelta(days=days, hours=hours, minutes=minutes)


def days_of(request: dg.RunRequest) -> DayRange:
    """The days that a run is asked for."""
    tags = request.tags
    return DayRange(parse_day(tags["dagster/asset_partition_range_start"]), parse_day(tags["dagster/asset_partition_range_end"]))


def vehicle_of(operation: Operation, number: int = 0) -> UUID:
    """A vehicle of the fleet."""
    return operation.pipeline.sandbox.truth.vehicle_ids()[number]
