"""Who is measured on a workload. Each is a program of its own, in a child process and a fresh folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.measured import Measured, measure
from benchmarks.simulated_api import EV_SESSIONS, SimulatedApi
from benchmarks.workloads import Workload

Contender = Callable[[SimulatedApi, Workload], Measured]

_UNPACED = {"EV_SESSIONS_MAX_REQUESTS_PER_SECOND": "0", "EV_SESSIONS_MAX_CONCURRENCY": "100"}
_DATABASE = "bench.duckdb"


class NotExactError(Exception):
    """What landed differs from what the API lists; a fast wrong answer is no figure."""


def bound(api: SimulatedApi, workload: Workload) -> Measured:
    """The bare reader."""
    return measure(_program("bound", *_days(workload)), api.settings)


def fetch_and_land(api: SimulatedApi, workload: Workload) -> Measured:
    """Ours without Dagster, pacing off."""
    return measure(_program("ours", *_days(workload)), api.settings | _UNPACED)


def whole_run(api: SimulatedApi, workload: Workload) -> Measured:
    """Ours as people use it, `ev-sessions run` with Dagster and what it derives, pacing off.

    Raises:
        NotExactError: the rows or sums that landed are not those that the API lists.
    """
    first, last = _days(workload)
    with TemporaryDirectory(prefix="ev-sessions-bench-") as folder:
        settings = api.settings | _UNPACED | {"EV_SESSIONS_DATABASE": _DATABASE}
        measured = measure([str(EV_SESSIONS), "run", "--json", "--from", first, "--to", last], settings, Path(folder))
        standing = measure(_program("landed", _DATABASE, first, last), {}, Path(folder)).told
    if _exactly(standing) != _exactly(api.truth(workload.window)):
        raise NotExactError(f"{workload}: landed {standing}, listed {api.truth(workload.window)}")
    return measured


def dlt(file_format: str) -> Contender:
    """The peer, with 50 workers and load files in `file_format`."""

    def run(api: SimulatedApi, workload: Workload) -> Measured:
        return measure(_program("dlt_peer", file_format, *_days(workload)), api.settings)

    return run


def landings(fleets: Sequence[int]) -> Measured:
    """Landing a window of so many vehicles into an empty table and into one of 10 million rows."""
    return measure(_program("large_table", *map(str, fleets)), {})


def publishings(fleets: Sequence[int]) -> Measured:
    """Publishing after a night's landing, of fleets of so many vehicles with 10 million rows each."""
    return measure(_program("published", *map(str, fleets)), {})


def judgings(vehicles: int) -> Measured:
    """Judging a window of so many vehicles by the quality rules, beside landing it: without a past, and behind one."""
    return measure(_program("rules", str(vehicles)), {})


def _program(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.{module}", *arguments]


def _days(workload: Workload) -> tuple[str, str]:
    return workload.window.first.isoformat(), workload.window.last.isoformat()


def _exactly(sums: dict[str, Any]) -> dict[str, Decimal]:
    return {name: Decimal(value) for name, value in sums.items()}
