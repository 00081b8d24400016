"""What was to be read, and what is: the SQL that the derived tables, the questions and the views have in common."""

from __future__ import annotations

from ev_sessions.warehouse.scripts import read_script


def lives(vehicles: str = "raw.vehicles") -> str:
    """The query of the days on which each of `vehicles`, a table with the columns of raw.vehicles, is due: `models/lives.sql`."""
    return read_script("models/lives.sql", vehicles=vehicles)


def coverage() -> str:
    """The query of how far each day asked for is read: `models/coverage.sql`."""
    return read_script("models/coverage.sql", lives=lives())
