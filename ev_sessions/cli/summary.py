"""The table that a person wants to see after a run: the last days of the range, then its totals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ev_sessions.days import DayRange
from ev_sessions.warehouse import ledger
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.reading import open_data

_DAYS_SHOWN = 10


def show_days(console: Console, database: Path, days: DayRange) -> None:
    """Print the last days of `days` and the totals over all of them.

    Raises:
        DatabaseMissing, DatabaseLocked: the database cannot be read.
    """
    with open_data(database) as data:
        fleet = data.fleet_daily(days.first, days.last)
    with Database(database).reading() as connection:
        totals = ledger.totals(connection, days)
    table = Table(title=f"Charging sessions, {days}", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("day (UTC)", no_wrap=True)
    for name in ("sessions", "kWh", "cost EUR", "saved EUR", "rate", "coverage", "final"):
        table.add_column(name, justify="right", no_wrap=True)
    if len(fleet) > _DAYS_SHOWN:
        table.add_row(f"{len(fleet) - _DAYS_SHOWN} earlier")
    for day in fleet.tail(_DAYS_SHOWN).to_dict("records"):
        table.add_row(
            f"{day['session_day']:%Y-%m-%d}",
            *_sums(day),
            _share(day["savings_rate"]),
            _share(day["vehicles_read"] / day["vehicles_due"] if day["vehicles_due"] else None),
            _finality(day),
        )
    table.add_section()
    read = _share(totals.read_coverage)
    table.add_row(
        "total",
        *_sums(asdict(totals)),
        _share(totals.savings_rate),
        read,
        f"{totals.final_days}/{totals.days}",
    )
    console.print(table)
    console.print(
        "Coverage: vehicles read of those due. "
        f"The cost is known for {_share(totals.cost_coverage)} of the energy, the savings for {_share(totals.savings_coverage)}. "
        "Rate: savings over what the same energy would have cost unsteered, the platform's own claim. A day that is not final "
        "may still gain sessions: beside it stands, where that is known, "
        "how much of their energy past days had at its age.",
        style="dim",
    )
    if totals.quarantined or totals.flagged_sessions:
        console.print(
            f"Quality rules keep {totals.quarantined:,} records out and flag {totals.flagged_sessions:,} sessions: "
            f"`ev-sessions bad-rows --from {days.first} --to {days.last}` lists them.",
            style="dim",
        )


def _sums(figures: Mapping[Any, Any]) -> tuple[str, str, str, str]:
    return (
        f"{int(figures['sessions']):,}",
        _number(figures["energy_kwh"], 1),
        _number(figures["cost_eur"], 2),
        _number(figures["savings_eur"], 2),
    )


def _finality(day: Mapping[Any, Any]) -> str:
    if day["is_final"]:
        return "yes"
    return "no" if pd.isna(day["energy_maturity"]) else f"no, ~{day['energy_maturity']:.0%}"


def _number(value: Decimal | float | None, places: int) -> str:
    return "unknown" if value is None or pd.isna(float(value)) else f"{value:,.{places}f}"


def _share(value: float | None) -> str:
    return "unknown" if value is None or pd.isna(value) else f"{value:.1%}"
