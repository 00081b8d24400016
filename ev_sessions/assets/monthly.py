"""`touched_months` and `monthly_savings`: months of the report date, summed up again where deriving changed what they have.

A landing names the days that it changed and deriving the months; so what did not change does not ripple, and what did does,
however old it is. `touched_months` is nothing that runs: the step that derives days reports its partitions.
"""

import time
from collections.abc import Collection, Iterable, Iterator
from datetime import date
from pathlib import Path

import dagster as dg
import duckdb

from ev_sessions.assets.failures import failures_told
from ev_sessions.assets.graph import DATABASE_POOL, Graph, figures, shape_metadata, tell_run
from ev_sessions.assets.published import published
from ev_sessions.days import parse_day
from ev_sessions.resources import Clock, WarehouseResource
from ev_sessions.tables import DAILY_SAVINGS, MONTHLY_SAVINGS, RAW_TOUCHED_MONTHS
from ev_sessions.warehouse.figures import compare_months, days_of_months, in_words
from ev_sessions.warehouse.monthly import MonthFigures, pending_months, sum_months

# A month takes a second at most; a year is a run that a person can still watch.
_MONTHS_PER_RUN = 12


def touched_months_spec(graph: Graph) -> dg.AssetSpec:
    """The months that a change of daily rows reached. Its materializations are what `monthly_savings` waits for."""
    spec = graph.spec(RAW_TOUCHED_MONTHS, deps=[DAILY_SAVINGS], kinds={"duckdb"})
    return spec.replace_attributes(key=touched_months_key(graph), group_name=MONTHLY_SAVINGS.schema, partitions_def=graph.months)


def touched_months_key(graph: Graph) -> dg.AssetKey:
    """The asset key of the touched months."""
    return dg.AssetKey([*graph.key_prefix, RAW_TOUCHED_MONTHS.name])


def monthly_savings_asset(graph: Graph) -> dg.AssetsDefinition:
    """The asset of `analytics.monthly_savings`, one partition a month."""
    # Every report of a month asks for it once, at the next tick, also where it is old or others are missing. `eager()` looks at
    # the latest month alone; `since_last_handled()` loses what is touched again while the request for it is on its way.
    whenever_touched = dg.AutomationCondition.any_deps_updated()
    spec = graph.spec(MONTHLY_SAVINGS, deps=[], kinds={"sql", "duckdb"}).replace_attributes(
        deps=[touched_months_key(graph)], automation_condition=whenever_touched
    )

    # A check of the same step: whoever has months summed up, also the sensor, has them compared.
    months_agree = dg.AssetCheckSpec(
        "months_agree",
        asset=spec.key,
        description="The months just summed up add up to their sessions, their published files to the table (rule 33). If not, "
        "the run fails.",
    )

    @dg.multi_asset(
        name=graph.name(MONTHLY_SAVINGS.name),
        specs=[spec],
        check_specs=[months_agree],
        partitions_def=graph.months,
        backfill_policy=dg.BackfillPolicy.multi_run(_MONTHS_PER_RUN),
        pool=DATABASE_POOL,
    )
    def monthly_savings(
        context: dg.AssetExecutionContext, session_warehouse: WarehouseResource, clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        began = time.monotonic()
        with failures_told(context, clock):
            with session_warehouse.writing() as connection:
                months = _months_of(graph, context.partition_keys, pending_months(connection))
                summed = sum_months(connection, months, run_id=context.run.run_id, derived_at=clock.now())
            summed_in = {"months_seconds": time.monotonic() - began, "months": len(summed)}
            tell_run(context, spec.key, summed_in | published(session_warehouse))
            with session_warehouse.reading() as connection:
                disagreement = _disagreement(connection, Path(session_warehouse.published), months)
        told = {month.report_month.isoformat(): month for month in summed}
        for partition in context.partition_keys:
            context.add_asset_metadata(_shown(told[partition]) | shape_metadata(MONTHLY_SAVINGS), partition_key=partition)
        context.add_asset_metadata(graph.lineage_metadata(MONTHLY_SAVINGS), partition_key=context.partition_keys[-1])
        yield dg.MaterializeResult(asset_key=spec.key)
        yield dg.AssetCheckResult(
            check_name=months_agree.name,
            passed=disagreement is None,
            description=disagreement or f"{len(summed)} months, and what is published of them, add up",
        )
        if disagreement is not None:
            raise dg.Failure(disagreement, allow_retries=False)

    return monthly_savings


def month_partitions(graph: Graph, months: Iterable[date]) -> list[str]:
    """The partitions in which `months` (first days) are summed up, in order, each once.

    A report date may lie before the first month or after the present one, by a time zone's hours or a clock gone wrong: such
    months go with the nearest partition.
    """
    known = graph.months.get_partition_keys()
    return sorted({min(max(month.isoformat(), known[0]), known[-1]) for month in months})


def report_touched_months(context: dg.AssetExecutionContext, graph: Graph, months: Iterable[date]) -> None:
    """Materialize the partitions of `touched_months` that `months` (first days) fall into."""
    for partition in month_partitions(graph, months):
        context.log_event(dg.AssetMaterialization(touched_months_key(graph), partition=partition))


def _disagreement(connection: duckdb.DuckDBPyConnection, published: Path, months: Collection[date]) -> str | None:
    """In which sums `months` do not agree with their sessions, or the files with the months, and what to do; None: in none."""
    differences = compare_months(connection, published, months)
    if not differences:
        return None
    return in_words(differences, days_of_months(connection, [difference.day for difference in differences]))


def _months_of(graph: Graph, partitions: Iterable[str], pending: Iterable[date]) -> list[date]:
    """The months that a run of `partitions` sums up: theirs, and those of the pending ones that go with them."""
    asked = set(partitions)
    strays = {month for month in pending if asked.issuperset(month_partitions(graph, [month]))}
    return sorted(strays.union(parse_day(partition) for partition in asked))


def _shown(month: MonthFigures) -> dict[str, object]:
    return figures(
        {
            "dagster/partition_row_count": month.customers,
            "sessions": month.sessions,
            "energy_kwh": month.energy_kwh,
            "cost_eur": month.cost_eur,
            "savings_eur": month.savings_eur,
            "savings_rate": month.savings_rate,
            "is_final": month.is_final,
            "data_through": month.data_through,
        }
    )
