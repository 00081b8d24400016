"""What every asset shares: its key, its partitions, and how a table's declaration becomes what Dagster shows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import dagster as dg

from ev_sessions.days import DayRange, parse_day
from ev_sessions.tables import ALL_TABLES, Table

API_POOL = "partner_api"
DATABASE_POOL = "session_warehouse"
OWNERS = ("team:ev-sessions",)
TAGS = {"domain": "ev-charging"}


@dataclass(frozen=True, slots=True)
class Graph:
    """One instance of the asset graph: where its keys stand, which days it has, how many of them one backfill run covers."""

    key_prefix: tuple[str, ...]
    partitions: dg.DailyPartitionsDefinition
    days_per_run: int

    @classmethod
    def daily(cls, *, first_day: date, days_per_run: int, key_prefix: tuple[str, ...] = ()) -> Graph:
        """Daily UTC partitions from `first_day` to yesterday."""
        return cls(
            key_prefix,
            dg.DailyPartitionsDefinition(start_date=first_day.isoformat(), timezone="UTC"),
            days_per_run,
        )

    @property
    def backfill_policy(self) -> dg.BackfillPolicy:
        """How Dagster cuts a backfill into runs."""
        return dg.BackfillPolicy.multi_run(max_partitions_per_run=self.days_per_run)

    @property
    def first_day(self) -> date:
        """The first day that has a partition."""
        return self.partitions.start.date()

    @property
    def months(self) -> dg.MonthlyPartitionsDefinition:
        """Months, named by their first days, from the first day's to the present one."""
        return dg.MonthlyPartitionsDefinition(self.first_day.replace(day=1).isoformat(), timezone="UTC", end_offset=1)

    def key(self, table: Table) -> dg.AssetKey:
        """The asset key of `table`: its name, `raw_` before it where it is what the API said."""
        return dg.AssetKey([*self.key_prefix, asset_name(table)])

    def name(self, name: str) -> str:
        """`name` as an op, job or schedule that can stand beside those of another code location."""
        return "__".join([*self.key_prefix, name])

    def spec(self, table: Table, *, deps: Sequence[Table], kinds: set[str]) -> dg.AssetSpec:
        """The asset of `table` as its declaration describes it."""
        return dg.AssetSpec(
            self.key(table),
            deps=[self.key(origin) for origin in deps],
            description=table.description,
            group_name=table.schema,
            kinds=kinds,
            owners=list(OWNERS),
            tags=TAGS,
            metadata={"dagster/table_name": table.full_name, "dagster/column_schema": _described_schema(table)},
        )

    def lineage_metadata(self, table: Table) -> dict[str, Any]:
        """Which columns of `table` come from where. Dagster looks for it in the newest materialization."""
        return {"dagster/column_lineage": self._lineage(table)}

    def _lineage(self, table: Table) -> dg.TableColumnLineage:
        origins = [origin for origin in ALL_TABLES if origin.full_name in table.made_from]
        return dg.TableColumnLineage(
            {
                column: deps
                for column in table.column_names
                if (deps := [dg.TableColumnDep(self.key(origin), column) for origin in origins if column in origin.column_names])
            }
        )


def asset_name(table: Table) -> str:
    """The last part of the asset key of `table`."""
    return f"raw_{table.name}" if table.schema == "raw" else table.name


def partition_days(context: dg.AssetExecutionContext) -> DayRange:
    """The days that a run was asked for: one partition or a range of them."""
    keys = context.partition_key_range
    return DayRange(parse_day(keys.start), parse_day(keys.end))


def figures(values: Mapping[str, object]) -> dict[str, Any]:
    """`values` as metadata: decimals as floats rounded to six places, instants as Dagster shows them, nulls left out."""
    return {name: _figure(value) for name, value in values.items() if value is not None}


def shape_metadata(table: Table) -> dict[str, Any]:
    """What every materialization of `table` carries besides its figures.

    It is stored with each partition of each run, so it leaves out what the asset's definition tells already.
    """
    return {
        "dagster/table_name": table.full_name,
        "dagster/column_schema": dg.TableSchema([dg.TableColumn(column.name, column.type) for column in table.columns]),
    }


def tell_run(context: dg.AssetExecutionContext, key: dg.AssetKey, values: Mapping[str, object]) -> None:
    """Record figures of a whole run, once, as an observation: a partition's own metadata is per day."""
    context.log_event(dg.AssetObservation(key, metadata=figures(values)))


def _figure(value: object) -> object:
    if isinstance(value, datetime):
        return dg.MetadataValue.timestamp(value)
    return round(float(value), 6) if isinstance(value, Decimal | float) else value


def _described_schema(table: Table) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type,
                description=f"{column.description} [{column.unit}]" if column.unit else column.description,
                constraints=dg.TableColumnConstraints(nullable=not column.required),
            )
            for column in table.columns
        ]
    )
