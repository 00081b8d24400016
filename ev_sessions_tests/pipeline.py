"""The whole way of the data over a simulated API: what integration and e2e tests drive, and how they look at what came of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from ev_sessions.assets.failures import NEVER_AGAIN
from ev_sessions.automation.refresh import range_tags
from ev_sessions.days import DayRange
from ev_sessions.definitions import build_defs
from ev_sessions.sandbox import Sandbox, SandboxOptions, serving
from ev_sessions.settings import PREFIX, variable
from ev_sessions.warehouse.rules import Family

LAST_DAY = date(2025, 3, 31)
LONG_AFTER = datetime(2025, 5, 1, tzinfo=UTC)
"""A clock by which every session up to `LAST_DAY` has ended and every restatement is made."""

# The log of a run stays in its history: a test that fails shows what it asked for, not pages of Dagster.
_QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}


@contextmanager
def own_environment() -> Iterator[None]:
    """This process's environment without any setting of ours or of Dagster's; whatever happens to it inside is undone."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith((PREFIX, "DAGSTER_"))]:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@dataclass(frozen=True)
class Pipeline:
    """One code location, pointed at one sandbox, with a state folder and a Dagster history of its own."""

    sandbox: Sandbox
    environ: Mapping[str, str]
    instance: dg.DagsterInstance

    @property
    def state(self) -> Path:
        """The state folder."""
        return Path(self.environ[variable("state_dir")])

    def refresh(
        self, days: DayRange, *, vehicles_from: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run the job `refresh` once over `days`; `settings` (short names) stand over those of the environment."""
        config = {"vehicles_from": None if vehicles_from is None else str(vehicles_from)}
        job = build_defs({**self.environ, **named(settings or {})}).resolve_job_def("refresh")
        return job.execute_in_process(
            instance=self.instance,
            tags=range_tags(days) | NEVER_AGAIN,
            run_config={"ops": {"raw_sessions": {"config": config}}, "loggers": _QUIET},
            raise_on_error=False,
        )

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What `query` finds in the database."""
        with duckdb.connect(self.state / "ev_sessions.duckdb", read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(query, values).fetchall()

    def change(self, statement: str, *values: object) -> None:
        """Do to the database what no part of the project would."""
        with duckdb.connect(self.state / "ev_sessions.duckdb") as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(statement, values)


@contextmanager
def pipeline_over(sandbox: Sandbox, folder: Path) -> Iterator[Pipeline]:
    """`sandbox`, served, and a pipeline that reads it into `folder`; its settings stand in this process's environment."""
    with own_environment(), serving(sandbox) as url, dg.DagsterInstance.ephemeral(str(folder / "artifacts")) as instance:
        environ = sandbox.settings_for(url) | named(
            {
                "state_dir": str(folder / "state"),
                "first_day": sandbox.options.history.first.isoformat(),
                "max_requests_per_second": "0",
            }
        )
        os.environ.update(environ)
        yield Pipeline(sandbox, environ, instance)


@contextmanager
def own_setting(name: str, value: str) -> Iterator[None]:
    """One more setting in this process's environment, and so in that of the processes that it starts."""
    os.environ[variable(name)] = value
    try:
        yield
    finally:
        del os.environ[variable(name)]


def sandbox_with(**options: Any) -> Sandbox:  # noqa: ANN401 - options of all types
    """A sandbox whose fleet, unless `options` say otherwise, is small, whole and as it should be, long after its last day."""
    plain = {"malformed_rate": 0, "restated_rate": 0, "added_rate": 0, "deleted_rate": 0}
    return Sandbox(SandboxOptions(**{"end": LAST_DAY, "vehicles": 4, "days": 5, "now": LONG_AFTER, **plain, **options}))


def trailing(days: int) -> DayRange:
    """The `days` days that end with `LAST_DAY`."""
    return DayRange(LAST_DAY - timedelta(days=days - 1), LAST_DAY)


def named(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings by the names of their environment variables."""
    return {variable(name): value for name, value in settings.items()}


def findings(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """What each check of the run found: its name, and whether it holds."""
    return {evaluation.check_name: evaluation.passed for evaluation in result.get_asset_check_evaluations()}


def red(result: dg.ExecuteInProcessResult) -> set[str]:
    """The checks that do not hold.

    But for the one that looks at the real yesterday, since a sandbox's clock stands elsewhere, and those of the quality rules,
    which find something unusual in every fleet.
    """
    not_holding = {name for name, passed in findings(result).items() if not passed}
    return not_holding - {"yesterday_is_there", *(family.value for family in Family)}


def told_by_day(result: dg.ExecuteInProcessResult, asset: str) -> dict[date, dict[str, Any]]:
    """The metadata of each partition that the run materialized of `asset`."""
    events = [event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey([asset])]
    return {
        date.fromisoformat(event.partition or ""): {name: value.value for name, value in event.materialization.metadata.items()}
        for event in events
    }


def told_of_run(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """The figures that the run told of `asset` as a whole."""
    observations = [event.asset_observation_data.asset_observation for event in result.all_events if event.is_asset_observation]
    (told,) = (seen.metadata for seen in observations if seen.asset_key == dg.AssetKey([asset]))
    return {name: value.value for name, value in told.items()}


def failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """What each step that failed says: its sentence, or the error that nobody put into one."""
    events = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return [event.user_failure_data.description or "" if event.user_failure_data else str(event.error) for event in events]


def write_fleet_file(path: Path, pairs: Sequence[tuple[object, object]]) -> Path:
    """A CSV that names a fleet, of (user id, vehicle id) pairs."""
    path.write_text("\n".join(["user_id,electric_vehicle_id", *(f"{user},{vehicle}" for user, vehicle in pairs)]) + "\n")
    return path
