"""Part folders as ingest stages them, made from a few words: what tests of the warehouse land."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from ev_sessions.stage.parts import READS_FILE, REJECTED_FILE, SESSIONS_FILE
from ev_sessions.stage.schemas import READS, REJECTED, SESSIONS
from ev_sessions.tables import RAW_USERS, RAW_VEHICLES

ORG = UUID(int=1)
USER = UUID(int=2)

Row = dict[str, Any]


def session(number: int, day: date, **fields: object) -> Row:
    """A session with the id `number`, plugged in at noon of `day`; `fields` are further ones of the API."""
    plug_in_time = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return {"id": str(UUID(int=number)), "plug_in_time": plug_in_time, "session_day": day} | fields


def listed_user(user_id: UUID = USER, **fields: object) -> Row:
    """A customer as a snapshot lists him."""
    return dict.fromkeys(RAW_USERS.column_names[:-4]) | {"org_id": ORG, "user_id": user_id} | fields


def listed_vehicle(vehicle_id: UUID, owner: UUID = USER, **fields: object) -> Row:
    """A vehicle as a snapshot lists it."""
    ids = {"org_id": ORG, "user_id": owner, "electric_vehicle_id": vehicle_id}
    return dict.fromkeys(RAW_VEHICLES.column_names[:-4]) | ids | fields


@dataclass(frozen=True)
class Rejection:
    """A record that ingest could not use. `day` is that of a session outside the days asked for."""

    record_key: str
    reason: str = "malformed: energy_charged_kwh is not a number"
    payload: str = "{}"
    day: date | None = None


def id_in(record_key: str) -> UUID | None:
    """The id of the record that has this key in quarantine; None: the key is not made from an id."""
    try:
        return UUID(record_key) if "-" in record_key else None
    except ValueError:
        return None


@dataclass(frozen=True)
class Answer:
    """What the API said of one vehicle's days, `first` to `last`, at the time `read_at`."""

    vehicle: UUID
    first: date
    last: date
    read_at: datetime
    sessions: Sequence[Row] = ()
    rejected: Sequence[Rejection] = ()
    outcome: str = "complete"
    user: UUID = USER


def write_part(folder: Path, answers: Sequence[Answer]) -> Path:
    """Stage `answers` as the part `folder`."""
    folder.mkdir(parents=True)
    _write(folder / READS_FILE, [_read(answer) for answer in answers], READS)
    _write(folder / SESSIONS_FILE, [_owned(answer, row) for answer in answers for row in answer.sessions], SESSIONS)
    _write(folder / REJECTED_FILE, [_rejected(answer, record) for answer in answers for record in answer.rejected], REJECTED)
    return folder


def _owned(answer: Answer, row: Row) -> Row:
    owner = {"org_id": str(ORG), "user_id": str(answer.user), "electric_vehicle_id": str(answer.vehicle)}
    return owner | {"fetched_at": answer.read_at} | row


def _read(answer: Answer) -> Row:
    return _owned(
        answer,
        {
            "first_day": answer.first,
            "last_day": answer.last,
            "outcome": answer.outcome,
            "reported_total": len(answer.sessions) + len(answer.rejected),
            "accepted_rows": len(answer.sessions),
            "rejected_rows": len(answer.rejected),
            "outside_rows": 0,
            "requests": 1,
            "pages": 1,
            "retries": 0,
            "reads": 1,
        },
    )


def _rejected(answer: Answer, record: Rejection) -> Row:
    own_id = id_in(record.record_key)
    return _owned(
        answer,
        {
            "first_day": answer.first,
            "last_day": answer.last,
            "record_key": record.record_key,
            "session_id": None if own_id is None else str(own_id),
            "rules": [record.reason.partition(":")[0]],
            "reasons": [record.reason],
            "payload": record.payload,
            "session_day": record.day,
        },
    )


def _write(path: Path, rows: Sequence[Row], schema: pa.Schema) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
