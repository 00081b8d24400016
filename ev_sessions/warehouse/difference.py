"""Explains how a month's figures came from what was known at an instant to what is known now: `difference`. Nothing here writes.

The month is computed three times, by the rules and the model that deriving uses: from the rows as they were known then, from the
rows of now under the settings of then, and from those under the settings of now. The first step is told by what became of each
session, the second is the settings', so the causes sum to the difference exactly.

What the past does not tell is taken as it is now: a vehicle's size and creation, and whose a session was that did not change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import duckdb

from ev_sessions.days import ONE_DAY, DayRange
from ev_sessions.errors import PermanentError
from ev_sessions.warehouse.judging import facts, judged
from ev_sessions.warehouse.rules import NEIGHBOUR_DAYS, REACH_DAYS
from ev_sessions.warehouse.scripts import read_script, run_sql
from ev_sessions.warehouse.settings_history import SettingsInForce, first_settings, newest_settings, settings_at
from ev_sessions.warehouse.versions import known_at, require_known

_PLACES = "SELECT session_day FROM places"
# Of a row that was read again since, the read of then is not known: it was by then.
_THEN = "(SELECT * REPLACE (least(fetched_at, $instant) AS fetched_at) FROM (\n{known}\n))"
_VALID_THEN = "valid_from <= $instant AND replaced_at > $instant"
_IN_REACH = " OR ".join(
    f"{stamp} BETWEEN $reach_from AND $reach_to" for stamp in ("plug_in_time", "unplug_time", "inferred_session_end")
)
_FOR_EVER = "infinity"


class NothingToCompare(PermanentError):
    """There is nothing known of that month, then or now, or nothing derived at all."""


class Cause(StrEnum):
    """Why a session adds to a difference."""

    LATE = "late"
    RESTATED = "restated"
    VANISHED = "vanished"
    RULE = "rule"
    SETTING = "setting"


@dataclass(frozen=True, slots=True)
class Figures:
    """A month's figures, or a change of them: sessions, kWh and EUR, exact.

    A month's sum is None where there are sessions and none of them has that figure. Else, and in a change, what is unknown adds
    nothing.
    """

    sessions: int = 0
    energy_kwh: Decimal | None = Decimal(0)
    cost_eur: Decimal | None = Decimal(0)
    savings_eur: Decimal | None = Decimal(0)

    def minus(self, other: Figures) -> Figures:
        """The change from `other` to these."""
        return Figures(
            self.sessions - other.sessions,
            _change(other.energy_kwh, self.energy_kwh),
            _change(other.cost_eur, self.cost_eur),
            _change(other.savings_eur, self.savings_eur),
        )


def _change(before: Decimal | None, after: Decimal | None) -> Decimal:
    return (after or Decimal(0)) - (before or Decimal(0))


@dataclass(frozen=True, slots=True)
class Effect:
    """What one cause did: to how many sessions, and to the figures. Some reported to another month before, or do so since."""

    sessions: int = 0
    change: Figures = Figures()
    moved_in: int = 0
    moved_out: int = 0


@dataclass(frozen=True, slots=True)
class ChangedSession:
    """A session that adds to the difference. The months (their first days) are None where it was, or is, in no figures.

    `external_user_id` is the supplier's own number of the customer, where it is known.
    """

    cause: Cause
    session_id: UUID
    electric_vehicle_id: UUID
    user_id: UUID
    external_user_id: str | None
    change: Figures
    month_then: date | None
    month_now: date | None


@dataclass(frozen=True, slots=True)
class ChangedUser:
    """A customer whose savings of the month (EUR) changed; `external_user_id` is the supplier's own number of him.

    Savings are None where none of his sessions of the month has any, 0 where he has no session.
    """

    user_id: UUID
    external_user_id: str | None
    savings_then_eur: Decimal | None
    savings_now_eur: Decimal | None


@dataclass(frozen=True, slots=True)
class Difference:
    """The explanation. `effects` has every cause; their changes sum to `now` minus `then`.

    `stored` are the figures of analytics.monthly_savings: others than `now` while days wait to be derived, or the month to be
    summed up. `settings_then` is what was in force at `since`, or, where nothing had been derived by then, first
    (`settings_were_known` is False). `sessions` are the most important of each cause, `users` those of the `changed_users` whose
    savings changed most: all of them, unless fewer were asked for.
    """

    report_month: date
    since: datetime
    then: Figures
    now: Figures
    stored: Figures
    effects: Mapping[Cause, Effect]
    sessions: tuple[ChangedSession, ...]
    users: tuple[ChangedUser, ...]
    changed_users: int
    settings_then: SettingsInForce
    settings_now: SettingsInForce
    settings_were_known: bool


def difference(
    connection: duckdb.DuckDBPyConnection, month: DayRange, since: datetime, *, now: datetime, most: int | None = None
) -> Difference:
    """How the figures of `month` (all of its days) changed between what was known at `since` and `now` (aware).

    At most `most` sessions of each cause, and as many customers, are named; None: all. A read-only connection will do, to the
    database or to what is published. Only rows near the month are read in full.

    Raises:
        NothingKnown: `since` lies ahead, or before the first read.
        NothingToCompare: no session of the month is known then or now, or nothing is derived yet.
    """
    settings_now = _require_knowledge(connection, since, now)
    settings_then = settings_at(connection, since)
    former = settings_then or first_settings(connection) or settings_now
    values = _values(month, since)
    _find(connection, values)
    _take(connection, "then", _THEN.replace("{known}", known_at()), former, values | {"known_at": since.isoformat()})
    _take(connection, "meanwhile", "raw.sessions", former, values | {"known_at": _FOR_EVER})
    if settings_now == former:
        connection.execute("CREATE OR REPLACE TEMP TABLE accepted_now AS FROM accepted_meanwhile")
    else:
        _take(connection, "now", "raw.sessions", settings_now, values | {"known_at": _FOR_EVER})
    run_sql(connection, read_script("questions/difference/3_changes.sql"), values)
    then, present = (_figures(connection, f"accepted_{step}", values) for step in ("then", "now"))
    if not then.sessions and not present.sessions:
        raise NothingToCompare(f"no session reports to {month.first:%Y-%m}, neither then nor now; choose another month")
    users = _users(connection, values)
    return Difference(
        report_month=month.first,
        since=since,
        then=then,
        now=present,
        stored=_stored(connection, values),
        effects=_effects(connection),
        sessions=tuple(_sessions(connection, most)),
        users=users[:most],
        changed_users=len(users),
        settings_then=former,
        settings_now=settings_now,
        settings_were_known=settings_then is not None,
    )


def _require_knowledge(connection: duckdb.DuckDBPyConnection, since: datetime, now: datetime) -> SettingsInForce:
    """The settings of now, once it is clear that something was known at `since` and is derived now."""
    settings = newest_settings(connection)
    if settings is None:
        raise NothingToCompare("no figures have been derived yet; run `ev-sessions run --from DAY --to DAY` first")
    require_known(connection, since, now=now)
    return settings


def _values(month: DayRange, since: datetime) -> dict[str, object]:
    midnight = datetime.combine(month.first, time(), UTC), datetime.combine(month.last, time(), UTC)
    # Stays of a month can be listed days beside it, verdicts about a day look at those in reach; a report date lies up to a day
    # beside the UTC day.
    margin = (NEIGHBOUR_DAYS + REACH_DAYS + 2) * ONE_DAY
    return {
        "report_month": month.first,
        "instant": since,
        "reach_from": midnight[0] - ONE_DAY,
        "reach_to": midnight[1] + 2 * ONE_DAY,
        "rows_from": month.first - margin,
        "rows_to": month.last + margin,
    }


def _find(connection: duckdb.DuckDBPyConnection, values: Mapping[str, object]) -> None:
    parts = {"in_reach": f"({_IN_REACH})", "valid_then": _VALID_THEN, "reach_days": str(REACH_DAYS)}
    run_sql(connection, read_script("questions/difference/1_places.sql", **parts), values)


def _take(
    connection: duckdb.DuckDBPyConnection, step: str, table: str, settings: SettingsInForce, values: Mapping[str, object]
) -> None:
    """Make the tables listed_`step` and accepted_`step` of the rows of `table`."""
    rows = read_script("questions/difference/rows.sql", table=table)
    relation = f"(\n{rows}\n)"
    parts = {
        "step": step,
        "rows": rows,
        "judged": judged(settings.limits, sessions=relation, days=_PLACES, unusable="FROM unusable"),
        "sessions": read_script(
            "models/sessions.sql", facts=facts(settings.limits, sessions=relation, days=_PLACES), kept_out="kept_out"
        ),
    }
    text = read_script("questions/difference/2_step.sql", **parts)
    run_sql(connection, text, {**values, "report_date": settings.report_date.value})


_NAMES = tuple(field.name for field in fields(Figures)[1:])
_CHANGES = ", ".join(f"coalesce(sum({name}), 0)" for name in _NAMES)


def _figures(connection: duckdb.DuckDBPyConnection, table: str, values: Mapping[str, object]) -> Figures:
    return _sums(connection, "count(*)", table, values)


def _stored(connection: duckdb.DuckDBPyConnection, values: Mapping[str, object]) -> Figures:
    return _sums(connection, "coalesce(sum(sessions), 0)::BIGINT", "analytics.monthly_savings", values)


def _sums(connection: duckdb.DuckDBPyConnection, sessions: str, table: str, values: Mapping[str, object]) -> Figures:
    sums = ", ".join(f"if(count(*) = 0, 0, sum({name}))" for name in _NAMES)
    query = f"SELECT {sessions}, {sums} FROM {table} WHERE report_month = $report_month"  # noqa: S608 - names that are ours
    return Figures(*run_sql(connection, query, values).fetchall()[0])


def _effects(connection: duckdb.DuckDBPyConnection) -> dict[Cause, Effect]:
    query = f"""
        SELECT
            cause,
            count(*),
            count(*) FILTER (sessions > 0 AND month_then IS NOT NULL),
            count(*) FILTER (sessions < 0 AND month_now IS NOT NULL),
            coalesce(sum(sessions), 0)::BIGINT,
            {_CHANGES}
        FROM changes
        GROUP BY cause
    """  # noqa: S608 - names that are ours
    found = {
        Cause(cause): Effect(sessions, Figures(*figures), moved_in, moved_out)
        for cause, sessions, moved_in, moved_out, *figures in connection.execute(query).fetchall()
    }
    return {cause: found.get(cause, Effect()) for cause in Cause}


def _sessions(connection: duckdb.DuckDBPyConnection, most: int | None) -> Iterable[ChangedSession]:
    rows = connection.execute(
        """
        SELECT
            cause,
            session_id,
            electric_vehicle_id,
            user_id,
            external_user_id,
            month_then,
            month_now,
            sessions,
            energy_kwh,
            cost_eur,
            savings_eur,
        FROM changes
        LEFT JOIN raw.users USING (user_id)
        WINDOW weight AS (
            PARTITION BY cause
            ORDER BY abs(savings_eur) DESC, abs(cost_eur) DESC, abs(energy_kwh) DESC, electric_vehicle_id, session_id
        )
        QUALIFY $most IS NULL OR row_number() OVER weight <= $most
        ORDER BY cause, row_number() OVER weight
        """,
        {"most": most},
    ).fetchall()
    for cause, session_id, vehicle_id, user_id, number, month_then, month_now, *figures in rows:
        yield ChangedSession(Cause(cause), session_id, vehicle_id, user_id, number, Figures(*figures), month_then, month_now)


def _users(connection: duckdb.DuckDBPyConnection, values: Mapping[str, object]) -> tuple[ChangedUser, ...]:
    rows = run_sql(
        connection,
        """
        WITH savings AS (
            SELECT
                user_id,
                if(count(*) FILTER (NOT is_now) = 0, 0, sum(savings_eur) FILTER (NOT is_now)) AS savings_then,
                if(count(*) FILTER (is_now) = 0, 0, sum(savings_eur) FILTER (is_now)) AS savings_now
            FROM (
                SELECT user_id, savings_eur, false AS is_now FROM accepted_then WHERE report_month = $report_month
                UNION ALL
                SELECT user_id, savings_eur, true AS is_now FROM accepted_now WHERE report_month = $report_month
            )
            GROUP BY user_id
        )
        SELECT user_id, external_user_id, savings_then, savings_now
        FROM savings
        LEFT JOIN raw.users USING (user_id)
        WHERE savings_then IS DISTINCT FROM savings_now
        ORDER BY abs(coalesce(savings_now, 0) - coalesce(savings_then, 0)) DESC, user_id
        """,
        values,
    ).fetchall()
    return tuple(ChangedUser(*row) for row in rows)
