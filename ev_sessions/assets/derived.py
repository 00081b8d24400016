"""The daily tables of `analytics`: what we say, from what the API said, in one transaction a run."""

import time
from collections.abc import Collection, Iterator

import dagster as dg

from ev_sessions.assets.failures import failures_told
from ev_sessions.assets.graph import DATABASE_POOL, Graph, figures, partition_days, shape_metadata, tell_run
from ev_sessions.assets.monthly import report_touched_months
from ev_sessions.assets.published import published
from ev_sessions.resources import Clock, WarehouseResource
from ev_sessions.tables import (
    ANALYTICS_SESSIONS,
    DAILY_ENERGY,
    DAILY_SAVINGS,
    DAILY_TABLES,
    FLEET_DAILY,
    RAW_SESSIONS,
    RULE_HITS,
    UNREAD_VEHICLE_DAYS,
    Table,
)
from ev_sessions.warehouse.derive import DayFigures, Novelty, derive


def derived_assets(graph: Graph) -> dg.AssetsDefinition:
    """The derived tables as one step: they stand on each other and are written together, and then published."""

    @dg.multi_asset(
        name=graph.name("derived"),
        specs=[graph.spec(table, deps=_deps(table), kinds={"sql", "duckdb"}) for table in DAILY_TABLES],
        partitions_def=graph.partitions,
        backfill_policy=graph.backfill_policy,
        pool=DATABASE_POOL,
    )
    def derived(
        context: dg.AssetExecutionContext, session_warehouse: WarehouseResource, clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.MaterializeResult[None]]:
        days = partition_days(context)
        began = time.monotonic()
        with failures_told(context, clock):
            with session_warehouse.writing() as connection:
                report = derive(
                    connection,
                    days,
                    run_id=context.run.run_id,
                    report_date=session_warehouse.report_date,
                    lookback_days=session_warehouse.lookback_days,
                    limits=session_warehouse.rule_limits,
                    derived_at=clock.now(),
                )
            derived_in = {"derive_seconds": time.monotonic() - began, "days_derived": len(report.days)}
            found = {"novelties": len(report.novelties)}
            tell_run(context, graph.key(FLEET_DAILY), derived_in | found | published(session_warehouse))
        if report.novelties:
            context.log.warning(_told_once(report.novelties))
        report_touched_months(context, graph, report.touched_months)
        asked = [day for day in report.days if day.session_day in days]
        for table in DAILY_TABLES:
            for day in asked:
                context.add_asset_metadata(
                    figures(_shown(table, day)), asset_key=graph.key(table), partition_key=day.session_day.isoformat()
                )
            context.add_asset_metadata(
                graph.lineage_metadata(table), asset_key=graph.key(table), partition_key=days.last.isoformat()
            )
            yield dg.MaterializeResult(asset_key=graph.key(table), metadata=shape_metadata(table))

    return derived


def _told_once(novelties: Collection[Novelty]) -> str:
    """How many novelties there are. What they are stays in the database: the API sent it, and nobody has looked at it yet."""
    return (
        f"The API sent {len(novelties)} values of session_outcome, or fields, that its documentation does not name and that were "
        "never met before; see raw.novelties."
    )


def _shown(table: Table, day: DayFigures) -> dict[str, object]:
    """The figures of `day` that belong to `table`."""
    rows = {
        ANALYTICS_SESSIONS: day.sessions,
        DAILY_ENERGY: day.daily_energy_rows,
        DAILY_SAVINGS: day.daily_savings_rows,
        RULE_HITS: day.rule_hits_rows,
        UNREAD_VEHICLE_DAYS: day.unread_vehicle_days_rows,
        FLEET_DAILY: 1,
    }
    energy = ("sessions", "energy_kwh")
    savings = ("cost_eur", "savings_eur", "savings_rate", "cost_coverage", "savings_coverage")
    coverage = ("vehicles_due", "vehicles_read", "vehicles_failed", "vehicles_read_early", "quarantined", "data_through")
    finality = ("is_final", "final_since", "changed_after_final", "sessions_maturity", "energy_maturity")
    told = {
        ANALYTICS_SESSIONS: (*energy, "quarantined"),
        DAILY_ENERGY: energy,
        DAILY_SAVINGS: savings,
        RULE_HITS: (),
        UNREAD_VEHICLE_DAYS: (),
        FLEET_DAILY: (*energy, *savings, *coverage, *finality),
    }
    return {"dagster/partition_row_count": rows[table]} | {name: getattr(day, name) for name in told[table]}


def _deps(table: Table) -> list[Table]:
    """The tables of this step that `table` is made from; what is made from raw tables depends on `raw_sessions`.

    There must be one for each: Dagster refuses to launch a backfill of this step, at about every other start of its page,
    where an asset of it is reached by several ways (it compares partitions with `!=`, which their class does not define).
    """
    return [origin for origin in DAILY_TABLES if origin.full_name in table.made_from] or [RAW_SESSIONS]
