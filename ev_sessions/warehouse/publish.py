"""Publishes the tables for readers, who then never meet the writer: Parquet files, and a DuckDB file of views over them.

    published/ev_sessions.duckdb                  views called as tables and views are: what `open_data` and any DuckDB opens
    published/analytics/sessions/2026-03.parquet  a month of a table
    published/raw/users.parquet                   a small table
    published/.generations/                       the same files under names that never change their content: the views name these

The views of one connection all show the state of one publishing, whatever is published meanwhile: DuckDB opens a file more than
once while it reads, so a file under a name that moves to another one would be read half from each.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from glob import escape
from itertools import groupby
from pathlib import Path

import duckdb

from ev_sessions.errors import TransientError
from ev_sessions.settings import PublishedAccess, Settings
from ev_sessions.tables import FLEET_DAILY, PUBLISHED_TABLES, RAW_QUARANTINE_PAST, RAW_RECONCILIATIONS, Table
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.failures import DatabaseDenied, DatabaseDiskFull, explain, reason_of
from ev_sessions.warehouse.files import private_files
from ev_sessions.warehouse.published_files import Piece, PublishedFolder, content_of
from ev_sessions.warehouse.schema import create_schema_info, create_statement
from ev_sessions.warehouse.scripts import frugally
from ev_sessions.warehouse.views import view_statements

VIEWS = "ev_sessions.duckdb"

KEPT_FOR = timedelta(hours=24)
"""How long the files of a former state stay, for those who hold a connection."""

# Tables whose rows stay as they are and whose days are not those derived; by when a row was added.
_GROWING = {RAW_RECONCILIATIONS: "asked_at", RAW_QUARANTINE_PAST: "left_at"}

# Two threads take little more than half the time of one, and this is enough for 620,000 rows of the widest table.
_THREADS = 2
_MEGABYTES = 256

# A publishing makes its folders first, and looks for no file that it has not found or written: what it misses was there.
_DELETED = re.compile(r"No such file or directory|No files found that match the pattern")


class PublishingFailed(TransientError):
    """What is for readers cannot be written; what was published before stands."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What a publishing wrote: files, their size (bytes), and the months that they are of."""

    files: int
    bytes: int
    months: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A month of a table (`month` is its first day), or all of a table that is not cut (None)."""

    table: Table
    month: date | None
    piece: Piece


def views_path(folder: Path) -> Path:
    """The DuckDB file of views in the published `folder`."""
    return folder / VIEWS


def published_views(settings: Settings) -> Database:
    """What `settings` name as the place where readers look."""
    return Database(views_path(settings.published_path), settings.lock_timeout_seconds)


def as_it_is_now(database: Database) -> Database:
    """What `database` shows now, under a name of its own where it is published.

    Within a process, DuckDB gives everybody who opens a path what the first who still holds it found there, also when the file
    was replaced since. The name of the content cannot vanish before it is opened: it outlives its replacement by a day.
    """
    content = content_of(database.path)
    if content == database.path:
        return database
    # Not beside the contents, which is where DuckDB would spill: that folder is the publishing's own.
    spill = content.parent.with_name(f"{content.name}.tmp")
    return replace(database, path=content, config={**database.config, "temp_directory": str(spill)})


def publish(database: Database, folder: Path, access: PublishedAccess) -> Publication:
    """Bring `folder` up to what `database` holds: write what differs, a month at a time, then the views over all of it.

    What is published is told by names that hold a digest of when, and by which run, the days were derived. So a file that is
    missing, or that a killed process left unfinished, is written by the next call. Nobody is kept from the database for longer
    than the reading of one month takes.

    Raises:
        PublishingFailed: the folder cannot be written; what stood there stands.
        NotPublishedByUs: files of others stand there under the names of ours; they are left alone.
        DatabaseLocked, and whatever else `Database.reading` raises.
    """
    target = PublishedFolder(folder.absolute())
    with _told(folder), private_files(), target.publishing():
        with database.reading() as connection:
            parts = _parts(connection)
        unknown = [part for part in parts if not target.is_known(part.piece)]
        for _, month in groupby(unknown, key=lambda part: part.month):
            _publish_month(database, target, list(month))
        views = _publish_views(target, parts)
        pieces = [*(part.piece for part in parts), views]
        target.give_rights(pieces, access)
        target.drop_former(pieces, time.time() - KEPT_FOR.total_seconds())
        return _publication(target, unknown)


def _parts(connection: duckdb.DuckDBPyConnection) -> list[_Part]:
    """All that should be published, by month, the newest first and what is not cut before all."""
    stamps = {table: _stamps(connection, table) for table in PUBLISHED_TABLES}
    parts = [_part(table, month, stamp) for table, by_month in stamps.items() for month, stamp in by_month.items()]
    return sorted(parts, key=lambda part: part.month or date.max, reverse=True)


def _part(table: Table, month: date | None, derived: str) -> _Part:
    place = f"{table.schema}/{table.name}"
    name = f"{place}.parquet" if month is None else f"{place}/{month:%Y-%m}.parquet"
    return _Part(table, month, Piece(name, _digest(create_statement(table), derived)))


def _stamps(connection: duckdb.DuckDBPyConnection, table: Table) -> dict[date | None, str]:
    """What the content of each month of `table` depends on. A raw table's months change as those of the days derived do."""
    if table.cut_by == "report_month":
        return _derivations(connection, table, table.cut_by)
    if table in _GROWING:
        newest = f"SELECT count(*), max({_GROWING[table]}) FROM {table.full_name}"  # noqa: S608 - names that are ours
        return {None: str(connection.execute(newest).fetchall())}
    days = _derivations(connection, FLEET_DAILY, "session_day")
    return days if table.cut_by else {None: " ".join(days.values())}


def _derivations(connection: duckdb.DuckDBPyConnection, table: Table, cut_by: str) -> dict[date | None, str]:
    """When, and by which runs, the rows of each month were derived."""
    rows = connection.execute(
        f"""
        SELECT date_trunc('month', {cut_by})::DATE, list_sort(list(DISTINCT epoch_us(derived_at) || ' ' || derived_by_run_id))
        FROM {table.full_name}
        GROUP BY ALL
        ORDER BY ALL
        """  # noqa: S608 - names that are ours
    )
    return {month: " ".join(derivations) for month, derivations in rows.fetchall()}


def _publish_month(database: Database, target: PublishedFolder, parts: Sequence[_Part]) -> None:
    """Write `parts`, which are of one month, in one state of the database, then make them known together."""
    with database.reading() as connection:
        connection.execute("SET preserve_insertion_order = false")
        for part in parts:
            if not target.generation(part.piece).exists():
                with _told(target.path), target.making(part.piece) as path:
                    frugally(connection, _MEGABYTES, partial(_copy, connection, part, path), threads=_THREADS)
    target.make_known([part.piece for part in parts])


def _copy(connection: duckdb.DuckDBPyConnection, part: _Part, path: Path) -> None:
    rows = f"SELECT {_columns(part.table)} FROM {part.table.full_name}"  # noqa: S608 - names that are ours
    if part.month is not None:
        first = f"DATE '{part.month}'"
        rows += f" WHERE {part.table.cut_by} BETWEEN {first} AND last_day({first})"
    connection.execute(f"COPY ({rows}) TO {_quoted(str(path))} (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)")


def _publish_views(target: PublishedFolder, parts: Sequence[_Part]) -> Piece:
    tables = [_relation(target, table, [part.piece for part in parts if part.table == table]) for table in PUBLISHED_TABLES]
    statements = [*tables, *view_statements()]
    views = Piece(VIEWS, _digest(*statements))
    if not target.is_known(views):
        if not target.generation(views).exists():
            with target.making(views) as path:
                _make_views(path, statements)
        target.make_known([views])
    return views


def _make_views(path: Path, statements: Collection[str]) -> None:
    with duckdb.connect(path) as connection:
        for schema in sorted({table.schema for table in PUBLISHED_TABLES}):
            connection.execute(f"CREATE SCHEMA {schema}")
        for statement in statements:
            connection.execute(statement)
        create_schema_info(connection)
        # At its end a connection does this too, but where the disk is full it says nothing of it.
        connection.execute("CHECKPOINT")


def _relation(target: PublishedFolder, table: Table, pieces: Sequence[Piece]) -> str:
    """The view over `pieces` of `table`; the empty table where there are none."""
    if not pieces:
        return create_statement(table)
    paths = ", ".join(_quoted(escape(str(target.generation(piece)))) for piece in sorted(pieces, key=lambda piece: piece.name))
    rows = f"SELECT {_columns(table)} FROM read_parquet([{paths}], hive_partitioning = false)"  # noqa: S608 - names that are ours
    return f"CREATE VIEW {table.full_name} AS {rows}"


def _columns(table: Table) -> str:
    return ", ".join(f'"{name}"' for name in table.column_names)


def _publication(target: PublishedFolder, parts: Collection[_Part]) -> Publication:
    sizes = [target.generation(part.piece).stat().st_size for part in parts]
    return Publication(len(sizes), sum(sizes), len({part.month for part in parts if part.month}))


def _digest(*texts: str) -> str:
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=8).hexdigest()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Put what the file system refuses, or somebody does to it meanwhile, into one line."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        if _DELETED.search(str(error)):
            raise PublishingFailed(
                f"cannot publish to {folder}: files were deleted there meanwhile; run again: what is missing is written anew"
            ) from None
        if isinstance(error, duckdb.Error) and not isinstance(explain(error, folder), DatabaseDiskFull | DatabaseDenied):
            raise
        raise PublishingFailed(
            f"cannot publish to {folder}: {reason_of(error)}; free some space or mend the rights, and run again: "
            "what was landed is safe, and readers keep what was published before"
        ) from None
