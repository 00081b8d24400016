"""The Arrow schemas of a part's three files, made from the table declarations.

Ids travel as text; decimals, stamps and days in the types that the tables have.
"""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from ev_sessions.tables import DECIMAL, EXACT, RAW_FETCHES, RAW_QUARANTINE, RAW_SESSIONS, STAMP, Column, Table

_ARROW_TYPES = {
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "DOUBLE": pa.float64(),
    "JSON": pa.string(),
    "UUID": pa.string(),
    "VARCHAR": pa.string(),
    "VARCHAR[]": pa.list_(pa.string()),
    DECIMAL: pa.decimal128(18, 6),
    EXACT: pa.decimal128(38, 6),
    STAMP: pa.timestamp("us", tz="UTC"),
}

# What only the landing can know.
_KNOWN_AT_LANDING = frozenset(
    {"price_zone", "time_zone", "content_hash", "version", "first_seen_at", "valid_from", "in_sessions", "landed_at", "run_id"}
)


def arrow_schema(columns: Collection[Column]) -> pa.Schema:
    """The Arrow schema of `columns`; those that are required are not nullable."""
    return pa.schema([pa.field(column.name, _ARROW_TYPES[column.type], nullable=not column.required) for column in columns])


def _staged(table: Table) -> pa.Schema:
    return arrow_schema([column for column in table.columns if column.name not in _KNOWN_AT_LANDING])


# What a landing asks before it lands anything, and does not keep.
_FALLS_ON = Column("session_day", "DATE", "The day of a session that lies outside the days asked for; null: it cannot be typed")

SESSIONS = _staged(RAW_SESSIONS)
READS = _staged(RAW_FETCHES)
REJECTED = pa.schema([*_staged(RAW_QUARANTINE), *arrow_schema([_FALLS_ON])])
