"""`ev-sessions requarantine`: judges days again by the limits in force, derives and publishes them, and tells what changed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime

import dagster as dg
import typer

from ev_sessions.assets.failures import NEVER_AGAIN
from ev_sessions.assets.graph import asset_name
from ev_sessions.automation.refresh import range_tags
from ev_sessions.cli.home import recorded_runs
from ev_sessions.cli.months import month_runs
from ev_sessions.cli.refresh import QUIET, failure_of
from ev_sessions.cli.run import require_partitions
from ev_sessions.days import ONE_DAY, DayRange, consecutive, utc_today
from ev_sessions.definitions import build_defs
from ev_sessions.settings import Settings
from ev_sessions.tables import DAILY_TABLES
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.requarantine import Verdicts, touch_again, verdicts, was_stopped
from ev_sessions.warehouse.rules import RULES
from ev_sessions.warehouse.settings_history import SettingsInForce


def requarantine(environ: Mapping[str, str], first: date | None, last: date | None) -> None:
    """Judge and derive the days `first` to `last` (None: all that are derived) again, and print what that changed.

    Stopped or killed, the same call goes on where it was. The API is not asked.

    Raises:
        DayRangeError: a day that has no partition.
        DatabaseMissing, DatabaseLocked: the database cannot be used.
        RunFailed, RunStopped: a run failed, or was stopped.
    """
    settings = Settings.from_env(environ)
    now = datetime.now(UTC)
    today = utc_today(now)
    days = DayRange(first or settings.first_day, last or today - ONE_DAY)
    require_partitions(days, settings.first_day, today)
    database = Database(settings.database_path, settings.lock_timeout_seconds)
    began = time.monotonic()
    with database.reading() as connection:
        before, goes_on = verdicts(connection, days), was_stopped(connection, days)
    with recorded_runs(settings.dagster_home) as instance:
        with database.writing() as connection:
            touched = touch_again(connection, days, settings=SettingsInForce.of(settings), touched_at=now)
        if touched:
            _derive(environ, instance, touched, settings.max_partitions_per_run)
    with database.reading() as connection:
        after = verdicts(connection, days)
    typer.echo(f"{len(touched)} days judged again in {time.monotonic() - began:.1f} s")
    if goes_on:
        typer.echo("an earlier call did not come to its end: what it had changed by then is not told below")
    for line in _changes(before, after):
        typer.echo(line)


def _derive(environ: Mapping[str, str], instance: dg.DagsterInstance, touched: Sequence[date], most_days: int) -> None:
    """Derive the days `touched`, in one run: it takes up all that are marked. Of them it shows the newest as its partitions."""
    shown = consecutive(touched)[-1].split_back(most_days)[0]
    derived = (
        build_defs(environ)
        .resolve_implicit_global_asset_job_def()
        .execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(asset_name(table)) for table in DAILY_TABLES],
            tags=range_tags(shown) | NEVER_AGAIN,
            run_config={"loggers": QUIET},
            raise_on_error=False,
        )
    )
    _require_success(derived)
    for summed in month_runs(environ, instance, {"loggers": QUIET}):
        _require_success(summed)


def _require_success(result: dg.ExecuteInProcessResult) -> None:
    if not result.success:
        raise failure_of(result)


def _changes(before: Verdicts, after: Verdicts) -> Iterator[str]:
    """What differs: which sessions entered quarantine or left it, and how often each rule is broken."""
    entered, left = after.quarantined - before.quarantined, before.quarantined - after.quarantined
    refused = after.kept_out - len(after.quarantined)
    yield (
        f"quarantine: sessions that entered {len(entered)}, that left {len(left)}; "
        f"records in it {after.kept_out}, of them refused when read {refused}"
    )
    for rule in RULES:
        formerly, now = before.hits.get(rule, 0), after.hits.get(rule, 0)
        if formerly != now:
            yield f"{rule.severity:<5}  {rule.name}: {formerly:,} -> {now:,}"
