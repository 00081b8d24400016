"""What a backfill will cost, said beforehand: requests, from the fleet and the ledger; time, from the last runs. Asks nobody."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from statistics import fmean
from typing import Any
from uuid import UUID

import dagster as dg
import duckdb

from ev_sessions.assets.graph import asset_name
from ev_sessions.automation.refresh import run_days
from ev_sessions.days import DayRange
from ev_sessions.ingest.plan import VehicleWindow, plan
from ev_sessions.settings import Settings
from ev_sessions.tables import RAW_SESSIONS
from ev_sessions.warehouse.fleet import fleet, listed_users, sessions_per_day

_RUNS_LOOKED_AT = 20

# In a run of fewer days most of the time is what every run takes, however long it is.
_DAYS_THAT_TELL = 7


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the last runs were: requests/s while asking, all other seconds for each day (None: no run was long enough)."""

    requests_per_second: float
    other_seconds_per_day: float | None
    day: date


@dataclass(frozen=True, slots=True)
class Requests:
    """How many requests are expected, by kind: `sessions` one per vehicle and batch, `further_pages` of longer lists."""

    token: int
    fleet: int
    sessions: int
    further_pages: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.token + self.fleet + self.sessions + self.further_pages


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is expected of some batches. `pace`: of the last runs; None where there is none to judge by.

    `requests_per_second` and the two times (s) are None where neither a run nor a ceiling tells the pace.
    """

    vehicles: int
    requests: Requests
    days: int
    pace: Pace | None
    ceiling: float

    @property
    def requests_per_second(self) -> float | None:
        """The pace to expect: the last one, and never above the ceiling."""
        known = [rate for rate in (self.ceiling, self.pace and self.pace.requests_per_second) if rate]
        return min(known, default=None)

    @property
    def asking_seconds(self) -> float | None:
        """How long the requests take."""
        return self.requests.total / self.requests_per_second if self.requests_per_second else None

    @property
    def other_seconds(self) -> float | None:
        """How long landing, deriving and recording take."""
        if self.pace is None or self.pace.other_seconds_per_day is None:
            return None
        return self.pace.other_seconds_per_day * self.days


def expected_requests(
    connection: duckdb.DuckDBPyConnection,
    org_id: UUID,
    settings: Settings,
    batches: Sequence[DayRange],
    *,
    with_fleet: bool,
) -> tuple[int, Requests]:
    """The vehicles that `batches` ask for, and the requests, by the fleet and the sessions known so far."""
    vehicles = fleet(connection, org_id)
    rates = sessions_per_day(connection)
    ids = [vehicle.electric_vehicle_id for vehicle in vehicles]
    windows = [window for batch in batches for window in plan(vehicles, dict.fromkeys(ids, batch))]
    # Every step that asks logs in by itself, unless it has a token already.
    from_api = with_fleet and settings.fleet_file is None
    logins = 0 if settings.access_token else len(batches) + (2 if from_api else 0)
    return len({window.electric_vehicle_id for window in windows}), Requests(
        token=logins,
        fleet=1 + len(listed_users(connection, org_id)) if from_api else 0,
        sessions=len(windows),
        further_pages=_further_pages(windows, rates, settings.page_size),
    )


def last_pace(instance: dg.DagsterInstance) -> Pace | None:
    """How fast the last runs were; None where none has asked for anything.

    The one with most requests tells the pace of asking: a few requests are answered before there is one. The rest takes
    least for each day where there are many of them, so the least counts, and short runs do not count at all.
    """
    records = instance.fetch_observations(dg.AssetKey(asset_name(RAW_SESSIONS)), limit=_RUNS_LOOKED_AT).records
    figures = {record.run_id: _figures(record) for record in records}
    asked = {run_id: told for run_id, told in figures.items() if told.get("requests") and told.get("fetch_seconds")}
    # Without an id the filter would find all runs.
    runs = instance.get_run_records(dg.RunsFilter(run_ids=list(asked))) if asked else []
    ended = [run for run in runs if run.start_time is not None and run.end_time is not None]
    if not ended:
        return None
    largest = max(ended, key=lambda run: asked[run.dagster_run.run_id]["requests"])
    told = asked[largest.dagster_run.run_id]
    return Pace(
        told["requests"] / told["fetch_seconds"],
        min(_other_seconds(ended, asked), default=None),
        datetime.fromtimestamp(largest.end_time or 0.0, UTC).date(),
    )


def _other_seconds(runs: Iterable[dg.RunRecord], told: Mapping[str, Mapping[str, Any]]) -> Iterator[float]:
    """Of each run that was long enough: its time without the asking, for each of its days (s)."""
    for run in runs:
        days = run_days(run.dagster_run)
        if days is not None and len(days) >= _DAYS_THAT_TELL:
            asking = float(told[run.dagster_run.run_id]["fetch_seconds"])
            seconds = (run.end_time or 0.0) - (run.start_time or 0.0) - asking
            yield max(0.0, seconds) / len(days)


def _figures(record: dg.EventLogRecord) -> dict[str, Any]:
    observation = record.asset_observation
    return {} if observation is None else {name: value.value for name, value in observation.metadata.items()}


def _further_pages(windows: Sequence[VehicleWindow], rates: Mapping[UUID, float], page_size: int) -> int:
    """Pages after the first, as each vehicle's sessions so far let expect; of one never read, as those of the others."""
    usual = fmean(rates.values()) if rates else 0.0
    sessions = (rates.get(window.electric_vehicle_id, usual) * len(window.days) for window in windows)
    return sum(max(0, math.ceil(expected / page_size) - 1) for expected in sessions)
