"""The weeks themselves: one clock for the API, the schedules, the sensors and the runs, moved on from moment to moment."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import dagster as dg

from ev_sessions.automation.dead_runs import reap
from ev_sessions.cli.history import unhurried_commits
from ev_sessions.days import ONE_DAY, DayRange
from ev_sessions.definitions import build_defs
from ev_sessions.sandbox import serving
from ev_sessions.settings import variable
from ev_sessions_tests.soak.automation import Automation
from ev_sessions_tests.soak.comparison import (
    differences_in_tables,
    differences_in_what_is_held,
    differences_in_what_is_published,
    reading,
    standing_keys,
)
from ev_sessions_tests.soak.execution import ShiftedClock, dagster_home
from ev_sessions_tests.soak.expected import Expected, Key
from ev_sessions_tests.soak.machine import Machine
from ev_sessions_tests.soak.world import World

FIRST_DAY = date(2025, 2, 20)
DEEP_LOOKBACK_DAYS = 42

_DAYS_AFTER = 6
_ALARM = "freshness"
"""The job that fails on purpose: whenever days are missing."""
_TOLD = ("retries", "refused_429", "vehicles_resumed", "sessions", "restated", "vanished", "quarantined")


@dataclass(frozen=True, kw_only=True)
class Soak:
    """How long, how large, and how cruel. `kill_share`: the share of processes that get killed, if they live that long."""

    days: int = 60
    vehicles: int = 40
    seed: int = 1
    lookback_days: int = 3
    kill_share: float = 0.25


@dataclass(slots=True)
class Report:
    """The figures of a soak, and every difference from the truth: none, if all is well."""

    figures: dict[str, object] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)


def simulate(soak: Soak, folder: Path, tell: Callable[[str], None]) -> Report:
    """Run the soak in `folder`, which should be empty; `tell` hears of every simulated week.

    The settings of the soak stand in this process's environment afterwards.
    """
    began = monotonic()
    days = DayRange(FIRST_DAY, FIRST_DAY + timedelta(days=soak.days - 1))
    world = World(days=days, vehicles=soak.vehicles, seed=soak.seed, lookback_days=soak.lookback_days)
    with serving(world.sandbox) as url, _history(_environment(soak, world, url, folder)) as (environ, instance):
        machine = Machine(environ, instance, kill_share=soak.kill_share, chance=Random(soak.seed))  # noqa: S311 - no secret
        weeks = _Weeks(soak, world, environ, instance, machine)
        quiet = weeks.live_through(tell)
        reap(instance)
        report = weeks.report()
    if not quiet:
        report.differences.append(f"the sensors still asked for runs {_DAYS_AFTER} days after all was settled")
    report.figures["differences"] = len(report.differences)
    report.figures["wall time (s)"] = round(monotonic() - began)
    return report


class _Weeks:
    """The state of one soak while it lasts."""

    def __init__(
        self, soak: Soak, world: World, environ: Mapping[str, str], instance: dg.DagsterInstance, machine: Machine
    ) -> None:
        self._soak = soak
        self._world = world
        self._environ = environ
        self._instance = instance
        self._machine = machine
        self._clock = ShiftedClock(world.plan.first_tick)
        self._automation = Automation(build_defs(environ, resources={"clock": self._clock}), instance)
        self._database = Path(environ[variable("state_dir")]) / "ev_sessions.duckdb"
        self._ever_stood: set[Key] = set()
        self._now = world.plan.first_tick - timedelta(seconds=1)

    def live_through(self, tell: Callable[[str], None]) -> bool:
        """Every moment of the plan, until a whole day passes in which no sensor asks for anything; whether it did."""
        settled, quiet_since = self._world.plan.outages[-1].end, None
        for moment in self._world.plan.moments(_DAYS_AFTER):
            if moment.date().isocalendar().week != self._now.date().isocalendar().week:
                tell(f"{moment:%Y-%m-%d}: {dict(self._machine.counts)}")
            asked = self._live(moment)
            if moment >= settled:
                quiet_since = moment if asked or quiet_since is None else quiet_since
                if moment - quiet_since >= ONE_DAY:
                    return True
        return False

    def _live(self, moment: datetime) -> bool:
        """One moment; whether a sensor asked for anything."""
        self._world.move_to(moment)
        self._clock.move_to(moment)
        self._machine.run(self._automation.scheduled(self._now, moment), self._clock)
        self._now = moment
        sensed = self._automation.sensed()
        self._machine.run(sensed, self._clock)
        self._machine.run(self._automation.automated(moment), self._clock)
        if self._database.exists():
            self._ever_stood |= standing_keys(self._database)
        return bool(sensed)

    def report(self) -> Report:
        """What came of it."""
        now = self._world.sandbox.now
        days = DayRange(self._world.sandbox.options.history.first, now.date() - ONE_DAY)
        expected = Expected(self._world.sandbox.truth, days, now)
        final_through = days.last - self._soak.lookback_days * ONE_DAY
        return Report(
            figures=self._figures(),
            differences=[
                *differences_in_tables(self._database, expected, self._ever_stood, final_through),
                *differences_in_what_is_published(self._database, self._database.parent / "published"),
                *differences_in_what_is_held(self._instance, self._database.parent),
                *self._unexpected_failures(),
            ],
        )

    def _unexpected_failures(self) -> Iterator[str]:
        """Runs that failed though the credentials were right, and alarms that did not end."""
        revoked, endings = self._world.plan.credentials_revoked, self._machine.endings
        failed = [each for each in endings if each.cause and each.asked_at not in revoked and each.run.job != _ALARM]
        yield from (f"the run of {each.run.origin} at {each.asked_at:%Y-%m-%d %H:%M} failed: {each.cause}" for each in failed)
        alarms = [each for each in endings if each.run.job == _ALARM]
        if alarms and alarms[-1].cause:
            yield f"the last run of {_ALARM} failed: {alarms[-1].cause}"

    def _figures(self) -> dict[str, object]:
        counts = self._world.sandbox.counts
        told = self._told_by_runs()
        origins = Counter(ending.run.origin for ending in self._machine.endings)
        alarms = sum(ending.run.job == _ALARM and ending.cause is not None for ending in self._machine.endings)
        with reading(self._database) as connection:
            ((final,),) = connection.execute("SELECT count(*) FILTER (is_final) FROM analytics.fleet_daily").fetchall()
        return {
            **{f"runs of {origin}": number for origin, number in sorted(origins.items())},
            **{f"processes {what}": number for what, number in sorted(self._machine.counts.items())},
            "alarms of missing days": alarms,
            "requests": counts.total,
            "faults": counts.faults,
            "refused (429)": counts.refused_429,
            "refused (401)": counts.unauthorised,
            "retries": told["retries"],
            "recovered from dead runs (vehicle windows)": told["vehicles_resumed"],
            "rows landed, again ones too": told["sessions"],
            "restated": told["restated"],
            "vanished": told["vanished"],
            "quarantined": told["quarantined"],
            "days final": final,
        }

    def _told_by_runs(self) -> dict[str, int]:
        records = self._instance.fetch_observations(dg.AssetKey("raw_sessions"), limit=10_000).records
        observations = [record.event_log_entry.asset_observation for record in records]
        told: list[Mapping[str, Any]] = [observation.metadata for observation in observations if observation is not None]
        return {name: sum(int(each[name].value) for each in told if name in each) for name in _TOLD}


def _environment(soak: Soak, world: World, url: str, folder: Path) -> dict[str, str]:
    settings = {
        "state_dir": str(folder),
        "first_day": world.sandbox.options.history.first.isoformat(),
        "lookback_days": str(soak.lookback_days),
        "deep_lookback_days": str(DEEP_LOOKBACK_DAYS),
        "max_requests_per_second": "0",
        "max_attempts": "3",
        # So that a window of some weeks has several pages, whose lists may shift.
        "page_size": "10",
        "min_free_gb": "0",
        "schedules": "on",
    }
    return world.sandbox.settings_for(url) | {variable(name): value for name, value in settings.items()}


@contextmanager
def _history(environ: dict[str, str]) -> Iterator[tuple[dict[str, str], dg.DagsterInstance]]:
    """A Dagster history under the state folder, with the instance settings that the project ships."""
    home = dagster_home(environ)
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(files("ev_sessions").joinpath("dagster.yaml").read_text())
    environ = {**environ, "DAGSTER_HOME": str(home)}
    os.environ.update(environ)
    with unhurried_commits(), dg.DagsterInstance.from_config(str(home)) as instance:
        yield environ, instance
