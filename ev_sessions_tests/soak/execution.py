"""What a process of the soak does: one run, in the soak's own history, by the soak's own clock. Any moment may be its last."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from ev_sessions.cli.history import unhurried_commits
from ev_sessions.definitions import build_defs
from ev_sessions.resources import Clock
from ev_sessions.settings import variable

AUTOMATED_JOB = "__ASSET_JOB"
"""What Dagster calls the job of runs that an automation condition asks for."""

# Dagster's log stays in its history.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class ShiftedClock(Clock):
    """A clock that runs as the real one does, at another time; it shows `moment` (aware) when it is made."""

    def __init__(self, moment: datetime) -> None:
        self._shift = timedelta()
        self.move_to(moment)

    def move_to(self, moment: datetime) -> None:
        """Show `moment` (aware) now."""
        self._shift = moment - datetime.now(UTC)

    def now(self) -> datetime:
        """The present instant by this clock."""
        return datetime.now(UTC) + self._shift

    def wait(self, seconds: float) -> None:
        """Let the time pass at once."""
        self._shift += timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that is due: what a run request says. `assets` None: all of the job."""

    job: str
    tags: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    assets: tuple[dg.AssetKey, ...] | None = None

    @property
    def origin(self) -> str:
        """The schedule or sensor that asked for it, or else its job."""
        return self.tags.get("dagster/schedule_name") or self.tags.get("dagster/sensor_name") or self.job

    @property
    def priority(self) -> int:
        """How urgent it is among those that wait; more is sooner."""
        return int(self.tags.get("dagster/priority", "0"))

    def again_after(self, run_id: str) -> Run:
        """The same run as Dagster's retry of a run that died."""
        return replace(self, tags={**self.tags, "dagster/parent_run_id": run_id})


def dagster_home(environ: Mapping[str, str]) -> Path:
    """The folder of the soak's own history."""
    return Path(environ[variable("state_dir")]) / "dagster"


def execute(run: Run, run_id: str, environ: Mapping[str, str], clock: ShiftedClock) -> None:
    """Execute `run` under `run_id` and end this process: 0 where it succeeded, else 1."""
    os.environ.update(environ)
    defs = build_defs(environ, resources={"clock": clock})
    job = defs.resolve_implicit_global_asset_job_def() if run.job == AUTOMATED_JOB else defs.resolve_job_def(run.job)
    with unhurried_commits(), dg.DagsterInstance.from_config(str(dagster_home(environ))) as instance:
        result = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            run_config={**run.config, **_QUIET},
            tags=dict(run.tags),
            partition_key=run.tags.get("dagster/partition"),
            asset_selection=None if run.assets is None else list(run.assets),
            raise_on_error=False,
        )
    sys.exit(0 if result.success else 1)
