"""Stage: answers gathered in memory until they are worth a part file, as columns of the stage's schemas."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from msgspec.structs import asdict

from ev_sessions.days import DayRange
from ev_sessions.ingest.placement import Place, place, rejected_days, session_day
from ev_sessions.ingest.plan import VehicleWindow
from ev_sessions.partner_api import Rejected, SessionAnswer, SessionRecord
from ev_sessions.settings import SessionDay
from ev_sessions.stage.parts import WindowStage
from ev_sessions.stage.schemas import READS, REJECTED, SESSIONS

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class VehicleRead:
    """What came of asking for one vehicle's window: an answer, or why there is none.

    `outcome` is one of `raw.fetches.outcome`; `fetched_at` (aware UTC) is when the read began.
    """

    window: VehicleWindow
    outcome: str
    fetched_at: datetime
    answer: SessionAnswer | None = None
    error: str | None = None
    requests: int = 0
    retries: int = 0


@dataclass(slots=True)
class Batch:
    """Reads that wait for their part file."""

    org_id: UUID
    session_day: SessionDay
    reads: list[VehicleRead] = field(default_factory=list)
    rows: int = 0

    def add(self, read: VehicleRead) -> None:
        """Take one read in."""
        self.reads.append(read)
        if read.answer is not None:
            self.rows += len(read.answer.sessions) + len(read.answer.rejected)

    def write(self, stage: WindowStage) -> None:
        """Write all that was taken in as one part.

        Raises:
            StageFailed: the part cannot be written.
        """
        reads, sessions, rejected = _Rows(READS.names), _Rows(SESSIONS.names), _Rows(REJECTED.names)
        for read in self.reads:
            owner, placed = self._owner(read), _place_all(read, self.session_day)
            reads.append(owner | _window(read.window.days) | _told(read) | placed.counts())
            for session, day in placed.kept:
                own = {"id": str(session.id), "session_day": day, "fetched_at": read.fetched_at}
                sessions.append({**asdict(session), **owner, **own})
            for refused in placed.refused:
                rejected.append(owner | refused | {"fetched_at": read.fetched_at})
        stage.write(reads=reads.columns, sessions=sessions.columns, rejected=rejected.columns)

    def _owner(self, read: VehicleRead) -> Row:
        return {
            "org_id": str(self.org_id),
            "user_id": str(read.window.user_id),
            "electric_vehicle_id": str(read.window.electric_vehicle_id),
        }


@dataclass(slots=True)
class _Placed:
    """An answer taken apart: sessions with their days, records for quarantine, and how many belong to another day's window."""

    kept: list[tuple[SessionRecord, date]] = field(default_factory=list)
    refused: list[Row] = field(default_factory=list)
    left: int = 0

    def counts(self) -> Row:
        return {"accepted_rows": len(self.kept), "rejected_rows": len(self.refused), "outside_rows": self.left}


def _place_all(read: VehicleRead, rule: SessionDay) -> _Placed:
    placed = _Placed()
    if read.answer is None:
        return placed
    asked = read.window.days
    for key, record in _keyed(read.answer.rejected):
        days = rejected_days(record.raw, asked, rule)
        told: Row = {"record_key": key, "session_id": record.record_id, "session_day": None, "payload": record.raw}
        placed.refused.append(told | _window(days) | _because("malformed", record.reason))
    for session in read.answer.sessions:
        day = session_day(session, rule)
        match place(session, asked, rule):
            case Place.WITHIN:
                placed.kept.append((session, day))
            case Place.OUTSIDE:
                key, reason = str(session.id), f"its {rule} falls on {day}, but {asked} was asked for"
                told = {"record_key": key, "session_id": key, "session_day": day, "payload": session.to_json()}
                placed.refused.append(told | _window(asked) | _because("outside_window", reason))
            case Place.LEFT_TO_ITS_OWN_DAY:
                placed.left += 1
    return placed


class _Rows:
    """Columns that grow by rows."""

    def __init__(self, names: Sequence[str]) -> None:
        self.columns: dict[str, list[Any]] = {name: [] for name in names}

    def append(self, row: Row) -> None:
        for name, column in self.columns.items():
            column.append(row[name])


def _window(days: DayRange) -> Row:
    return {"first_day": days.first, "last_day": days.last}


def _told(read: VehicleRead) -> Row:
    answer = read.answer
    return {
        "outcome": read.outcome,
        "reported_total": None if answer is None else answer.total,
        "requests": read.requests,
        "pages": 0 if answer is None else answer.pages,
        "retries": read.retries,
        "reads": 0 if answer is None else answer.reads,
        "error": read.error,
        "fetched_at": read.fetched_at,
    }


def _because(rule: str, reason: str) -> Row:
    return {"rules": [rule], "reasons": [f"{rule}: {reason}"]}


def _keyed(records: Iterable[Rejected]) -> Iterator[tuple[str, Rejected]]:
    """Each record with its key. Those without an id may be alike, all the more as texts are masked: these are numbered."""
    alike = Counter[str]()
    for record in records:
        if record.record_id is not None:
            yield record.record_id, record
            continue
        digest = hashlib.md5(record.raw.encode(), usedforsecurity=False).hexdigest()
        alike[digest] += 1
        yield digest if alike[digest] == 1 else f"{digest}-{alike[digest]}", record
