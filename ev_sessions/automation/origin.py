"""Where a run was launched from."""

from __future__ import annotations

import dagster as dg


def location_of(run: dg.DagsterRun) -> str | None:
    """The code location that `run` was launched from; None for one of the command line."""
    origin = run.remote_job_origin
    return None if origin is None else origin.repository_origin.code_location_origin.location_name
