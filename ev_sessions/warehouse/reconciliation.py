"""Compares our sums with the API's own, keeps what came of it in `raw.reconciliations`, and answers for it.

Ours are over raw.sessions, with the rows that error rules keep out of what is derived: what is proved is that we copied right.
Whom to ask next is answered here too, since the table knows who was asked when.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import duckdb
import pyarrow as pa

from ev_sessions.days import ONE_DAY, DayRange, utc_today
from ev_sessions.reconciled import Reconciled
from ev_sessions.stage.schemas import arrow_schema
from ev_sessions.tables import RAW_RECONCILIATIONS
from ev_sessions.warehouse.comparison import (
    ALL_CUTS,
    AMOUNTS,
    CUTS,
    FIGURES,
    OURS,
    Bundle,
    Comparison,
    compare,
    own_figures,
    possible_cuts,
)
from ev_sessions.warehouse.scripts import frugally, read_script, run_sql, transaction

_MEGABYTES = 256
_NEVER = datetime.min.replace(tzinfo=UTC)

Row = Mapping[str, Any]
Key = tuple[UUID | None, date]
"""A vehicle (None: the whole organisation) and the first day of a month."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The circumstances of one reconciliation.

    `asked_at` (aware) is when it began. `share` is how far sums may differ. `lookback_days` is the age (days) at which a month
    can be final. `fleet_is_chosen`: the vehicles are those that a file names, which need not be all.
    """

    org_id: UUID
    asked_at: datetime
    run_id: str
    share: Decimal
    lookback_days: int
    fleet_is_chosen: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """How many months of how many vehicles (of the organisation: 0) ended with `outcome`, and the sums of both sides (kWh, EUR).

    Sums are over what both sides gave; None: they did not. `cause` is that of any of them.
    """

    outcome: Reconciled
    months: int
    vehicles: int
    energy_kwh: Decimal | None
    api_energy_kwh: Decimal | None
    savings_eur: Decimal | None
    api_savings_eur: Decimal | None
    cause: str | None


@dataclass(frozen=True, slots=True)
class _Circumstances:
    """What on our side could make a difference in one month: counts, and when its first day was last read (aware)."""

    unread_vehicle_days: int
    not_landed: int
    kept_out: int
    vanished: int
    read_at: datetime | None


def whom_to_ask(connection: duckdb.DuckDBPyConnection, org_id: UUID, most: int) -> list[UUID]:
    """The organisation's vehicles in the order to ask them: those reconciled longest ago first, never before all.

    Those that differed when they were asked last go before them, as far as they are no more than half of the `most` that may
    be asked: so a difference is looked at again at once, and every other vehicle still has its turn.
    """
    rows = run_sql(connection, read_script("questions/reconciliation_order.sql"), {"org_id": org_id}).fetchall()
    again = [vehicle for vehicle, differed in rows if differed][: most // 2]
    return list(dict.fromkeys([*again, *(vehicle for vehicle, _ in rows)]))


def months_in_turn(connection: duckdb.DuckDBPyConnection, org_id: UUID, months: Iterable[date]) -> list[date]:
    """`months` (first days) in the order to ask for the organisation's sums: those asked longest ago first, never before all.

    Of those asked at the same time, or never, the newest comes first.
    """
    rows = connection.execute(
        """
        SELECT report_month, max(asked_at)
        FROM raw.reconciliations
        WHERE org_id = ? AND electric_vehicle_id IS NULL
        GROUP BY report_month
        """,
        [org_id],
    ).fetchall()
    asked_at: dict[date, datetime] = dict(rows)
    return sorted(sorted(months, reverse=True), key=lambda month: asked_at.get(month, _NEVER))


def reconcile(connection: duckdb.DuckDBPyConnection, answers: Sequence[Row], asked: Asked) -> None:
    """Compare `answers`, rows as `ev_sessions.ingest.reconciliation` gives them, with ours, and keep both, in one transaction.

    Raises:
        duckdb.Error: nothing is kept.
    """
    if answers:
        frugally(connection, _MEGABYTES, lambda: _reconcile(connection, answers, asked))


def outcomes(connection: duckdb.DuckDBPyConnection, *, in_total: bool, months: int) -> list[Ended]:
    """How the newest reconciliations of the newest `months` ended: of the vehicles, or of the organisation `in_total`."""
    values = {"in_total": in_total, "months": months}
    rows = run_sql(connection, read_script("questions/reconciled.sql"), values).fetchall()
    return [Ended(Reconciled(outcome), *figures) for outcome, *figures in rows]


def rows_of_run(connection: duckdb.DuckDBPyConnection, run_id: str) -> list[dict[str, Any]]:
    """The rows of `raw.reconciliations` that one run wrote: the organisation's first, then the vehicles', by month."""
    relation = connection.execute(
        "FROM raw.reconciliations WHERE run_id = ? ORDER BY electric_vehicle_id NULLS FIRST, report_month", [run_id]
    )
    return [dict(zip(RAW_RECONCILIATIONS.column_names, row, strict=True)) for row in relation.fetchall()]


def _reconcile(connection: duckdb.DuckDBPyConnection, answers: Sequence[Row], asked: Asked) -> None:
    with transaction(connection):
        own = _own_sums(connection, answers, asked.org_id)
        compared = _compared(answers, own, asked.share)
        causes = _circumstances(connection, [key for key, found in compared.items() if found.outcome is Reconciled.DIFFERS])
        rows = [_written(row, own.get(row["electric_vehicle_id"], []), compared[_key(row)], causes, asked) for row in answers]
        _insert(connection, rows)


def _own_sums(connection: duckdb.DuckDBPyConnection, answers: Sequence[Row], org_id: UUID) -> dict[UUID | None, list[Bundle]]:
    months = [row["report_month"] for row in answers]
    values = {
        "org_id": org_id,
        "first": min(months),
        "last": DayRange.month(max(months)).last,
        "vehicles": [vehicle for vehicle in {row["electric_vehicle_id"] for row in answers} if vehicle is not None],
    }
    everybody = read_script("questions/own_sums.sql", vehicle="NULL", which="true")
    single = read_script(
        "questions/own_sums.sql",
        vehicle="electric_vehicle_id",
        which="electric_vehicle_id IN (SELECT unnest($vehicles::UUID[]))",
    )
    found: dict[UUID | None, list[Bundle]] = {}
    for question in (everybody, single):
        for vehicle, cut_months, *sums in run_sql(connection, question, values).fetchall():
            found.setdefault(vehicle, []).append(Bundle(tuple(cut_months), *sums))
    return found


def _compared(answers: Sequence[Row], own: Mapping[UUID | None, Sequence[Bundle]], share: Decimal) -> dict[Key, Comparison]:
    """What comes of each row, by the cuts of the month that the vehicles show to be the API's: there is one for all."""

    def compared(rows: Iterable[Row], cuts: frozenset[int]) -> dict[Key, Comparison]:
        return {_key(row): _comparison(row, own.get(row["electric_vehicle_id"], []), share, cuts) for row in rows}

    by_themselves = compared((row for row in answers if row["electric_vehicle_id"] is not None), ALL_CUTS)
    return compared(answers, possible_cuts(by_themselves.values()))


def _comparison(row: Row, bundles: Sequence[Bundle], share: Decimal, cuts: frozenset[int]) -> Comparison:
    if row["outcome"] is not None:
        return Comparison(row["outcome"], row["cause"])
    api = _api_figures(row)
    if all(value is None for value in api.values()) and any(row["report_month"] in bundle.months for bundle in bundles):
        return Comparison(Reconciled.UNEXPECTED, "the answer leaves the month out, in which there are sessions here")
    found = compare(api, bundles, row["report_month"], share, cuts)
    if found.outcome is not Reconciled.DIFFERS and _counts_alone(api, own_figures(bundles, row["report_month"])):
        alone = "the answer gives a count alone: the energy and savings here cannot be compared"
        return Comparison(Reconciled.UNEXPECTED, alone)
    return found


def _counts_alone(api: Mapping[str, Decimal | None], own: Mapping[str, Decimal | None]) -> bool:
    return all(api[name] is None for name in AMOUNTS) and any(own[name] is not None for name in AMOUNTS)


def _circumstances(connection: duckdb.DuckDBPyConnection, keys: Sequence[Key]) -> dict[Key, _Circumstances]:
    connection.execute(
        """
        CREATE OR REPLACE TEMP TABLE differing AS
        SELECT unnest($vehicles::UUID[]) AS electric_vehicle_id, unnest($months::DATE[]) AS report_month
        """,
        {"vehicles": [vehicle for vehicle, _ in keys], "months": [month for _, month in keys]},
    )
    rows = run_sql(connection, read_script("questions/reconciliation_causes.sql")).fetchall()
    return {(vehicle, month): _Circumstances(*counts) for vehicle, month, *counts in rows}


def _written(
    row: Row, bundles: Sequence[Bundle], found: Comparison, causes: Mapping[Key, _Circumstances], asked: Asked
) -> dict[str, Any]:
    own = own_figures(bundles, row["report_month"])
    cause = found.cause
    if found.outcome is Reconciled.DIFFERS:
        compared = own_figures(bundles, row["report_month"], found.cut)
        cause = f"{_apart(found)}: {_likely_cause(row, compared, found.apart, causes[_key(row)], asked)}"
    return {
        **row,
        **own,
        "sessions": int(own["sessions"] or 0),
        "org_id": asked.org_id,
        "asked_at": asked.asked_at,
        "run_id": asked.run_id,
        "outcome": found.outcome,
        "cause": cause,
    }


def _apart(found: Comparison) -> str:
    names = ", ".join(_WORDS[name] for name in FIGURES if name in found.apart)
    return names if found.cut == OURS else f"{names} (where the month is cut by {CUTS[found.cut]})"


def _likely_cause(row: Row, own: Mapping[str, Decimal | None], apart: frozenset[str], ours: _Circumstances, asked: Asked) -> str:
    """What on our side fits the direction of the difference, or that nothing does: where the counts are the same, no row is."""
    api, month = _api_figures(row), DayRange.month(row["report_month"])
    rows_differ = api["sessions"] != own["sessions"]
    less = rows_differ and any((own[name] or 0) < (api[name] or 0) for name in apart)
    more = rows_differ and any((own[name] or 0) > (api[name] or 0) for name in apart)
    in_total = row["electric_vehicle_id"] is None
    found = [
        (less and ours.unread_vehicle_days, f"{ours.unread_vehicle_days} vehicle-days are unread"),
        (less and ours.not_landed, f"{ours.not_landed} records in quarantine are not in raw.sessions"),
        (less and ours.vanished, f"{ours.vanished} sessions are no longer listed and may still be in the API's sums"),
        (more and ours.kept_out, f"{ours.kept_out} sessions that error rules keep out may not be in the API's sums"),
        (less and in_total and asked.fleet_is_chosen, "the fleet file may leave vehicles out"),
        (month.last >= utc_today(asked.asked_at) - ONE_DAY * asked.lookback_days, "the month is not final yet"),
    ]
    causes = [cause for holds, cause in found if holds] or [_nothing_here(ours.read_at)]
    return "; ".join(causes)


def _nothing_here(read_at: datetime | None) -> str:
    since = "" if read_at is None else f", on {read_at.astimezone(UTC):%Y-%m-%d}"
    return f"nothing here explains it: the API's sums are off, or its sessions changed after they were read last{since}"


_WORDS = {"sessions": "count", "energy_kwh": "energy", "savings_eur": "savings"}


def _insert(connection: duckdb.DuckDBPyConnection, rows: Sequence[Row]) -> None:
    with_text_ids = [{name: str(value) if isinstance(value, UUID) else value for name, value in row.items()} for row in rows]
    connection.register("reconciled", pa.Table.from_pylist(with_text_ids, schema=arrow_schema(RAW_RECONCILIATIONS.columns)))
    try:
        connection.execute("INSERT INTO raw.reconciliations BY NAME FROM reconciled")
    finally:
        connection.unregister("reconciled")


def _api_figures(row: Row) -> dict[str, Decimal | None]:
    return {name: None if row[f"api_{name}"] is None else Decimal(row[f"api_{name}"]) for name in FIGURES}


def _key(row: Row) -> Key:
    return row["electric_vehicle_id"], row["report_month"]
