"""The checks of `raw_reconciliations` (rule 34): do our sums agree with the API's own? They look at what is known and ask nobody.

They prove that we copied right, not that the platform's savings are. Ids and the months' figures stand in the table itself.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import dagster as dg

from ev_sessions.assets.failures import failures_told
from ev_sessions.assets.graph import DATABASE_POOL, Graph, figures
from ev_sessions.checks.findings import Finding
from ev_sessions.ingest.reconciliation import MOST_MONTHS
from ev_sessions.reconciled import COMPARED, Reconciled, is_well
from ev_sessions.resources import Clock, WarehouseResource
from ev_sessions.tables import RAW_RECONCILIATIONS
from ev_sessions.warehouse.reconciliation import Ended, outcomes

_PROMISES = {
    "agrees_with_api_per_vehicle": "Count, energy and savings of each vehicle and month asked last are the API's own.",
    "agrees_with_api_in_total": "The savings of all vehicles, of each month asked last, are the API's own.",
}
_WORDS = {
    Reconciled.AGREES: "agree",
    Reconciled.EDGE: "may differ only in how a month is cut",
    Reconciled.DIFFERS: "differ",
    Reconciled.UNEXPECTED: "came in a shape that cannot be compared",
    Reconciled.FAILED: "could not be read",
}


def reconciliation_checks(graph: Graph) -> dg.AssetChecksDefinition:
    """Both of them, over the newest reconciliation of each vehicle and month."""
    key = graph.key(RAW_RECONCILIATIONS)

    @dg.multi_asset_check(
        name=graph.name("reconciliation_checks"),
        specs=[dg.AssetCheckSpec(name, asset=key, description=promise) for name, promise in _PROMISES.items()],
        pool=DATABASE_POOL,
        can_subset=True,
    )
    def checks(
        context: dg.AssetCheckExecutionContext, session_warehouse: WarehouseResource, clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.AssetCheckResult]:
        chosen = [name for name in _PROMISES if dg.AssetCheckKey(key, name) in context.selected_asset_check_keys]
        with failures_told(context, clock), session_warehouse.reading() as connection:
            ended = {
                name: outcomes(connection, in_total=name == "agrees_with_api_in_total", months=MOST_MONTHS) for name in chosen
            }
        for name, found in ended.items():
            yield finding(found).result(dg.AssetCheckKey(key, name), dg.AssetCheckSeverity.WARN, metadata(found))

    return checks


def finding(ended: Sequence[Ended]) -> Finding:
    """Whether all is well of what was asked last, and how many months ended how."""
    if not ended:
        return Finding(passed=True, sentence="nothing has been reconciled yet")
    told = [f"{each.months} {_WORDS[each.outcome]}" for each in ended]
    passed = is_well(each.outcome for each in ended)
    return Finding(passed, f"of {sum(each.months for each in ended)} months asked, {', '.join(told)}")


def metadata(ended: Sequence[Ended]) -> dict[str, Any]:
    """Counts, and the sums of both sides over what could be compared; of an unexpected answer its shape, which has no values."""
    compared = [each for each in ended if each.outcome in COMPARED]
    names = ("energy_kwh", "api_energy_kwh", "savings_eur", "api_savings_eur")
    counts = {f"months_{each.outcome}": each.months for each in ended}
    return figures(
        counts
        | {name: _total(compared, name) for name in names}
        | {"vehicles_differing": sum(each.vehicles for each in ended if each.outcome is Reconciled.DIFFERS)}
        | {"unexpected": next((each.cause for each in ended if each.outcome is Reconciled.UNEXPECTED), None)}
    )


def _total(ended: Sequence[Ended], name: str) -> Decimal | None:
    values = [value for each in ended if (value := getattr(each, name)) is not None]
    return sum(values, start=Decimal(0)) if values else None
