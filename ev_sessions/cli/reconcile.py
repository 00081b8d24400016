"""`ev-sessions reconcile`: compares our sums with the API's own, and lists what does not agree with both numbers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import typer
from rich.console import Console

from ev_sessions.assets.failures import NEVER_AGAIN
from ev_sessions.assets.reconciliations import ReconcileConfig
from ev_sessions.cli.home import recorded_runs
from ev_sessions.cli.refresh import QUIET, failure_of
from ev_sessions.cli.values import as_json_value
from ev_sessions.definitions import build_defs
from ev_sessions.ingest.reconciliation import parse_past_month
from ev_sessions.reconciled import Reconciled, is_well
from ev_sessions.resources import PartnerApiResource
from ev_sessions.settings import Settings
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.reconciliation import rows_of_run

_ROWS_SHOWN = 40
_FIGURES = (("sessions", "sessions", 0), ("energy_kwh", "kWh", 3), ("savings_eur", "saved EUR", 2))

Row = Mapping[str, Any]


def show_reconciliation(environ: Mapping[str, str], month: str | None, vehicles: int | None, *, as_json: bool) -> bool:
    """Reconcile, and print what came of it; gives whether all is well (`ev_sessions.reconciled`).

    Raises:
        DayRangeError: `month` is none that can be reconciled.
        SettingsError: a setting is malformed or missing.
        RunFailed, RunStopped: the run failed, or was stopped.
    """
    settings = Settings.from_env(environ)
    PartnerApiResource.outside_dagster(settings, environ).client_config()
    if month is not None:
        parse_past_month(month, settings.first_day, datetime.now(UTC))
    rows = _run(environ, settings, ReconcileConfig(month=month, vehicles=vehicles))
    outcomes = Counter(Reconciled(row["outcome"]) for row in rows)
    if as_json:
        typer.echo(json.dumps(_as_json(rows, outcomes)))
    else:
        _show(Console(), rows, outcomes)
    return is_well(outcomes)


def _run(environ: Mapping[str, str], settings: Settings, config: ReconcileConfig) -> list[dict[str, Any]]:
    with recorded_runs(settings.dagster_home) as instance:
        result = (
            build_defs(environ)
            .resolve_job_def("reconcile")
            .execute_in_process(
                instance=instance,
                tags=NEVER_AGAIN,
                run_config={"ops": {"raw_reconciliations": {"config": config.model_dump()}}, "loggers": QUIET},
                raise_on_error=False,
            )
        )
    if not result.success:
        raise failure_of(result)
    with Database(settings.database_path, settings.lock_timeout_seconds).reading() as connection:
        return rows_of_run(connection, result.run_id)


def _as_json(rows: Sequence[Row], outcomes: Mapping[Reconciled, int]) -> dict[str, Any]:
    return {
        "months": sorted({f"{row['report_month']:%Y-%m}" for row in rows}),
        "vehicles": len({row["electric_vehicle_id"] for row in rows} - {None}),
        "outcomes": dict(outcomes),
        "not_agreeing": [{name: as_json_value(value) for name, value in row.items()} for row in _apart(rows)],
    }


def _show(console: Console, rows: Sequence[Row], outcomes: Mapping[Reconciled, int]) -> None:
    if not rows:
        console.print("No month can be reconciled yet: one can be once all of its days are read, and the last one can be final.")
        return
    apart = _apart(rows)
    for row in apart[:_ROWS_SHOWN]:
        # As wide as they are: an id that is cut off is none.
        console.print("\n".join(_lines(row)), markup=False, highlight=False, soft_wrap=True)
    if len(apart) > _ROWS_SHOWN:
        console.print(f"{len(apart) - _ROWS_SHOWN} more stand in raw.reconciliations.", style="dim")
    vehicles = len({row["electric_vehicle_id"] for row in rows} - {None})
    told = ", ".join(f"{outcome} {count}" for outcome, count in sorted(outcomes.items()))
    console.print(f"The organisation and {vehicles} vehicles, {len(rows)} months in all: {told}.")
    console.print("Agreement proves that the sessions were copied right, not that the platform's savings are.", style="dim")


def _apart(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["outcome"] != Reconciled.AGREES]


def _lines(row: Row) -> Iterator[str]:
    whose = "the organisation" if row["electric_vehicle_id"] is None else f"vehicle {row['electric_vehicle_id']}"
    yield f"{row['report_month']:%Y-%m}  {whose}  {row['outcome']}"
    both = (
        f"{name} {_number(row[column], places)} / {_number(row[f'api_{column}'], places)}" for column, name, places in _FIGURES
    )
    yield f"         ours / the API's: {', '.join(both)}"
    yield f"         {row['cause']}"


def _number(value: Decimal | int | None, places: int) -> str:
    return "-" if value is None else f"{value:,.{places}f}"
