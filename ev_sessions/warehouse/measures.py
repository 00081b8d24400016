"""Puts the SQL of a table's, or a view's, group measures together; the formulas themselves stand in `models/measures.sql`."""

from __future__ import annotations

from ev_sessions.tables import GROUP_MEASURES, Table
from ev_sessions.warehouse.scripts import read_script

# The report dates are no measures, but what months find their days by.
_MEASURES = {column.name for column in GROUP_MEASURES} | {"first_report_date", "last_report_date"}


def measures_of(table: Table, *, grain: str, rows: str) -> str:
    """The query of those group measures that `table` has, one row for each group of `rows` by `grain` (its columns).

    `rows` is a relation with the columns of `analytics.sessions`.
    """
    columns = ", ".join(name for name in table.column_names if name in _MEASURES)
    return f"SELECT {grain}, {columns} FROM ({read_script('models/measures.sql', grain=grain, rows=rows)})"  # noqa: S608 - ours
