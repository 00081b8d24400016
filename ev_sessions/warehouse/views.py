"""Makes the views that `ev_sessions.views` declares: from `models/views/*.sql` and the one query of the measures of a group."""

from __future__ import annotations

import hashlib

import duckdb

from ev_sessions.tables import Column, Table
from ev_sessions.views import ALL_VIEWS, GROUP_COLUMNS, MEASURES, Group, Period
from ev_sessions.warehouse.coverage import lives
from ev_sessions.warehouse.scripts import read_script, transaction

_ROWS = {
    Period.DAY: "analytics.sessions",
    Period.MONTH: "(SELECT *, date_trunc('month', report_date)::DATE AS report_month FROM analytics.sessions)",
}
# Session days, with the period that each is in: the first column of the views' keys.
_DAYS = {
    Period.DAY: "session_day, session_day AS day",
    Period.MONTH: "date_trunc('month', session_day)::DATE AS report_month, session_day AS day",
}
_OURS = "made by ev-sessions"
_MADE_BY = {view: made_by for made_by, view in MEASURES.items()}


def view_statements() -> list[str]:
    """The statements that make every view, in a database that has the tables; what stands there already is replaced."""
    return [_ratio(), *(f"CREATE OR REPLACE VIEW {view.full_name} AS {_query(view)}" for view in ALL_VIEWS)]


def bring_up_to_date(connection: duckdb.DuckDBPyConnection, schema_version: int) -> None:
    """Make the views anew where those of the database are not the ones that this program makes on tables of this version."""
    digest = hashlib.blake2b("\n".join((str(schema_version), *view_statements())).encode(), digest_size=8).hexdigest()
    stamp = f"{_OURS} {digest}"
    if _stamps(connection) != {view.name: stamp for view in ALL_VIEWS}:
        with transaction(connection):
            _make(connection, stamp)


def _make(connection: duckdb.DuckDBPyConnection, stamp: str) -> None:
    # Also those that were declared once and are no longer; what people made stays.
    for name in _stamps(connection):
        connection.execute(f'DROP VIEW analytics."{name}"')
    for statement in view_statements():
        connection.execute(statement)
    for view in ALL_VIEWS:
        connection.execute(f"COMMENT ON VIEW {view.full_name} IS '{stamp}'")


def _stamps(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The comment of each of our views, which tells that it is ours and what it was made of."""
    rows = connection.execute(
        """
        SELECT view_name, comment
        FROM duckdb_views()
        WHERE database_name = current_database() AND schema_name = 'analytics' AND starts_with(comment, ?)
        """,
        [_OURS],
    )
    return dict(rows.fetchall())


def _ratio() -> str:
    """The macro ratio as one that stays with the views, which find it in their schema."""
    return read_script("models/ratio.sql", macro="MACRO analytics.ratio")


def _query(view: Table) -> str:
    if view in _MADE_BY:
        return _measures_query(view, *_MADE_BY[view])
    unit = view.key[0].removeprefix("report_")
    return read_script(f"models/views/{view.name}.sql", standing=_standing(unit))


def _measures_query(view: Table, period: Period, group: Group) -> str:
    grain = (view.columns[0], *GROUP_COLUMNS[group])
    return read_script(
        f"models/views/measures_by_{period}.sql",
        columns=", ".join(view.column_names),
        measures=read_script("models/measures.sql", grain=", ".join(view.key), rows=_ROWS[period]),
        standing=_standing("month"),
        coverage=_coverage(period, group),
        same_group=" AND ".join(map(_same, grain)),
    )


def _coverage(period: Period, group: Group) -> str:
    names = {"period": MEASURES[period, group].key[0], "group": ", ".join(column.name for column in GROUP_COLUMNS[group])}
    return read_script("models/views/coverage.sql", days=_DAYS[period], lives=lives(), **names)


def _same(column: Column) -> str:
    # Only for what may be null: a plain comparison lets a filter of the one side narrow the other.
    equals = "=" if column.required else "IS NOT DISTINCT FROM"
    return f"measures.{column.name} {equals} coverage.{column.name}"


def _standing(unit: str) -> str:
    return read_script("models/views/standing.sql", unit=unit)
