"""Publishing what a nightly landing touched, beside the landing itself, where there are 10 million sessions.

A program: the arguments are numbers of vehicles; prints one JSON object, for each number what `landing`, `deriving` and
`publishing` took, and the `megabytes` published. Each fleet has a table of its own, with as many days as make 10 million
sessions.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.large_table import READ_AT, RUN, WINDOW, Size, land_parts, large, staged
from ev_sessions.days import DayRange
from ev_sessions.limits import Limits
from ev_sessions.settings import PublishedAccess, ReportDate
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.derive import derive
from ev_sessions.warehouse.publish import Publication, publish

T = TypeVar("T")

SESSIONS = 10_000_000
MONTHS = DayRange(WINDOW.first.replace(day=1), WINDOW.last)
"""All days of the months that the window touches: they are derived beforehand."""


Took = dict[str, float]
"""Seconds: `wall`, and `cpu` of all threads."""


def nightly_seconds(folder: Path, size: Size) -> dict[str, Any]:
    """What one night takes with the large table of `size`. Files go to `folder`."""
    database = Database(folder / "full.duckdb")
    large(database, size, folder / "before")
    derive_days(database, MONTHS, READ_AT)
    _publish(database, folder)
    parts = staged(database, folder / "night", size.vehicles, READ_AT)
    landing, _ = timed(lambda: land_parts(database, parts))
    deriving, _ = timed(lambda: derive_days(database, WINDOW, READ_AT + timedelta(days=1)))
    publishing, publication = timed(lambda: _publish(database, folder))
    megabytes = publication.bytes / 1_000_000
    return {"landing": landing, "deriving": deriving, "publishing": publishing, "megabytes": megabytes}


def derive_days(database: Database, days: DayRange, now: datetime) -> None:
    """Derive `days` at the instant `now`."""
    with database.writing() as connection:
        derive(
            connection,
            days,
            run_id=RUN,
            report_date=ReportDate.SESSION_END,
            lookback_days=14,
            limits=Limits(),
            derived_at=now,
        )


def _publish(database: Database, folder: Path) -> Publication:
    return publish(database, folder / "published", PublishedAccess.OWNER)


def timed(work: Callable[[], T]) -> tuple[Took, T]:
    """What `work` took, and what it gives."""
    wall, cpu = time.monotonic(), time.process_time()
    result = work()
    return {"wall": time.monotonic() - wall, "cpu": time.process_time() - cpu}, result


if __name__ == "__main__":
    found = {}
    for number in map(int, sys.argv[1:]):
        place = Path(f"fleet_{number}")
        place.mkdir()
        found[number] = nightly_seconds(place, Size(number, SESSIONS // number))
    print(json.dumps(found))
