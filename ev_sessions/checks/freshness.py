"""The checks that look at the clock: do the runs still come, is anything left unread, is there room for the next ones.

A Dagster freshness policy ignores partitions; these do not. They belong to no refresh: where none comes, they still run.
"""

import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb

from ev_sessions.assets.failures import failures_told
from ev_sessions.assets.graph import Graph
from ev_sessions.checks.findings import Finding
from ev_sessions.days import ONE_DAY, DayRange, consecutive, utc_today
from ev_sessions.resources import Clock, WarehouseResource
from ev_sessions.tables import RAW_SESSIONS
from ev_sessions.warehouse.unread import MOST_ATTEMPTS, failed_windows, standing

_DAYS_LOOKED_AT = 62
_BYTES_PER_GB = 10**9

# The daily refresh begins at 03:15 UTC: until this hour nobody misses yesterday.
_READ_BY = timedelta(hours=6)

_ERROR, _WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    promise: str
    severity: dg.AssetCheckSeverity
    look: Callable[[duckdb.DuckDBPyConnection, datetime], Finding]


def freshness_checks(graph: Graph, *, folders: Collection[Path], min_free_gb: float) -> dg.AssetChecksDefinition:
    """All of them in one step. In the job `freshness` a red one fails the run, with what it found as the cause.

    `folders` are those whose disks must have `min_free_gb` free.
    """
    key = graph.key(RAW_SESSIONS)
    checks = {
        dg.AssetCheckKey(key, check.name): check
        for check in (
            _Check(
                "yesterday_is_there",
                "Yesterday (UTC) has been read by 06:00 UTC.",
                _ERROR,
                lambda connection, now: yesterday_is_there(connection, graph.first_day, now),
            ),
            _Check(
                "no_gaps",
                f"Each of the last {_DAYS_LOOKED_AT} days has been read, whoever read it.",
                _ERROR,
                lambda connection, now: no_gaps(connection, graph.first_day, now),
            ),
            _Check(
                "disk_space",
                f"Every disk in use has {min_free_gb:g} GB free.",
                _ERROR,
                lambda _connection, _now: disk_space(folders, min_free_gb),
            ),
            _Check(
                "vehicles_still_failed",
                "Every vehicle that failed has answered since, or will be asked again soon.",
                _WARN,
                lambda connection, _now: vehicles_still_failed(connection),
            ),
        )
    }

    @dg.multi_asset_check(
        name=graph.name("freshness_checks"),
        # None of them blocks: a backfill brings all checks of its assets along, and a gap elsewhere must not stop it.
        specs=[dg.AssetCheckSpec(check.name, asset=key, description=check.promise) for check in checks.values()],
        # No pool: a refresh that hangs must not keep anybody from hearing of it.
        can_subset=True,
    )
    def freshness(
        context: dg.AssetCheckExecutionContext, session_warehouse: WarehouseResource, clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.AssetCheckResult]:
        chosen = {name: check for name, check in checks.items() if name in context.selected_asset_check_keys}
        now = clock.now()
        with failures_told(context, clock), session_warehouse.reading() as connection:
            findings = {name: check.look(connection, now) for name, check in chosen.items()}
        for name, finding in findings.items():
            yield finding.result(name, chosen[name].severity)
        wrong = [found.sentence for name, found in findings.items() if chosen[name].severity is _ERROR and not found.passed]
        if wrong and context.run.job_name == graph.name("freshness"):
            raise dg.Failure("; ".join(wrong), allow_retries=False)

    return freshness


def yesterday_is_there(connection: duckdb.DuckDBPyConnection, first_day: date, now: datetime) -> Finding:
    """Whether the newest day that should have been read by `now` (aware) has been."""
    days = _days_due(first_day, now, 1)
    missing = _not_read(connection, days)
    if days is None:
        return Finding(passed=True, sentence=_NOTHING_DUE)
    sentence = f"{days.last} has not been read" if missing else f"{days.last} has been read"
    return Finding(not missing, sentence, missing)


def no_gaps(connection: duckdb.DuckDBPyConnection, first_day: date, now: datetime) -> Finding:
    """Whether all of the last days that should have been read by `now` (aware) have been."""
    days = _days_due(first_day, now, _DAYS_LOOKED_AT)
    missing = _not_read(connection, days)
    if days is None or not missing:
        return Finding(passed=True, sentence=f"every day of {days} has been read" if days else _NOTHING_DUE)
    gaps = ", ".join(str(gap) if len(gap) > 1 else gap.first.isoformat() for gap in consecutive(missing))
    sentence = f"of the {len(days)} days {days}, {len(missing)} have not been read: {gaps}"
    return Finding(passed=False, sentence=sentence, days=missing)


def disk_space(folders: Collection[Path], min_free_gb: float) -> Finding:
    """Whether the disks of `folders` (which need not exist yet) have `min_free_gb` free."""
    free = {folder: shutil.disk_usage(_nearest(folder)).free / _BYTES_PER_GB for folder in folders}
    folder, least = min(free.items(), key=lambda entry: entry[1])
    enough = least >= min_free_gb
    sentence = f"{least:.1f} GB are free on the disk of {folder}"
    return Finding(enough, sentence if enough else f"only {sentence}, {min_free_gb:g} are wanted; free some room")


def vehicles_still_failed(connection: duckdb.DuckDBPyConnection) -> Finding:
    """Whether no vehicle has failed so often that it is no longer asked for by itself."""
    given_up = [window for window in failed_windows(connection) if window.due_at is None]
    if not given_up:
        return Finding(passed=True, sentence="no vehicle was given up")
    vehicles = len({window.electric_vehicle_id for window in given_up})
    days = sorted({day for window in given_up for day in window.days})
    sentence = (
        f"{vehicles} vehicles failed {MOST_ATTEMPTS} times on days from {days[0]} to {days[-1]}; only the refreshes still ask"
    )
    return Finding(passed=False, sentence=sentence, days=days)


_NOTHING_DUE = "no day is over yet"


def _days_due(first_day: date, now: datetime, days: int) -> DayRange | None:
    return DayRange.trailing(utc_today(now - _READ_BY) - ONE_DAY, days).clip(first_day, None)


def _not_read(connection: duckdb.DuckDBPyConnection, days: DayRange | None) -> list[date]:
    return [day.session_day for day in standing(connection, days) if not day.is_read] if days else []


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.resolve().parents) if path.exists())
