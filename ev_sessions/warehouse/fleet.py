"""Lands snapshots of the fleet; answers who is in it and how busy they are. Nothing is deleted: what is gone is marked so."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import duckdb
import pyarrow as pa

from ev_sessions.stage.schemas import arrow_schema
from ev_sessions.tables import RAW_USERS, RAW_VEHICLES, Table
from ev_sessions.warehouse.coverage import lives
from ev_sessions.warehouse.scripts import frugally, read_script, run_sql, transaction

_ROWS_PER_BATCH = 1_000
_MEGABYTES = 128

# What the landing adds to a snapshot's rows.
_BOOKKEEPING = frozenset({"first_seen_at", "last_seen_at", "missing_since", "run_id"})

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FleetChange:
    """The table after a snapshot: its rows, how many the snapshot added, and how many are not listed any more."""

    rows: int
    added: int
    missing: int


@dataclass(frozen=True, slots=True)
class FleetVehicle:
    """A vehicle that was ever listed. Stamps are aware UTC; None: unknown, not deleted, not missing."""

    user_id: UUID
    electric_vehicle_id: UUID
    created_at: datetime | None
    deleted_at: datetime | None
    missing_since: datetime | None


def land_users(connection: duckdb.DuckDBPyConnection, rows: Sequence[Row], *, seen_at: datetime, run_id: str) -> FleetChange:
    """Take in all users of an organisation as they were at `seen_at` (aware). `rows` have the columns of `raw.users`.

    A user of the organisation who is not among them is marked as missing since then; one who comes back no longer is. An
    empty list says nothing.
    """
    return _land(connection, RAW_USERS, rows, {"seen_at": seen_at, "run_id": run_id})


def land_vehicles(
    connection: duckdb.DuckDBPyConnection,
    rows: Sequence[Row],
    *,
    users_read: Collection[UUID],
    seen_at: datetime,
    run_id: str,
) -> FleetChange:
    """Take in vehicles as they were at `seen_at` (aware). `rows` have the columns of `raw.vehicles`.

    Only the vehicles of `users_read`, whose lists were read in full, and of users who are missing themselves can be marked as
    missing.
    """
    users = [str(user_id) for user_id in users_read]
    return _land(connection, RAW_VEHICLES, rows, {"seen_at": seen_at, "run_id": run_id, "users_read": users})


def listed_users(connection: duckdb.DuckDBPyConnection, org_id: UUID) -> list[UUID]:
    """The users of the organisation that its latest snapshot listed, deleted ones included; in the order of their ids."""
    users = connection.execute(
        "SELECT user_id FROM raw.users WHERE org_id = ? AND missing_since IS NULL ORDER BY user_id", [org_id]
    )
    return [user_id for (user_id,) in users.fetchall()]


def fleet(connection: duckdb.DuckDBPyConnection, org_id: UUID) -> list[FleetVehicle]:
    """Every vehicle of the organisation that was ever listed, in the order of their ids."""
    vehicles = connection.execute(
        """
        SELECT user_id, electric_vehicle_id, created_at, deleted_at, missing_since
        FROM raw.vehicles
        WHERE org_id = ?
        ORDER BY electric_vehicle_id
        """,
        [org_id],
    )
    return [FleetVehicle(*vehicle) for vehicle in vehicles.fetchall()]


def knows_vehicles(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether any vehicle was ever listed."""
    return bool(connection.execute("SELECT 1 FROM raw.vehicles LIMIT 1").fetchall())


def price_zones(connection: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """The price zones of all vehicles that were ever listed."""
    zones = connection.execute("SELECT DISTINCT price_zone FROM raw.vehicles WHERE price_zone IS NOT NULL")
    return frozenset(zone for (zone,) in zones.fetchall())


def fleet_seen_at(connection: duckdb.DuckDBPyConnection, org_id: UUID) -> datetime | None:
    """When a snapshot last listed a vehicle of the organisation (aware UTC); None: none ever did."""
    ((seen_at,),) = connection.execute("SELECT max(last_seen_at) FROM raw.vehicles WHERE org_id = ?", [org_id]).fetchall()
    return None if seen_at is None else seen_at.astimezone(UTC)


def sessions_per_day(connection: duckdb.DuckDBPyConnection) -> dict[UUID, float]:
    """How many sessions a day each vehicle had on the days that it was read for; a vehicle never read is left out."""
    rates = connection.execute(
        """
        SELECT electric_vehicle_id, sum(reported_total) / sum(last_day - first_day + 1)
        FROM raw.fetches
        WHERE reported_total IS NOT NULL
        GROUP BY electric_vehicle_id
        """
    )
    return dict(rates.fetchall())


def _land(connection: duckdb.DuckDBPyConnection, table: Table, rows: Sequence[Row], values: Mapping[str, object]) -> FleetChange:
    schema = arrow_schema([column for column in table.columns if column.name not in _BOOKKEEPING])
    snapshot = pa.Table.from_batches(_batches(rows, schema), schema=schema)
    connection.register("snapshot", snapshot)
    try:
        return frugally(connection, _MEGABYTES, lambda: _take_in(connection, table, values))
    finally:
        connection.unregister("snapshot")


def _take_in(connection: duckdb.DuckDBPyConnection, table: Table, values: Mapping[str, object]) -> FleetChange:
    with transaction(connection):
        script = read_script(f"sql/fleet/{table.name}.sql", known=lives(), listed=lives("listed_vehicles"))
        run_sql(connection, script, values)
        return FleetChange(*connection.execute("FROM fleet_change").fetchall()[0])


def _batches(rows: Sequence[Row], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    # Not all at once: each row is copied on the way.
    for start in range(0, len(rows), _ROWS_PER_BATCH):
        batch = [_with_text_ids(row) for row in rows[start : start + _ROWS_PER_BATCH]]
        yield pa.RecordBatch.from_pylist(batch, schema=schema)


def _with_text_ids(row: Row) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, UUID) else value for name, value in row.items()}
