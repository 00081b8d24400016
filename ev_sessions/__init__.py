"""Charging sessions of an electric-vehicle fleet: from the partner API into DuckDB, day by day, in Dagster.

In notebooks: `ev_sessions.open_data()`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ev_sessions.warehouse.reading import open_data

__all__ = ["open_data"]


def __getattr__(name: str) -> object:
    # pandas takes most of a second to import; whoever only wants the client or the settings does not pay for it.
    if name == "open_data":
        return import_module("ev_sessions.warehouse.reading").open_data
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
