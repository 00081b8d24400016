"""What the database knows of the past: `raw.sessions` at an instant, and the story of one session.

A version is valid from when the read that first showed it began (`valid_from`) to when the read that ended it began
(`replaced_at`): all of it is on the axis of reading, whenever the answers landed. Nothing here writes.
"""

from __future__ import annotations

from ev_sessions.warehouse.scripts import read_script


def known_at() -> str:
    """A query for the rows of `raw.sessions`, in its columns, as they were known at the instant `$instant`."""
    return read_script("models/as_of.sql")
