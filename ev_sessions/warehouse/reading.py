"""What notebooks get: the derived tables, and any query, as pandas frames with right dtypes. Nothing here writes.

They read what is published (`ev_sessions.warehouse.publish`) and so never meet the writer, unless they name the database itself.
Without `with`, every call opens the file, reads and closes it, and sees what was published last. Inside `with`, one connection
is held, and all calls see the same state.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pandas as pd
import pyarrow as pa

from ev_sessions.days import DayRange, parse_day, parse_instant
from ev_sessions.errors import PermanentError
from ev_sessions.settings import Settings
from ev_sessions.tables import ANALYTICS_SESSIONS, DAILY_ENERGY, DAILY_SAVINGS, FLEET_DAILY, MONTHLY_SAVINGS, Table
from ev_sessions.views import MEASURES, Group, Period
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.publish import as_it_is_now, published_views
from ev_sessions.warehouse.versions import known_at, require_known

Parameters = Sequence[object] | Mapping[str, object]

# DuckDB sums whole numbers into HUGEINT, which pandas does not know.
_CASTS = {"decimal": "::DOUBLE", "hugeint": "::BIGINT"}

# Nullable types, so that an unknown number stays a number column. What is not named here becomes what Arrow makes of it.
_DTYPES: Mapping[pa.DataType, Any] = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
    pa.string(): pd.StringDtype(),
}


class NotAQuery(PermanentError, ValueError):
    """A statement that does something else than read, or several statements."""


class NoSuchMeasures(PermanentError, ValueError):
    """A group, or a period, of which there is no view of measures."""


def open_data(path: Path | str | None = None) -> Data:
    """Open what is published for reading, in the folder that the environment's settings name: no run waits for its readers.

    `path` names another file: published views, or a database itself, which nobody can write while it is held open. The result
    can be used as it is, or in a `with` statement (see `Data`).

    Raises:
        EvSessionsError: nothing is published yet, the file is not ours, or somebody else holds it; the message says what to do.
    """
    database = published_views(Settings.from_env(os.environ)) if path is None else Database(Path(path))
    with Data(database) as data:
        return data


class Data:
    """A database or published views, read only, whose tables and queries come as pandas frames.

    Their dtypes:

    - ids, texts and JSON: `string`; whole numbers: `Int64`; booleans: `boolean`, each with `<NA>` for null;
    - decimals (money, energy, hours) and ratios: `float64` with NaN for null; `frame.attrs["decimal_columns"]` lists the
      columns that were exact decimals in the database. Where the last digit counts, add up in `sql`: DuckDB does it exactly;
    - stamps: `datetime64[us, UTC]`; days: `datetime64[s]` at midnight, without a zone;
    - counts by name, as `fleet_daily.sessions_by_outcome`: a dict per row; lists, as `sessions.flags`: an array per row.

    What the columns mean stands in the data dictionary.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held = ExitStack()
        self._connection: duckdb.DuckDBPyConnection | None = None

    def __enter__(self) -> Self:
        self._connection = self._held.enter_context(as_it_is_now(self._database).reading())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._connection = None
        self._held.close()

    def sessions(self, first: date | str, last: date | str) -> pd.DataFrame:
        """`analytics.sessions`: one row per session of the session days `first` to `last` (YYYY-MM-DD, both included)."""
        return self._days_of(ANALYTICS_SESSIONS, first, last)

    def daily_energy(self, first: date | str, last: date | str) -> pd.DataFrame:
        """`analytics.daily_energy`: a row per session day, report date and vehicle, of the session days `first` to `last`."""
        return self._days_of(DAILY_ENERGY, first, last)

    def daily_savings(self, first: date | str, last: date | str) -> pd.DataFrame:
        """`analytics.daily_savings`: a row per session day, report date and vehicle, of the session days `first` to `last`."""
        return self._days_of(DAILY_SAVINGS, first, last)

    def fleet_daily(self, first: date | str, last: date | str) -> pd.DataFrame:
        """`analytics.fleet_daily`: one row per session day from `first` to `last` that has been derived."""
        return self._days_of(FLEET_DAILY, first, last)

    def monthly_savings(self, first: date | str, last: date | str) -> pd.DataFrame:
        """`analytics.monthly_savings`: a row per customer and month, from the month of the day `first` to that of `last`."""
        return self._cut_by("report_month", MONTHLY_SAVINGS, _day(first).replace(day=1), last)

    def measures(
        self,
        first: date | str,
        last: date | str,
        *,
        by: Group | str = Group.USER,
        period: Period | str = Period.MONTH,
    ) -> pd.DataFrame:
        """`analytics.measures_by_<period>_<by>`: every measure of a group, a row per period and group.

        `by` is `vehicle`, `user`, `organisation` or `price_zone`. With the period `month`, the rows are those from the month of
        the report date that the day `first` is in to that of `last`; with `day`, those of the session days `first` to `last`,
        one per report date. Sums and counts of sessions can be added up over the rows; ratios, means, medians, tails and the
        counts of active vehicles and users cannot: ask for the coarser group instead.

        Raises:
            NoSuchMeasures: there is no such group or period.
            DayRangeError: it is no day, or `last` lies before `first`.
        """
        view, days = _measures_view(period, by), DayRange(_day(first), _day(last))
        begin = days.first.replace(day=1) if view.key[0] == "report_month" else days.first
        return self._cut_by(view.key[0], view, begin, days.last)

    def as_of(self, instant: datetime | str) -> pd.DataFrame:
        """`raw.sessions` as it was known at `instant`: as if only the answers read until then had ever been landed.

        Sessions that had vanished by then, or could not be typed, are not in it; those that an error rule keeps out of the
        derived tables are. An instant without a zone, as text (ISO 8601) or not, is UTC. `fetched_at` and `run_id` are those of
        the last read of the version, which may be later.

        Raises:
            NothingKnown: the instant lies ahead, or before the first read.
            DayRangeError: it is no instant.
        """
        asked = _instant(instant)
        with self._reading() as connection:
            require_known(connection, asked, now=datetime.now(UTC))
            query = f"FROM ({known_at()}) ORDER BY session_day, electric_vehicle_id, id"
            return _frame(connection.sql(query, params={"instant": asked}))

    def sql(self, query: str, parameters: Parameters | None = None) -> pd.DataFrame:
        """The rows of one query in DuckDB's SQL; `parameters` fill its `?` or `$name`.

        Raises:
            NotAQuery: it does something else than read.
            duckdb.Error: DuckDB does not understand it.
        """
        with self._reading() as connection:
            statements = duckdb.extract_statements(query)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise NotAQuery("sql() takes one statement that reads, such as SELECT; open the file with duckdb for others")
            return _frame(connection.sql(statements[0], params=parameters))

    def _days_of(self, table: Table, first: date | str, last: date | str) -> pd.DataFrame:
        return self._cut_by("session_day", table, first, last)

    def _cut_by(self, column: str, table: Table, first: date | str, last: date | str) -> pd.DataFrame:
        days = DayRange(_day(first), _day(last))
        order = ", ".join(dict.fromkeys((column, *table.key)))
        return self.sql(
            f"FROM {table.full_name} WHERE {column} BETWEEN $first AND $last ORDER BY {order}",
            {"first": days.first, "last": days.last},
        )

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if self._connection is not None:
            yield self._connection
            return
        with as_it_is_now(self._database).reading() as connection:
            yield connection


def _measures_view(period: Period | str, group: Group | str) -> Table:
    try:
        return MEASURES[Period(period), Group(group)]
    except ValueError:
        raise NoSuchMeasures(
            f"there are no measures by {period!s} and {group!s}; the period is one of {', '.join(Period)}, "
            f"the group one of {', '.join(Group)}"
        ) from None


def _day(day: date | str) -> date:
    if isinstance(day, str):
        return parse_day(day)
    return day.date() if isinstance(day, datetime) else day


def _instant(instant: datetime | str) -> datetime:
    if isinstance(instant, datetime) and not pd.isna(instant):
        return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return parse_instant(str(instant))


def _frame(relation: duckdb.DuckDBPyRelation) -> pd.DataFrame:
    names_and_kinds = [(name, kind.id) for name, kind in zip(relation.columns, relation.types, strict=True)]
    # By place, since a query may name two columns alike; in DuckDB, since Arrow's floats are off by one in the last digit.
    columns = [
        f"#{place}{_CASTS.get(kind, '')} AS {_quoted(name)}" for place, (name, kind) in enumerate(names_and_kinds, start=1)
    ]
    table = relation.project(", ".join(columns)).to_arrow_table()
    frame: pd.DataFrame = table.to_pandas(types_mapper=_DTYPES.get, maps_as_pydicts="strict", date_as_object=False)
    dates = [name for name, kind in names_and_kinds if kind == "date"]
    frame = frame.astype(dict.fromkeys(dates, "datetime64[s]"))
    frame.attrs["decimal_columns"] = [name for name, kind in names_and_kinds if kind == "decimal"]
    return frame


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
