"""Transactions, the memory that they may take, and the `.sql` files of the warehouse that run in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from typing import TypeVar

import duckdb

T = TypeVar("T")


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Everything inside is committed together, or, when anything at all goes wrong, nothing of it."""
    connection.begin()
    with ExitStack() as undo:
        undo.callback(connection.rollback)
        yield
        undo.pop_all()
    connection.commit()


def frugally(connection: duckdb.DuckDBPyConnection, megabytes: int, work: Callable[[], T], *, threads: int = 1) -> T:
    """What `work` gives, done by `threads` with at most about `megabytes` of DuckDB's memory where that will do.

    So the memory of a run depends neither on the fleet nor on the machine. `work` has to be all or nothing, as a transaction
    is: where the limit is too small for it, it is done once more with as much memory as DuckDB takes by itself.
    """
    try:
        with _limited(connection, megabytes, threads):
            return work()
    except duckdb.OutOfMemoryException:
        return work()


@contextmanager
def _limited(connection: duckdb.DuckDBPyConnection, megabytes: int, threads: int) -> Iterator[None]:
    # Of a transaction, more than one thread would hold more rows at once and save little time; what is too much spills to disk.
    limits = {"threads": threads, "memory_limit": f"{megabytes}MB"}
    former = {name: connection.execute("SELECT current_setting(?)", [name]).fetchall()[0][0] for name in limits}
    _configure(connection, limits)
    try:
        yield
    finally:
        _configure(connection, former)


def _configure(connection: duckdb.DuckDBPyConnection, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        connection.execute(f"SET {name} = '{value}'")


def read_script(name: str, **parts: str) -> str:
    """The text of `name` (a path below this package), each `{part}` in it replaced by the SQL given for it."""
    text = files("ev_sessions.warehouse").joinpath(name).read_text(encoding="utf-8")
    for part, sql in parts.items():
        text = text.replace(f"{{{part}}}", sql)
    return text


def run_sql(
    connection: duckdb.DuckDBPyConnection, text: str, values: Mapping[str, object] | None = None
) -> duckdb.DuckDBPyConnection:
    """Run the statements of `text` one after the other and give back the connection, for the last one's rows.

    A statement takes from `values` the parameters that it names, written `$name`.
    """
    for statement in duckdb.extract_statements(text):
        connection.execute(statement, {parameter: (values or {})[parameter] for parameter in statement.named_parameters})
    return connection


def run_script(connection: duckdb.DuckDBPyConnection, name: str, values: Mapping[str, object]) -> None:
    """Run the statements of the file `name`: `run_sql` of `read_script`."""
    run_sql(connection, read_script(name), values)
