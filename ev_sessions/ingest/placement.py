"""Place: the UTC day that a session belongs to, and whether that day is within the window that was asked for (rule 29)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import Enum, auto
from typing import Annotated, Protocol

import msgspec

from ev_sessions.days import DayRange
from ev_sessions.settings import SessionDay


class Stamps(Protocol):
    """The stamps of a session that decide its day; aware, or None."""

    @property
    def plug_in_time(self) -> datetime:
        """When the car was plugged in."""

    @property
    def unplug_time(self) -> datetime | None:
        """When it was unplugged."""

    @property
    def inferred_session_end(self) -> datetime | None:
        """The end that the platform infers."""


Stamp = Annotated[datetime, msgspec.Meta(tz=True)]


class _ReadableStamps(msgspec.Struct):
    """The stamps alone, of a record whose other fields may be anything."""

    plug_in_time: Stamp
    unplug_time: Stamp | None = None
    inferred_session_end: Stamp | None = None


class Place(Enum):
    """Where a session stands against the window that was asked for."""

    WITHIN = auto()
    LEFT_TO_ITS_OWN_DAY = auto()
    OUTSIDE = auto()


def session_day(session: Stamps, rule: SessionDay) -> date:
    """The UTC day of `session` under `rule`.

    Where the field that the rule names is null: of the inferred end, else of the plug-in. Under `overlap` a session stands
    on several days of the API; it is kept under the day of its plug-in.
    """
    if rule is SessionDay.UNPLUG_TIME:
        return _utc_day(session.unplug_time or session.inferred_session_end or session.plug_in_time)
    return _utc_day(session.plug_in_time)


def place(session: Stamps, asked: DayRange, rule: SessionDay) -> Place:
    """Where `session` stands, asked for `asked` under `rule`.

    Under `overlap` a session that was plugged in before the window and had not ended by its first day is rightly listed;
    it is left to its own day's window.
    """
    day = session_day(session, rule)
    if day in asked:
        return Place.WITHIN
    if rule is SessionDay.OVERLAP and day < asked.first and _end_day(session) >= asked.first:
        return Place.LEFT_TO_ITS_OWN_DAY
    return Place.OUTSIDE


def rejected_days(text: str, asked: DayRange, rule: SessionDay) -> DayRange:
    """The days under one of which the API lists the record `text` that cannot be typed: its own, where its stamps can be read.

    Otherwise it may be any of those `asked` for. A later answer to these days that does not bring it says that it is gone.
    """
    try:
        day = session_day(msgspec.json.decode(text, type=_ReadableStamps), rule)
    except (ValueError, OverflowError):
        return asked
    return DayRange(day, day) if day in asked else asked


def _end_day(session: Stamps) -> date:
    return _utc_day(session.unplug_time or session.inferred_session_end or session.plug_in_time)


def _utc_day(stamp: datetime) -> date:
    return stamp.astimezone(UTC).date()
