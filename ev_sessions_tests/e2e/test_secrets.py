"""No secret is anywhere after the full way, failures that quote it and alerts included."""

from __future__ import annotations

import base64
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from ev_sessions.automation.refresh import Kind as Refresh
from ev_sessions.automation.refresh import run_tags
from ev_sessions.sandbox import Sandbox
from ev_sessions.sandbox.faults import Kind
from ev_sessions_tests.e2e.operated import Operation, operation_over
from ev_sessions_tests.pipeline import sandbox_with, trailing
from ev_sessions_tests.processes import wait_until
from ev_sessions_tests.receiver import SECRET_PATH, receiving

DAYS = trailing(2)
SCHEDULED = {"dagster/schedule_name": "daily_refresh"}


def test_no_event_log_metadata_or_file_of_a_full_run_and_of_failed_ones_holds_a_secret(tmp_path: Path) -> None:
    sandbox = sandbox_with(vehicles=10)
    with receiving() as receiver:
        urls = {"alert_url": receiver.url, "heartbeat_url": receiver.url}
        with operation_over(sandbox, tmp_path, **urls) as operation, operation.started():
            for sensor in ("run_failure_alert", "heartbeat"):
                operation.page.start_sensor(sensor)
            run_of(operation, "SUCCESS")
            for kind in (Kind.USERS, Kind.TOKEN):
                sandbox.fail_next(2, kind=kind, status=401, body=" ".join(secrets_of(sandbox)).encode())
                run_of(operation, "FAILURE")
            wait_until("everybody was told", lambda: len(receiver.arrived) == 3, operation.ui)
    forbidden = [*secrets_of(sandbox), SECRET_PATH]
    assert len(forbidden) > 5
    places = {str(path): text for path in tmp_path.rglob("*") if path.is_file() for text in [text_of(path)]}
    places["alerts"] = repr([(method, body) for method, _, body in receiver.arrived])
    assert any("raw_sessions" in text for name, text in places.items() if name.endswith(".db"))
    assert [(name, secret) for name, text in places.items() for secret in forbidden if secret in text] == []


def run_of(operation: Operation, status: str) -> None:
    """Run the refresh to the end that it should come to."""
    run_id = operation.page.refresh(DAYS, run_tags(Refresh.DAILY_REFRESH, DAYS) | SCHEDULED)
    operation.wait_for(status, run_id)


def secrets_of(sandbox: Sandbox) -> list[str]:
    """Every secret of the API: the credentials in each of their forms, and all tokens."""
    pair = f"{sandbox.client_id}:{sandbox.client_secret}"
    return [sandbox.client_id, sandbox.client_secret, base64.b64encode(pair.encode()).decode(), *sandbox.tokens.issued]


def text_of(path: Path) -> str:
    """What stands in a file: of a database or a Parquet file, all of its values; of compressed ones, what they hold."""
    if path.suffix == ".duckdb":
        return "".join(rows_of(path))
    if path.suffix == ".parquet":
        return repr(pq.read_table(path).to_pylist())
    if path.suffix == ".db":
        return "".join(values_of(path))
    return path.read_bytes().decode("latin-1")


def rows_of(path: Path) -> Iterator[str]:
    with duckdb.connect(path, read_only=True) as connection:
        for schema, name in connection.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall():
            yield repr(connection.execute(f'FROM "{schema}"."{name}"').fetchall())


def values_of(path: Path) -> Iterator[str]:
    with closing(sqlite3.connect(path)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                yield from (readable(value) for value in row)


def readable(value: object) -> str:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return zlib.decompress(value).decode()
    except zlib.error:
        return value.decode("latin-1")
