"""`ev-sessions diff`: why a month's figures are not what they were, for a person who has to explain them, or as JSON.

It names sessions and customers, on the screen of whoever asks: nothing of it goes into Dagster's history.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ev_sessions.cli.values import as_customer, as_json_value
from ev_sessions.days import DayRange
from ev_sessions.settings import Settings
from ev_sessions.warehouse.difference import Cause, ChangedSession, ChangedUser, Difference, Figures, difference
from ev_sessions.warehouse.publish import as_it_is_now, published_views
from ev_sessions.warehouse.versions import as_second

_MEANINGS = {
    Cause.LATE: "not listed yet then",
    Cause.RESTATED: "its content changed, or the month that it reports to",
    Cause.VANISHED: "listed no longer",
    Cause.RULE: "kept out by a quality rule, or sent in a form that cannot be used, then and not now, or now and not then",
    Cause.SETTING: "other limits of the rules, or another REPORT_DATE",
}
_UNITS = {"sessions": "sessions", "energy_kwh": "kWh", "cost_eur": "EUR", "savings_eur": "EUR saved"}
_WORDS = {"energy_kwh": "energy", "cost_eur": "cost", "savings_eur": "savings"}
_NAMES = tuple(field.name for field in fields(Figures))


MOST = 10
"""How many sessions of each cause, and how many customers, a screen names unless it is told otherwise."""


def show_difference(
    environ: Mapping[str, str], month: DayRange, since: datetime, *, most: int | None = None, as_json: bool
) -> None:
    """Print why the figures of `month` differ from what was known at `since` (aware), from what is published.

    It names `most` sessions of each cause and as many customers, 0: all. None: `MOST` on the screen, all in JSON.

    Raises:
        NothingKnown: nothing was known by then.
        NothingToCompare: nothing is known of the month, or derived at all.
        DatabaseMissing: nothing is published at all.
    """
    views = published_views(Settings.from_env(environ))
    if most is None and not as_json:
        most = MOST
    with as_it_is_now(views).reading() as connection:
        found = difference(connection, month, since, now=datetime.now(UTC), most=most or None)
    if as_json:
        typer.echo(json.dumps(_as_json(found)))
        return
    console = Console()
    console.print(f"{found.report_month:%Y-%m}, from what was known at {as_second(found.since)} to now", highlight=False)
    console.print(_table(found))
    for line in _remarks(found):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _table(found: Difference) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("", "sessions", "kWh", "cost EUR", "saved EUR", "concerned"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    table.add_row("then", *_plain(found.then))
    for cause, effect in found.effects.items():
        table.add_row(cause, *_signed(effect.change), f"{effect.sessions:,}")
    table.add_section()
    table.add_row("now", *_plain(found.now))
    return table


def _remarks(found: Difference) -> Iterator[str]:
    if found.stored != found.now:
        yield (
            f"analytics.monthly_savings has other figures ({_told(found.stored)}): what landed, or a changed setting, is not in "
            "it yet. The next run sums touched months up; `ev-sessions requarantine` judges all days by the settings of now."
        )
    if not found.settings_were_known:
        yield "No figures had been derived by then: the settings of then are taken to be the first ones that were."
    if found.settings_then != found.settings_now:
        yield f"Settings then: {found.settings_then.as_json()}; now: {found.settings_now.as_json()}"
    for cause, effect in found.effects.items():
        if effect.sessions:
            yield f"\n{cause}: {effect.sessions:,} ({_MEANINGS[cause]}){_moves(effect.moved_in, effect.moved_out)}"
            named = [f"  {_session(session)}" for session in found.sessions if session.cause is cause]
            yield from (*named, *_more(effect.sessions - len(named)))
    if found.users:
        yield "\nCustomers whose savings changed most (EUR):"
    for user in found.users:
        savings = f"{_number(user.savings_then_eur)} -> {_number(user.savings_now_eur)}"
        yield f"  {as_customer(user.user_id, user.external_user_id)}: {savings}"
    yield from _more(found.changed_users - len(found.users))


def _more(unnamed: int) -> Iterator[str]:
    if unnamed:
        yield f"  and {unnamed:,} more, which --limit 0 names"


def _session(session: ChangedSession) -> str:
    months = ""
    if session.month_then and session.month_now and session.month_then != session.month_now:
        months = f", reported to {session.month_then:%Y-%m}, now to {session.month_now:%Y-%m}"
    owner = as_customer(session.user_id, session.external_user_id)
    return (
        f"{session.session_id} of vehicle {session.electric_vehicle_id}, customer {owner}: "
        f"{_told(session.change, signed=True)}{months}"
    )


def _moves(moved_in: int, moved_out: int) -> str:
    moves = [
        f"{count:,} {words}" for count, words in ((moved_in, "from another month"), (moved_out, "to another month")) if count
    ]
    return f"; {', '.join(moves)}" if moves else ""


def _told(figures: Figures, *, signed: bool = False) -> str:
    """The figures in a row of words; of a change, only what changed."""
    shown = {name: getattr(figures, name) for name in _NAMES if getattr(figures, name) or not signed}
    return ", ".join(_worded(name, value, signed=signed) for name, value in shown.items())


def _worded(name: str, value: Decimal | int | None, *, signed: bool) -> str:
    if value is None:
        return f"{_WORDS[name]} unknown"
    unit = "session" if name == "sessions" and abs(value) == 1 else _UNITS[name]
    return f"{_number(value, signed=signed)} {unit}"


def _plain(figures: Figures) -> tuple[str, ...]:
    return tuple(_number(getattr(figures, name)) for name in _NAMES)


def _signed(figures: Figures) -> tuple[str, ...]:
    return tuple(_number(getattr(figures, name), signed=True) if getattr(figures, name) else "" for name in _NAMES)


def _number(value: Decimal | int | None, *, signed: bool = False) -> str:
    """`value` in full: rounded, the causes would not add up for a reader."""
    return "unknown" if value is None else f"{Decimal(value).normalize():{'+' if signed else ''},f}"


def _as_json(found: Difference) -> dict[str, Any]:
    return {
        "month": f"{found.report_month:%Y-%m}",
        "since": as_json_value(found.since),
        "then": _figures(found.then),
        "causes": {
            cause: {
                "sessions_concerned": effect.sessions,
                "moved_in": effect.moved_in,
                "moved_out": effect.moved_out,
                "change": _figures(effect.change),
            }
            for cause, effect in found.effects.items()
        },
        "now": _figures(found.now),
        "monthly_savings": _figures(found.stored),
        "settings_then": json.loads(found.settings_then.as_json()) if found.settings_were_known else None,
        "settings_now": json.loads(found.settings_now.as_json()),
        "sessions": [_session_as_json(session) for session in found.sessions],
        "users_concerned": found.changed_users,
        "users": [_user_as_json(user) for user in found.users],
    }


def _figures(figures: Figures) -> dict[str, object]:
    return {name: as_json_value(value) for name, value in asdict(figures).items()}


def _session_as_json(session: ChangedSession) -> dict[str, object]:
    return {
        "cause": session.cause,
        "session_id": str(session.session_id),
        "electric_vehicle_id": str(session.electric_vehicle_id),
        "user_id": str(session.user_id),
        "external_user_id": session.external_user_id,
        "month_then": session.month_then and f"{session.month_then:%Y-%m}",
        "month_now": session.month_now and f"{session.month_now:%Y-%m}",
        "change": _figures(session.change),
    }


def _user_as_json(user: ChangedUser) -> dict[str, object]:
    return {
        "user_id": str(user.user_id),
        "external_user_id": user.external_user_id,
        "savings_then_eur": as_json_value(user.savings_then_eur),
        "savings_now_eur": as_json_value(user.savings_now_eur),
    }
