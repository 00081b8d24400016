"""Transactions, and the `.sql` files of the warehouse that run in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.resources import files

import duckdb


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Everything inside is committed together, or, when anything at all goes wrong, nothing of it."""
    connection.begin()
    with ExitStack() as undo:
        undo.callback(connection.rollback)
        yield
        undo.pop_all()
    connection.commit()


def run_script(connection: duckdb.DuckDBPyConnection, name: str, values: Mapping[str, object]) -> None:
    """Run the statements of `name` (a path below this package) one after the other.

    A statement takes from `values` the parameters that it names, written `$name`.
    """
    text = files("ev_sessions.warehouse").joinpath(name).read_text(encoding="utf-8")
    for statement in duckdb.extract_statements(text):
        connection.execute(statement, {parameter: values[parameter] for parameter in statement.named_parameters})
