"""The table that a person wants to see after a run: the last days of the range, then its totals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from ev_sessions.days import DayRange
from ev_sessions.warehouse.reading import open_data

_DAYS_SHOWN = 10


def show_days(console: Console, database: Path, days: DayRange) -> None:
    """Print the last days of `days` and the totals over all of them.

    Raises:
        DatabaseMissing, DatabaseLocked: the database cannot be read.
    """
    with open_data(database) as data:
        fleet = data.fleet_daily(days.first, days.last)
    table = Table(title=f"Charging sessions, {days}", title_justify="left")
    for name in ("day (UTC)", "sessions", "kWh", "cost EUR", "savings EUR", "savings rate", "vehicles read", "final"):
        table.add_column(name, justify="left" if name.startswith("day") else "right", no_wrap=True)
    if len(fleet) > _DAYS_SHOWN:
        table.add_row(f"... {len(fleet) - _DAYS_SHOWN} days before")
    for day in fleet.tail(_DAYS_SHOWN).to_dict("records"):
        table.add_row(
            f"{day['session_day']:%Y-%m-%d}",
            *_sums(day),
            _share(day["savings_rate"]),
            f"{day['vehicles_read']} of {day['vehicles_due']}",
            "yes" if day["is_final"] else "no",
        )
    table.add_section()
    totals = fleet.sum(numeric_only=True, min_count=1).to_dict()
    rate = _ratio(totals["savings_with_cost_eur"], totals["counterfactual_eur"])
    read = f"{_ratio(totals['vehicles_read'], totals['vehicles_due']):.1%} of days" if totals["vehicles_due"] else "none due"
    table.add_row("total", *_sums(totals), _share(rate), read, "")
    console.print(table)
    console.print(
        "Savings rate: savings over what the same energy would have cost unsteered, which is the platform's own claim. "
        "A day that is not final may still gain sessions.",
        style="dim",
    )


def _sums(figures: dict[Any, Any]) -> tuple[str, str, str, str]:
    return (
        f"{int(figures['sessions']):,}",
        _number(figures["energy_kwh"], 1),
        _number(figures["cost_eur"], 2),
        _number(figures["savings_eur"], 2),
    )


def _number(value: float | None, places: int) -> str:
    return "unknown" if value is None or pd.isna(value) else f"{value:,.{places}f}"


def _share(value: float | None) -> str:
    return "unknown" if value is None or pd.isna(value) else f"{value:.1%}"


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if not pd.isna(whole) and whole > 0 else None
