"""`ev-sessions`: the commands, their help and their exit status. What they do stands in the modules beside this one.

Exit status: 0 done, 1 failed, 2 wrong use or settings, 3 done but some vehicles could not be read or some sums disagree,
130 stopped with Ctrl-C before or between its runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec, TypeVar
from uuid import UUID

import typer

from ev_sessions.days import ONE_DAY, DayRange, DayRangeError, parse_day, parse_instant, parse_month, utc_today
from ev_sessions.errors import EvSessionsError, PermanentError
from ev_sessions.settings import SettingsError
from ev_sessions.warehouse.rules import Family, Severity, UnknownRule

FAILED, WRONG_USE, INCOMPLETE, STOPPED = 1, 2, 3, 130

P = ParamSpec("P")
R = TypeVar("R")

app = typer.Typer(
    name="ev-sessions",
    help="Electric-vehicle charging sessions from a partner API into DuckDB, day by day, through Dagster.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


class WrongArgument(PermanentError):
    """An argument that means nothing to its command."""


def one_line_errors(command: Callable[P, R]) -> Callable[P, R]:
    """End `command` with one line on standard error and the right exit status where it is stopped or our own errors leave it."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (SettingsError, DayRangeError, WrongArgument, UnknownRule) as error:
            raise _ended(error, WRONG_USE) from None
        except EvSessionsError as error:
            raise _ended(error, FAILED) from None
        except KeyboardInterrupt:
            # Between two runs, or before the first: a run under way says more.
            raise _ended("stopped; the same command goes on where it was", STOPPED) from None

    return guarded


def _ended(cause: EvSessionsError | str, status: int) -> typer.Exit:
    # Some messages quote others' words, which may have several lines.
    typer.echo(f"ev-sessions: {' '.join(str(cause).split())}", err=True)
    return typer.Exit(status)


@app.command(epilog="Example: `ev-sessions run --from 2026-03-01 --to 2026-03-31`")
@one_line_errors
def run(
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="First UTC day, YYYY-MM-DD.")],
    last: Annotated[str, typer.Option("--to", metavar="DAY", help="Last UTC day, included; yesterday at the latest.")],
    vehicles_from: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV of user_id,electric_vehicle_id: ask for these vehicles alone.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a summary.")] = False,
) -> None:
    """Fetch, land and derive a range of days: fleet, raw sessions, derived tables, recorded in Dagster's history.

    Reading days again is safe: what did not change stays, and a run that was killed goes on where it was.
    """
    from ev_sessions.cli.run import run_range

    failed = run_range(os.environ, DayRange(parse_day(first), parse_day(last)), vehicles_from, as_json=as_json)
    if failed:
        raise typer.Exit(INCOMPLETE)


@app.command(epilog="Example: `ev-sessions backfill --from 2025-01-01 --to 2025-12-31 --dry-run`")
@one_line_errors
def backfill(
    first: Annotated[str, typer.Option("--from", metavar="DAY", help="First UTC day, YYYY-MM-DD.")],
    last: Annotated[str, typer.Option("--to", metavar="DAY", help="Last UTC day, included; yesterday at the latest.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it costs: ask nothing, write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a summary.")] = False,
) -> None:
    """Read a long range of days, batch by batch, behind the daily work; says beforehand how many requests and how long.

    Stopped or killed, the same command goes on where it was: batches that are done are not read again, unlike with `run`.
    """
    from ev_sessions.cli.backfill import run_backfill, tell_backfill

    days = DayRange(parse_day(first), parse_day(last))
    if dry_run:
        tell_backfill(os.environ, days, as_json=as_json)
    elif run_backfill(os.environ, days, as_json=as_json):
        raise typer.Exit(INCOMPLETE)


@app.command(epilog="Example: `ev-sessions demo`")
@one_line_errors
def demo() -> None:
    """Run the whole way once against a simulated fleet of 200 vehicles and 30 days, and show what comes out."""
    from ev_sessions.cli.demo import run_demo

    run_demo(os.environ)


@app.command(epilog="Example: `ev-sessions doctor --probe`")
@one_line_errors
def doctor(
    probe: Annotated[
        bool,
        typer.Option(
            "--probe", help="Find out what the API's from and to filter on, with about 40 requests, and print the setting."
        ),
    ] = False,
) -> None:
    """Check settings, token, organisation, fleet, sessions, database, history, disk and clock: what works and what to do.

    Nothing is written, and the API is asked fewer than ten times.
    """
    from ev_sessions.cli.doctor import show_examination, show_probe

    if probe:
        show_probe(os.environ)
    else:
        show_examination(os.environ)


@app.command(epilog="Example: `ev-sessions ui --port 3000`")
@one_line_errors
def ui(port: Annotated[int, typer.Option(help="Port of the web page on this machine.")] = 3000) -> None:
    """Open Dagster's UI on the history of `ev-sessions run`: `dagster dev` with DAGSTER_HOME set. Ends with Ctrl-C."""
    from ev_sessions.cli.ui import serve_ui

    serve_ui(os.environ, port)


@app.command(epilog="Example: `ev-sessions sandbox --vehicles 1000 --rate-limit 100`")
@one_line_errors
def sandbox(
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 8765,
    vehicles: Annotated[int, typer.Option(help="Vehicles in the fleet.")] = 200,
    vehicles_per_user: Annotated[int, typer.Option(help="Vehicles of one customer.")] = 1,
    days: Annotated[int, typer.Option(help="Days of history.")] = 30,
    end: Annotated[str | None, typer.Option(metavar="DAY", help="Last day of the history; default: yesterday.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed is another fleet.")] = 1,
    latency_ms: Annotated[float, typer.Option(help="How long every answer takes (ms).")] = 0.0,
    rate_limit: Annotated[float, typer.Option(help="Requests per second above which it answers 429; 0: none.")] = 0.0,
    fail_rate: Annotated[float, typer.Option(help="Share of requests that fail in some way (0..1).")] = 0.0,
    token_ttl: Annotated[int, typer.Option(help="Seconds for which a token is valid.")] = 36_000,
    drift: Annotated[float, typer.Option(help="Share of long lists that shift between two pages (0..1).")] = 0.0,
    wrong_savings: Annotated[
        float, typer.Option(help="Share of vehicles whose savings the API's own sums have wrong (0..1).")
    ] = 0.0,
    odd_savings: Annotated[
        bool, typer.Option("--odd-savings", help="Send the API's own sums in a shape that nobody expects.")
    ] = False,
    now: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="A clock that stands still, for example 2026-04-01T03:15:00Z.")
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Serve recorded sessions (CSV or NDJSON, also .gz) instead of a simulation."),
    ] = None,
) -> None:
    """Serve a simulated partner API in the foreground, and print the settings that point `ev-sessions` at it."""
    from ev_sessions.cli.sandbox import serve_sandbox
    from ev_sessions.sandbox import SandboxOptions

    options = SandboxOptions(
        end=_yesterday() if end is None else parse_day(end),
        days=days,
        vehicles=vehicles,
        vehicles_per_user=vehicles_per_user,
        seed=seed,
        latency_ms=latency_ms,
        rate_limit=rate_limit,
        fail_rate=fail_rate,
        token_ttl=token_ttl,
        drift=drift,
        wrong_savings=wrong_savings,
        odd_savings=odd_savings,
        now=None if now is None else parse_instant(now),
    )
    serve_sandbox(options, port, replay)


@app.command(epilog="Example: `ev-sessions reconcile --month 2026-03`")
@one_line_errors
def reconcile(
    month: Annotated[
        str | None,
        typer.Option(
            metavar="MONTH", help="One month, YYYY-MM; default: the newest twelve that are read whole and final by age."
        ),
    ] = None,
    vehicles: Annotated[
        int | None, typer.Option(min=1, help="Vehicles to ask at most; default: as many as RECONCILE_REQUESTS allows.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a summary.")] = False,
) -> None:
    """Compare our sums with the API's own: the organisation's, and those of the vehicles that were compared longest ago.

    What does not agree is listed with both numbers and the likely cause. It proves that we copied right, not that the platform's
    savings are.
    """
    from ev_sessions.cli.reconcile import show_reconciliation

    if not show_reconciliation(os.environ, month, vehicles, as_json=as_json):
        raise typer.Exit(INCOMPLETE)


@app.command(epilog="Example: `ev-sessions bad-rows --family money --from 2026-03-01 --to 2026-03-31`")
@one_line_errors
def bad_rows(
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="First session day, YYYY-MM-DD.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last session day, included; default: all.")] = None,
    rule: Annotated[str | None, typer.Option(metavar="NAME", help="One rule, by its name.")] = None,
    family: Annotated[Family | None, typer.Option(help="Rules about one thing.")] = None,
    severity: Annotated[
        Severity | None, typer.Option(help="Rules of one severity; default: error and warn. What is only counted is judged now.")
    ] = None,
    vehicle: Annotated[str | None, typer.Option(metavar="ID", help="Rows of one vehicle, by its UUID.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Rows to show, the newest first; all are counted.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a table for a spreadsheet instead of lines.")] = False,
) -> None:
    """List the sessions and records that quality rules keep out or flag, with the reason and the values that matter."""
    from ev_sessions.cli import bad_rows as found

    if as_json and as_csv:
        raise WrongArgument("--json and --csv are two forms; choose one")
    rules = found.sought_rules(rule, family, severity)
    vehicle_id = None if vehicle is None else _uuid(vehicle, "a vehicle")
    render = found.as_json if as_json else found.as_csv if as_csv else found.as_lines
    found.show_bad_rows(os.environ, *_bounds(first, last), rules, vehicle_id, limit, render)


@app.command(epilog="Example: `ev-sessions requarantine --from 2026-03-01 --to 2026-03-31`")
@one_line_errors
def requarantine(
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="First session day; default: FIRST_DAY.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last session day, included; default: all.")] = None,
) -> None:
    """Judge days again by the limits in force now, derive and publish them, and tell what that changed. The API is not asked.

    For after a change of LIMITS: without it, only days that are derived anyway are judged by the new ones. Stopped or killed, the
    same command goes on where it was.
    """
    from ev_sessions.cli.requarantine import requarantine as judge_again

    judge_again(os.environ, *_bounds(first, last))


@app.command(epilog="Example: `ev-sessions backup /backups/ev_sessions-2026-03-31.duckdb`")
@one_line_errors
def backup(target: Annotated[Path, typer.Argument(help="The file to write; it must not exist yet.")]) -> None:
    """Copy the database, checked, to another file. Former versions of sessions cannot be fetched again."""
    from ev_sessions.cli.backup import back_up

    back_up(os.environ, target)


@app.command(epilog="Example: `ev-sessions restore /backups/ev_sessions-2026-03-31.duckdb`")
@one_line_errors
def restore(source: Annotated[Path, typer.Argument(help="A file that `ev-sessions backup` wrote.")]) -> None:
    """Put a backup in the place of the database. The present one is kept beside it."""
    from ev_sessions.cli.backup import put_back

    put_back(os.environ, source)


@app.command(epilog="Example: `ev-sessions history 3f2b8c1e-6d0a-4f57-9a83-0c1d2e3f4a5b`")
@one_line_errors
def history(
    session_id: Annotated[str, typer.Argument(metavar="SESSION_ID", help="The session's id, a UUID.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with every value of every version.")] = False,
) -> None:
    """Tell the story of one session, from what is published: first seen, restated, vanished, come back, and how it stands."""
    from ev_sessions.cli.session_history import show_history

    show_history(os.environ, _uuid(session_id, "a session"), as_json=as_json)


@app.command(epilog="Example: `ev-sessions diff --month 2026-03 --since 2026-04-02T03:15:00Z`")
@one_line_errors
def diff(
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="The month of the report date.")],
    since: Annotated[str, typer.Option(metavar="INSTANT", help="What was known then is compared with now; UTC without a zone.")],
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="Sessions named for each cause, and customers; 0: all. Default: 10, with --json all."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a summary.")] = False,
) -> None:
    """Explain why a month's figures changed since an instant, from what is published: late, restated, vanished, rule, setting.

    The causes sum to the difference. It names sessions and customers.
    """
    from ev_sessions.cli.diff import show_difference

    show_difference(os.environ, parse_month(month), parse_instant(since), most=limit, as_json=as_json)


def _uuid(text: str, of: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise WrongArgument(f"{text!r} is not the id of {of}; it is a UUID such as {UUID(int=0)}") from None


def _bounds(first: str | None, last: str | None) -> tuple[date | None, date | None]:
    """The days of `--from` and `--to`, either of which may be missing."""
    days = None if first is None else parse_day(first), None if last is None else parse_day(last)
    if days[0] and days[1]:
        DayRange(days[0], days[1])
    return days


def _yesterday() -> date:
    return utc_today(datetime.now(UTC)) - ONE_DAY
