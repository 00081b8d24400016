"""What is due: schedules, sensors and automation conditions, evaluated as Dagster's daemon does, by the soak's clock."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import dagster as dg
from dagster._utils.schedules import cron_string_iterator

from ev_sessions_tests.soak.execution import AUTOMATED_JOB, Run

SENSORS = ("failed_vehicles", "gaps", "new_vehicles")


class Automation:
    """The schedules and sensors of one code location. It remembers cursors and run keys, as the daemon does."""

    def __init__(self, defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self._defs = defs
        self._instance = instance
        self._schedules = [each for each in defs.schedules or [] if isinstance(each, dg.ScheduleDefinition)]
        self._sensors = [each for each in defs.sensors or [] if isinstance(each, dg.SensorDefinition) and each.name in SENSORS]
        self._cursors: dict[str, str | None] = {}
        self._asked: set[tuple[str, str]] = set()
        self._conditions_cursor: Any = None

    def scheduled(self, since: datetime, until: datetime) -> list[Run]:
        """What the schedules ask for after `since` and up to `until` (aware UTC): of missed ticks the last one, once."""
        runs: list[Run] = []
        for schedule in self._schedules:
            tick = _last_tick(schedule, since, until)
            if tick is not None:
                context = dg.build_schedule_context(instance=self._instance, scheduled_execution_time=tick)
                requests = schedule.evaluate_tick(context).run_requests or []
                runs += self._new(schedule.name, schedule.job_name, requests, {"dagster/schedule_name": schedule.name})
        return runs

    def sensed(self) -> list[Run]:
        """What the sensors ask for now."""
        runs: list[Run] = []
        for sensor in self._sensors:
            with dg.build_sensor_context(
                instance=self._instance,
                cursor=self._cursors.get(sensor.name),
                sensor_name=sensor.name,
                definitions=self._defs,
                resources={name: (self._defs.resources or {})[name] for name in sensor.required_resource_keys},
            ) as context:
                found = sensor.evaluate_tick(context)
            if found.cursor is not None:
                self._cursors[sensor.name] = found.cursor
            runs += self._new(sensor.name, sensor.job_name, found.run_requests or [], {"dagster/sensor_name": sensor.name})
        return runs

    def automated(self, now: datetime) -> list[Run]:
        """What the automation conditions ask for: one run per asset and partition."""
        with warnings.catch_warnings():
            # Dagster's own use of what it calls beta.
            warnings.simplefilter("ignore", dg.BetaWarning)
            result = dg.evaluate_automation_conditions(
                self._defs, self._instance, evaluation_time=now, cursor=self._conditions_cursor
            )
        self._conditions_cursor = result.cursor
        return [
            Run(job=AUTOMATED_JOB, tags={} if partition is None else {"dagster/partition": partition}, assets=(found.key,))
            for found in result.results
            for partition in result.get_requested_partitions(found.key)
        ]

    def _new(self, name: str, job: str | None, requests: Iterable[dg.RunRequest], tags: dict[str, str]) -> Iterator[Run]:
        """The runs of the requests whose run key was not used before."""
        for request in requests:
            if request.run_key is not None:
                if (name, request.run_key) in self._asked:
                    continue
                self._asked.add((name, request.run_key))
            yield Run(
                job=request.job_name or job or AUTOMATED_JOB,
                tags={**request.tags, **tags},
                config=request.run_config,
                assets=None if request.asset_selection is None else tuple(request.asset_selection),
            )


def _last_tick(schedule: dg.ScheduleDefinition, since: datetime, until: datetime) -> datetime | None:
    last = None
    for tick in cron_string_iterator(since.timestamp(), str(schedule.cron_schedule), schedule.execution_timezone):
        if tick > until:
            return last
        if tick > since:
            last = tick
    return last
