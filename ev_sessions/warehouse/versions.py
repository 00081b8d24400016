"""What the database knows of the past: `raw.sessions` at an instant, and the story of one session.

A version is valid from when the read that first showed it began (`valid_from`) to when the read that ended it began
(`replaced_at`): all of it is on the axis of reading, whenever the answers landed. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, pairwise
from typing import Any
from uuid import UUID

import duckdb

from ev_sessions.errors import PermanentError
from ev_sessions.tables import RAW_SESSIONS, SESSION_FIELDS, Column
from ev_sessions.warehouse.scripts import read_script, run_sql

# What a restatement can change: all that the API says of a session, but for which one it is.
CHANGEABLE = (*SESSION_FIELDS[1:], RAW_SESSIONS.column("extra"))


class UnknownSession(PermanentError):
    """No session with that id was ever landed."""


class NothingKnown(PermanentError):
    """At that instant nothing was known: it lies before the first read, or ahead."""


@dataclass(frozen=True, slots=True)
class Change:
    """A field that one version has otherwise than the one before it; the values as DuckDB gives them, None where null."""

    field: Column
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a session. Stamps are aware.

    It was shown by the reads from `valid_from` to `fetched_at`, the last of which the run `run_id` landed, and is still if
    `replaced_at` is None. Else the run `replaced_by_run_id` landed what ended it, for the reason `end_reason` (see
    `raw.session_versions`). `returned`: the session had been gone. `changes` are those against the version before.
    """

    number: int
    session_day: date
    valid_from: datetime
    fetched_at: datetime
    run_id: str
    replaced_at: datetime | None
    replaced_by_run_id: str | None
    end_reason: str | None
    returned: bool
    changes: tuple[Change, ...]
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Unusable:
    """A form of a session that could not be used, for `reasons`: read from `since` on, until the read at `until` (both aware)."""

    since: datetime
    until: datetime
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of a session id under one vehicle.

    `versions` are in the order of their validity; none, where it never came in a form that can be typed. `unusable` are former
    forms that could not be. `reasons` are those for which it is in quarantine now. `external_user_id` is the supplier's own
    number of the customer, where it is known. `flags` are the warnings on its row of `analytics.sessions`; None: there is none.
    """

    session_id: UUID
    user_id: UUID
    external_user_id: str | None
    electric_vehicle_id: UUID
    first_seen_at: datetime
    versions: tuple[Version, ...]
    unusable: tuple[Unusable, ...]
    reasons: tuple[str, ...]
    flags: tuple[str, ...] | None

    @property
    def is_listed(self) -> bool:
        """Whether the session stands in `raw.sessions`."""
        return bool(self.versions) and self.versions[-1].replaced_at is None


def known_at() -> str:
    """A query for the rows of `raw.sessions`, in its columns, as they were known at the instant `$instant`."""
    return read_script("models/as_of.sql")


def require_known(connection: duckdb.DuckDBPyConnection, instant: datetime, *, now: datetime) -> None:
    """Check that something was known at `instant` (aware).

    Raises:
        NothingKnown: it lies after `now`, or before the first read.
    """
    if instant > now:
        raise NothingKnown(f"{as_second(instant)} is yet to come; give an instant of the past")
    (first_read,) = connection.execute("SELECT min(fetched_at) FROM raw.fetches").fetchall()[0]
    if first_read is None or instant < first_read:
        first = "yet" if first_read is None else f"before {as_second(first_read)}"
        raise NothingKnown(f"nothing was known at {as_second(instant)}: nothing was read {first}; give a later instant")


def as_second(instant: datetime) -> str:
    """`instant` for people, in UTC, at the next full second: so what was known at it was known at what is shown."""
    full = instant.astimezone(UTC)
    full += timedelta(microseconds=-full.microsecond % 1_000_000)
    return f"{full:%Y-%m-%d %H:%M:%S} UTC"


def stories(connection: duckdb.DuckDBPyConnection, session_id: UUID) -> list[Story]:
    """The stories of `session_id`, one for each vehicle that ever had it: more than one breaks a rule, but happens.

    Raises:
        UnknownSession: no table has it.
    """
    versions = _by_vehicle(connection, "questions/versions_of_session.sql", session_id)
    unusable = _by_vehicle(connection, "questions/unusable_of_session.sql", session_id)
    verdicts = _by_vehicle(connection, "questions/verdicts_of_session.sql", session_id)
    vehicles = sorted({*versions, *unusable, *verdicts})
    if not vehicles:
        raise UnknownSession(f"no session {session_id} was ever landed; check the id, and whether its days have been read")
    return [_story(session_id, versions.get(key, []), unusable.get(key, []), verdicts.get(key, [])) for key in vehicles]


_Row = Mapping[str, Any]


def _by_vehicle(connection: duckdb.DuckDBPyConnection, question: str, session_id: UUID) -> dict[UUID, list[_Row]]:
    answer = run_sql(connection, read_script(question), {"session_id": session_id})
    names = [column[0] for column in answer.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
    return {key: list(own) for key, own in groupby(rows, key=lambda row: row["electric_vehicle_id"])}


def _story(session_id: UUID, versions: Sequence[_Row], unusable: Sequence[_Row], verdicts: Sequence[_Row]) -> Story:
    newest = [*unusable, *verdicts, *versions][-1]
    verdict: _Row = verdicts[0] if verdicts else {}
    return Story(
        session_id,
        newest["user_id"],
        newest["external_user_id"],
        newest["electric_vehicle_id"],
        newest["first_seen_at"],
        tuple(_version(row, before) for before, row in pairwise([None, *versions]) if row),
        tuple(Unusable(row["first_seen_at"], row["left_at"], tuple(row["reasons"])) for row in unusable),
        tuple(verdict.get("reasons") or ()),
        None if verdict.get("flags") is None else tuple(verdict["flags"]),
    )


def _version(row: _Row, before: _Row | None) -> Version:
    changes = [Change(field, before[field.name], row[field.name]) for field in CHANGEABLE] if before else []
    return Version(
        number=row["version"],
        session_day=row["session_day"],
        valid_from=row["valid_from"],
        fetched_at=row["fetched_at"],
        run_id=row["run_id"],
        replaced_at=row["replaced_at"],
        replaced_by_run_id=row["replaced_by_run_id"],
        end_reason=row["end_reason"],
        returned=before is not None and before["replaced_at"] < row["valid_from"],
        changes=tuple(change for change in changes if change.before != change.after),
        values={field.name: row[field.name] for field in CHANGEABLE},
    )
