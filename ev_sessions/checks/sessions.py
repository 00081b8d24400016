"""The checks of `raw_sessions`: was everything read, does it add up, may what is derived be built on it."""

from collections.abc import Callable, Iterator

import dagster as dg
import duckdb

from ev_sessions.assets.failures import failures_told
from ev_sessions.assets.graph import DATABASE_POOL, Graph
from ev_sessions.checks.findings import Finding, days_to_check
from ev_sessions.days import DayRange
from ev_sessions.resources import Clock, WarehouseResource
from ev_sessions.tables import RAW_SESSIONS
from ev_sessions.warehouse import ledger
from ev_sessions.warehouse.rules import BY_NAME, Severity

Answer = Callable[[duckdb.DuckDBPyConnection, DayRange], Finding]


def every_vehicle_read(connection: duckdb.DuckDBPyConnection, days: DayRange) -> Finding:
    """Every vehicle that was due on a day has an answer that covers it."""
    unread = [day for day in ledger.vehicles_unread(connection, days) if day.unread]
    vehicle_days = sum(day.unread for day in unread)
    sentence = f"{vehicle_days} vehicle-days unread on {len(unread)} days" if unread else "every vehicle due was read"
    return Finding(not unread, sentence, [day.session_day for day in unread])


def distinct_ids_match_total(connection: duckdb.DuckDBPyConnection, days: DayRange) -> Finding:
    """Distinct ids and rejected records make up the API's own total (rule 30)."""
    found = ledger.count_mismatches(connection, days)
    vehicle_days = sum(day.count for day in found)
    sentence = f"{vehicle_days} vehicle-days differ from the API's total" if found else "every answer is as long as the API said"
    return Finding(not found, sentence, [day.session_day for day in found])


def no_row_outside_window(connection: duckdb.DuckDBPyConnection, days: DayRange) -> Finding:
    """No row stands, or was refused, outside the window that was asked for (rule 29)."""
    found = ledger.rows_outside_window(connection, days)
    rows = sum(day.count for day in found.uncovered)
    sentence = f"{rows} rows on days that no read covers, {found.quarantined} in quarantine for lying outside their window"
    return Finding(not rows and not found.quarantined, sentence, [day.session_day for day in found.uncovered])


def ids_of_one_vehicle(connection: duckdb.DuckDBPyConnection, days: DayRange) -> Finding:
    """No session id stands under two vehicles (rule 2); such rows are in quarantine and kept out of what is derived."""
    found = [day for day in ledger.duplicate_keys(connection, days) if day.shared]
    rows = sum(day.shared for day in found)
    return Finding(not found, f"{rows} rows whose id another vehicle has too", [day.session_day for day in found])


def keys_unique(connection: duckdb.DuckDBPyConnection, days: DayRange) -> Finding:
    """No session stands twice: what the writer promises, and what every sum rests on."""
    found = [day for day in ledger.duplicate_keys(connection, days) if day.doubled]
    rows = sum(day.doubled for day in found)
    return Finding(not found, f"{rows} rows stand twice", [day.session_day for day in found])


def _of_rule(name: str) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if BY_NAME[name].severity is Severity.ERROR else dg.AssetCheckSeverity.WARN


# A check is called as its function is, and promises what the function's docstring says.
_SEVERITIES: dict[Answer, dg.AssetCheckSeverity] = {
    every_vehicle_read: dg.AssetCheckSeverity.ERROR,
    distinct_ids_match_total: _of_rule("count_mismatch"),
    no_row_outside_window: _of_rule("outside_window"),
    ids_of_one_vehicle: _of_rule("id_of_two_vehicles"),
    # What is derived must not be built on broken keys. It comes last: its failing ends the step.
    keys_unique: dg.AssetCheckSeverity.ERROR,
}


def session_checks(graph: Graph, *, lookback_days: int) -> dg.AssetChecksDefinition:
    """All checks of `raw_sessions` in one step, over the days of the run; on their own, over the trailing days."""
    key = graph.key(RAW_SESSIONS)

    @dg.multi_asset_check(
        name=graph.name("raw_sessions_checks"),
        specs=[
            dg.AssetCheckSpec(answer.__name__, asset=key, description=answer.__doc__, blocking=answer is keys_unique)
            for answer in _SEVERITIES
        ],
        pool=DATABASE_POOL,
        # Dagster lets a person run checks on their own only where they can be chosen one by one.
        can_subset=True,
    )
    def raw_sessions_checks(
        context: dg.AssetCheckExecutionContext, session_warehouse: WarehouseResource, clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.AssetCheckResult]:
        days = days_to_check(graph, context.run, clock.now(), lookback_days)
        with failures_told(context, clock), session_warehouse.reading() as connection:
            chosen = [
                answer for answer in _SEVERITIES if dg.AssetCheckKey(key, answer.__name__) in context.selected_asset_check_keys
            ]
            findings = {answer: answer(connection, days) for answer in chosen}
        for answer, finding in findings.items():
            yield finding.result(dg.AssetCheckKey(key, answer.__name__), _SEVERITIES[answer])

    return raw_sessions_checks
