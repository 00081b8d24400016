"""What stands in files of every kind that this project writes, as text: for tests of what must not stand there."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow.parquet as pq


def text_of(path: Path) -> str:
    """What stands in a file: of a database or a Parquet file, all of its values; of compressed ones, what they hold."""
    if path.suffix == ".duckdb":
        return "".join(_rows_of(path))
    if path.suffix == ".parquet":
        return repr(pq.read_table(path).to_pylist())
    if path.suffix == ".db":
        return "".join(_values_of(path))
    return path.read_text(encoding="utf-8", errors="replace")


def _rows_of(path: Path) -> Iterator[str]:
    with duckdb.connect(path, read_only=True) as connection:
        for schema, name in connection.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall():
            yield repr(connection.execute(f'FROM "{schema}"."{name}"').fetchall())


def _values_of(path: Path) -> Iterator[str]:
    with closing(sqlite3.connect(path)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                yield from (_readable(value) for value in row)


def _readable(value: object) -> str:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return zlib.decompress(value).decode()
    except zlib.error:
        return value.decode("latin-1")
