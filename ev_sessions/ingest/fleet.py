"""The fleet: who has which vehicle, asked from the API or read from a file. Rows have the columns of the raw tables."""

from __future__ import annotations

import asyncio
import csv
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from ev_sessions.errors import PermanentError
from ev_sessions.ingest.fetch import NearlyEverythingFailed
from ev_sessions.partner_api import PartnerApi, RequestFailed, User, Vehicle, VehicleGone

Row = dict[str, Any]

FLEET_FILE_COLUMNS = ("user_id", "electric_vehicle_id")


# What the API tells beyond the ids; null where a file names the fleet.
_UNKNOWN_USER: Row = dict.fromkeys(("external_user_id", "role", "country_iso2", "deleted_at"))
_UNKNOWN_VEHICLE: Row = dict.fromkeys(
    (
        "manufacturer",
        "model",
        "model_year",
        "battery_capacity_kwh",
        "price_zone",
        "lifecycle_state",
        "is_authenticated",
        "is_smart_optimization_active",
        "created_at",
        "updated_at",
        "deleted_at",
    )
)
_LINES_SHOWN = 5


class BadFleetFile(PermanentError):
    """The fleet file cannot be used; the message names the lines."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read of a fleet: `rows`, how many records did not fit, and of which users the vehicles are known in full."""

    rows: list[Row]
    rejected: int = 0
    users_read: frozenset[UUID] = frozenset()
    users_failed: int = 0


async def discover_users(api: PartnerApi, org_id: UUID) -> Snapshot:
    """Every customer of the organisation, former ones included.

    Raises:
        PartnerApiError: the list cannot be read.
    """
    users, rejected = await api.users(include_deleted=True)
    return Snapshot([_user_row(org_id, user) for user in users], rejected=len(rejected))


async def discover_vehicles(api: PartnerApi, org_id: UUID, user_ids: Sequence[UUID], *, concurrency: int) -> Snapshot:
    """The vehicles of `user_ids`, one request each. A user who cannot be read keeps the vehicles known of him.

    Raises:
        NearlyEverythingFailed: no user could be read.
        CredentialsRefused, RetryBudgetSpent, ...: what concerns all of them.
    """
    queue = deque(user_ids)
    rows: list[Row] = []
    read: set[UUID] = set()
    rejected = 0
    last_error = ""

    async def work() -> None:
        nonlocal rejected, last_error
        while queue:
            user_id = queue.popleft()
            try:
                vehicles, refused = await api.vehicles(user_id)
            except (VehicleGone, RequestFailed) as error:
                last_error = str(error)
                continue
            rejected += len(refused)
            rows.extend(_vehicle_row(org_id, user_id, vehicle) for vehicle in vehicles)
            # A list with an unreadable record does not prove that any other vehicle is gone.
            if not refused:
                read.add(user_id)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(concurrency, len(user_ids))):
                workers.create_task(work())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    if user_ids and last_error and not read:
        raise NearlyEverythingFailed(
            f"the vehicles of none of the {len(user_ids)} users could be read. The last one: {last_error}"
        )
    return Snapshot(rows, rejected=rejected, users_read=frozenset(read), users_failed=len(user_ids) - len(read))


def users_from_file(path: Path, org_id: UUID) -> Snapshot:
    """The users that a fleet file names; all else about them is unknown. Raises BadFleetFile as `read_vehicle_pairs` does."""
    users = sorted({user_id for user_id, _ in read_vehicle_pairs(path)})
    return Snapshot([{"org_id": org_id, "user_id": user_id} | _UNKNOWN_USER for user_id in users])


def vehicles_from_file(path: Path, org_id: UUID) -> Snapshot:
    """The vehicles that a fleet file names; all else about them is unknown. Raises BadFleetFile as `read_vehicle_pairs` does."""
    pairs = read_vehicle_pairs(path)
    rows = [
        {"org_id": org_id, "user_id": user_id, "electric_vehicle_id": vehicle_id} | _UNKNOWN_VEHICLE
        for user_id, vehicle_id in pairs
    ]
    return Snapshot(rows, users_read=frozenset(user_id for user_id, _ in pairs))


def read_vehicle_pairs(path: Path) -> list[tuple[UUID, UUID]]:
    """The (user id, vehicle id) pairs of a CSV with the columns user_id,electric_vehicle_id; repeated rows count once.

    Raises:
        BadFleetFile: it cannot be read, lacks a column, is empty, has a row that is no pair of UUIDs, or has the same
            vehicle under two users.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file)
            absent = [name for name in FLEET_FILE_COLUMNS if name not in (lines.fieldnames or ())]
            if absent:
                raise BadFleetFile(
                    f"{path}: the first line lacks the column {absent[0]}; it must name {','.join(FLEET_FILE_COLUMNS)}"
                )
            rows = [(lines.line_num, row) for row in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a CSV file in UTF-8"
        raise BadFleetFile(f"{path}: cannot be read: {reason}") from None
    bad = [number for number, row in rows if _pair(row) is None]
    if bad:
        raise BadFleetFile(
            f"{path}: {_lines(bad)}: expected two UUIDs, user_id and electric_vehicle_id; nothing was read from it"
        )
    if not rows:
        raise BadFleetFile(f"{path}: it names no vehicle; expected a line for each")
    pairs = list(dict.fromkeys(pair for _, row in rows if (pair := _pair(row)) is not None))
    if len({vehicle_id for _, vehicle_id in pairs}) < len(pairs):
        raise BadFleetFile(f"{path}: a vehicle stands under two users; each vehicle belongs to one")
    return pairs


def _lines(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:_LINES_SHOWN])
    more = f" and {len(numbers) - _LINES_SHOWN} more" if len(numbers) > _LINES_SHOWN else ""
    return f"line{'' if len(numbers) == 1 else 's'} {shown}{more}"


def _pair(row: dict[str, str | None]) -> tuple[UUID, UUID] | None:
    try:
        user_id, vehicle_id = (UUID((row[name] or "").strip()) for name in FLEET_FILE_COLUMNS)
    except ValueError:
        return None
    return user_id, vehicle_id


def _user_row(org_id: UUID, user: User) -> Row:
    return {"org_id": org_id, "user_id": user.id} | {name: getattr(user, name) for name in _UNKNOWN_USER}


def _vehicle_row(org_id: UUID, user_id: UUID, vehicle: Vehicle) -> Row:
    owner = {"org_id": org_id, "user_id": user_id, "electric_vehicle_id": vehicle.id}
    return owner | {name: getattr(vehicle, name) for name in _UNKNOWN_VEHICLE}
