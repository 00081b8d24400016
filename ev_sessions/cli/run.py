"""`ev-sessions run`: checks the days, runs them, and shows what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import typer
from rich.console import Console

from ev_sessions.assets.raw_sessions import ProgressReport
from ev_sessions.cli.progress import ProgressBar
from ev_sessions.cli.refresh import Outcome, refresh
from ev_sessions.days import ONE_DAY, DayRange, DayRangeError, utc_today
from ev_sessions.ingest.fleet import read_vehicle_pairs
from ev_sessions.resources import PartnerApiResource
from ev_sessions.settings import Settings, variable


def run_range(environ: Mapping[str, str], days: DayRange, vehicles_from: Path | None, *, as_json: bool) -> int:
    """Refresh `days` and print the outcome; gives the number of vehicles that could not be read.

    Raises:
        DayRangeError: a day that has no partition.
        BadFleetFile: `vehicles_from` cannot be used.
        SettingsError, RunFailed: see `refresh`.
    """
    settings = Settings.from_env(environ)
    PartnerApiResource.outside_dagster(settings, environ).client_config()
    require_partitions(days, settings.first_day, utc_today(datetime.now(UTC)))
    if vehicles_from is not None:
        read_vehicle_pairs(vehicles_from)
    if as_json:
        outcome = refresh(environ, days, progress=ProgressReport(), vehicles_from=vehicles_from)
        typer.echo(json.dumps(outcome.as_json()))
        return outcome.vehicles_failed
    with ProgressBar(Console(stderr=True)) as bar:
        outcome = refresh(environ, days, progress=bar, vehicles_from=vehicles_from)
    show_outcome(settings.database_path, outcome)
    return outcome.vehicles_failed


def show_outcome(database: Path, outcome: Outcome) -> None:
    """Print the last days of a refresh, their totals, and what it did.

    Raises:
        DatabaseMissing, DatabaseLocked: the database cannot be read.
    """
    # It brings pandas, whose import takes half a second: a script that reads the JSON does not wait for it.
    from ev_sessions.cli.summary import show_days

    console = Console()
    show_days(console, database, outcome.days)
    console.print(outcome_line(outcome))


def require_partitions(days: DayRange, first_day: date, today: date) -> None:
    """Refuse days that have no partition.

    Raises:
        DayRangeError: a day before `first_day`, or one that is not over yet.
    """
    if days.first < first_day:
        raise DayRangeError(
            f"{days.first} lies before the first day, {first_day}; ask for later days or set {variable('first_day')}"
        )
    if days.last >= today:
        raise DayRangeError(f"{days.last} is not over yet (UTC); ask for days up to {today - ONE_DAY}")


def outcome_line(outcome: Outcome) -> str:
    """What a refresh did, in one sentence."""
    seconds = outcome.seconds
    return (
        f"{len(outcome.days)} days, {outcome.vehicles} vehicles ({outcome.vehicles_failed} failed), {outcome.sessions} sessions, "
        f"{outcome.requests} requests ({outcome.retries} retries, {outcome.refused_429} refused) in {seconds['total']:.1f} s: "
        f"fetch {seconds['fetch']:.1f}, land {seconds['land']:.1f}, derive {seconds['derive']:.1f}, "
        f"months {seconds['months']:.1f}"
    )
