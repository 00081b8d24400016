"""Stage: answers gathered in memory until they are worth a part file, as columns of the stage's schemas."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from ev_sessions.ingest.placement import Place, place, session_day
from ev_sessions.ingest.plan import VehicleWindow
from ev_sessions.partner_api import Rejected, SessionAnswer, SessionRecord
from ev_sessions.settings import SessionDay
from ev_sessions.stage.parts import WindowStage
from ev_sessions.stage.schemas import READS, REJECTED, SESSIONS
from ev_sessions.tables import SESSION_FIELDS

_API_FIELDS = tuple(column.name for column in SESSION_FIELDS if column.name != "id")


_NO_ANSWER = SessionAnswer(sessions=[], rejected=[], total=0, reads=0)


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
            self._sort(read, reads, sessions, rejected)
        stage.write(reads=reads.columns, sessions=sessions.columns, rejected=rejected.columns)

    def _sort(self, read: VehicleRead, reads: _Rows, sessions: _Rows, rejected: _Rows) -> None:
        answer = read.answer or _NO_ANSWER
        kept: list[SessionRecord] = []
        days: list[date] = []
        refused = [(_record_key(record), f"well_formed: {record.reason}", record.raw) for record in answer.rejected]
        left = 0
        for session in answer.sessions:
            match place(session, read.window.days, self.session_day):
                case Place.WITHIN:
                    kept.append(session)
                    days.append(session_day(session, self.session_day))
                case Place.OUTSIDE:
                    refused.append((str(session.id), self._outside(session, read.window), session.to_json()))
                case Place.LEFT_TO_ITS_OWN_DAY:
                    left += 1
        owner = self._owner(read.window)
        window = {"first_day": read.window.days.first, "last_day": read.window.days.last}
        sessions.extend(
            len(kept),
            **_repeat(len(kept), **owner, fetched_at=read.fetched_at),
            id=[str(session.id) for session in kept],
            session_day=days,
            extra=[session.extra for session in kept],
            **{name: [getattr(session, name) for session in kept] for name in _API_FIELDS},
        )
        rejected.extend(
            len(refused),
            **_repeat(len(refused), **owner, **window, fetched_at=read.fetched_at),
            record_key=[key for key, _, _ in refused],
            reasons=[[reason] for _, reason, _ in refused],
            payload=[payload for _, _, payload in refused],
        )
        reads.extend(
            1,
            **_repeat(
                1,
                **owner,
                **window,
                outcome=read.outcome,
                reported_total=None if read.answer is None else answer.total,
                accepted_rows=len(kept),
                rejected_rows=len(refused),
                outside_rows=left,
                requests=read.requests,
                pages=answer.pages,
                retries=read.retries,
                reads=answer.reads,
                error=read.error,
                fetched_at=read.fetched_at,
            ),
        )

    def _owner(self, window: VehicleWindow) -> dict[str, str]:
        return {
            "org_id": str(self.org_id),
            "user_id": str(window.user_id),
            "electric_vehicle_id": str(window.electric_vehicle_id),
        }

    def _outside(self, session: SessionRecord, window: VehicleWindow) -> str:
        day = session_day(session, self.session_day)
        return f"within_window: its {self.session_day} falls on {day}, but {window.days} was asked for"


class _Rows:
    """Columns that grow by whole rows."""

    def __init__(self, names: Sequence[str]) -> None:
        self.columns: dict[str, list[Any]] = {name: [] for name in names}

    def extend(self, count: int, **values: Sequence[Any]) -> None:
        for name, column in self.columns.items():
            if len(values[name]) != count:
                raise ValueError(f"column {name} has {len(values[name])} values for {count} rows")
            column.extend(values[name])


def _repeat(count: int, **values: object) -> dict[str, list[object]]:
    return {name: [value] * count for name, value in values.items()}


def _record_key(record: Rejected) -> str:
    return record.record_id or hashlib.md5(record.raw.encode(), usedforsecurity=False).hexdigest()
