"""An installation in operation: `ev-sessions ui` with its page, daemon and code server, and what a person does with it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from ev_sessions.assets.graph import API_POOL, DATABASE_POOL
from ev_sessions.automation.refresh import range_tags
from ev_sessions.cli.home import prepare_home
from ev_sessions.days import DayRange
from ev_sessions.file_locks import is_held
from ev_sessions.sandbox import Sandbox
from ev_sessions_tests.pipeline import Pipeline, named, own_environment, pipeline_over
from ev_sessions_tests.processes import LIMIT, ev_sessions, free_port, graphql, running, wait_until

LOCATION = "ev_sessions.definitions"
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}

# The queue is looked at every second instead of every five: five runs one after the other are waited for here.
IMPATIENT = """
run_coordinator:
  module: dagster
  class: QueuedRunCoordinator
  config: {dequeue_interval_seconds: 1}
"""

ASSETS = "{assetNodes {assetKey {path} isPartitioned}}"
RUNS = "{runsOrError {... on Runs {results {id status startTime endTime tags {key value}}}}}"
BACKFILL = """
mutation launch($of: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $of) { __typename ... on PythonError {message} }
}
"""
LAUNCH = """
mutation launch($of: ExecutionParams!) {
  launchRun(executionParams: $of) { __typename ... on LaunchRunSuccess {run {id}} ... on PythonError {message} }
}
"""
START_SENSOR = """
mutation start($of: SensorSelector!) {startSensor(sensorSelector: $of) {__typename ... on PythonError {message}}}
"""
TERMINATE = "mutation end($id: String!) {terminateRun(runId: $id) {__typename}}"


class Page:
    """Dagster's web page on `port`, asked as a browser asks it."""

    def __init__(self, port: int) -> None:
        self._port = port

    def assets(self) -> dict[str, bool]:
        """The assets that it shows, and whether each has partitions; none while the code location loads."""
        nodes = (graphql(self._port, ASSETS) or {"assetNodes": []})["assetNodes"]
        return {node["assetKey"]["path"][-1]: node["isPartitioned"] for node in nodes}

    def backfill(self, assets: Iterable[str], days: DayRange, tags: Mapping[str, str] | None = None) -> str:
        """Launch a backfill of `assets` over `days`; what became of that."""
        wanted = {
            "assetSelection": [{"path": [name]} for name in assets],
            "partitionNames": [day.isoformat() for day in days],
            "tags": _as_list(tags or {}),
        }
        launched: dict[str, str] = (graphql(self._port, BACKFILL, {"of": wanted}) or {})["launchPartitionBackfill"]
        return launched["__typename"]

    def refresh(self, days: DayRange, tags: Mapping[str, str] | None = None) -> str:
        """Launch the job `refresh` over `days`; the id of its run."""
        wanted = {
            "selector": {"repositoryLocationName": LOCATION, "repositoryName": "__repository__", "jobName": "refresh"},
            "runConfigData": {},
            "executionMetadata": {"tags": _as_list({**range_tags(days), **(tags or {})})},
        }
        launched = (graphql(self._port, LAUNCH, {"of": wanted}) or {})["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["id"])

    def start_sensor(self, name: str) -> None:
        """Turn the sensor on."""
        wanted = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__", "sensorName": name}
        started = (graphql(self._port, START_SENSOR, {"of": wanted}) or {})["startSensor"]
        assert started["__typename"] == "Sensor", started

    def cancel(self, run_id: str) -> str:
        """Cancel the run; what became of that."""
        answer: dict[str, str] = (graphql(self._port, TERMINATE, {"id": run_id}) or {})["terminateRun"]
        return answer["__typename"]

    def runs(self) -> list[dict[str, Any]]:
        """The runs in the history, the newest first: `id`, `status`, `startTime`, `endTime`, and their tags."""
        answer = graphql(self._port, RUNS) or {"runsOrError": {"results": []}}
        return [run | {tag["key"]: tag["value"] for tag in run["tags"]} for run in answer["runsOrError"]["results"]]

    def status(self, run_id: str) -> str:
        """The state of one run; UNKNOWN where the page does not answer."""
        return next((str(run["status"]) for run in self.runs() if run["id"] == run_id), "UNKNOWN")

    def runs_are_over(self) -> bool:
        """Whether there are runs, and all have ended."""
        statuses = {run["status"] for run in self.runs()}
        return bool(statuses) and statuses <= ENDED


@dataclass(frozen=True)
class Stall:
    """A simulated API that stands still from a certain request on, so that something can be done at exactly that moment."""

    reached: Event = field(default_factory=Event)
    _released: Event = field(default_factory=Event)

    @classmethod
    @contextmanager
    def at(cls, sandbox: Sandbox, request: int) -> Iterator[Stall]:
        """Make it stand still at the `request`-th request for sessions from now on; let it go on when the block is left."""
        stall = cls()

        def stand_still() -> None:
            stall.reached.set()
            stall._released.wait(LIMIT)

        sandbox.at_request(sandbox.counts.sessions + request, stand_still)
        try:
            yield stall
        finally:
            stall._released.set()


@dataclass
class Operation:
    """A pipeline, and the processes that operate it."""

    pipeline: Pipeline
    environ: Mapping[str, str]
    folder: Path
    port: int = field(default_factory=free_port)
    ui: subprocess.Popen[str] | None = None

    @property
    def page(self) -> Page:
        """Its web page."""
        return Page(self.port)

    @contextmanager
    def started(self) -> Iterator[Operation]:
        """Everything running, until the block is left; then ended as with Ctrl-C in a terminal."""
        with ExitStack() as stack:
            with own_environment():
                os.environ.update(self.environ)
                self.ui = stack.enter_context(running(*ev_sessions("ui", "--port", self.port), log=self.folder / "ui.log"))
            wait_until("the page shows the assets", lambda: bool(self.page.assets()), self.ui)
            yield self
            if self.ui.poll() is None:
                os.killpg(self.ui.pid, signal.SIGINT)
                self.ui.wait(LIMIT)

    @contextmanager
    def history(self) -> Iterator[dg.DagsterInstance]:
        """Dagster's history, read beside the processes that write it."""
        with dg.DagsterInstance.from_config(str(self.pipeline.state / "dagster")) as instance:
            yield instance

    def worker_of(self, run_id: str) -> int:
        """The process that executes the run."""
        (started,) = (line for line in self.log_of(run_id) if line.startswith("Started process for run"))
        return int(started.removesuffix(").").rpartition(" ")[2])

    def log_of(self, run_id: str) -> list[str]:
        """Every line of the run's log."""
        with self.history() as instance:
            return [
                (entry.dagster_event and entry.dagster_event.message) or entry.user_message for entry in instance.all_logs(run_id)
            ]

    def kill_everything(self) -> None:
        """What a power failure does: no process of it gets a chance to say anything."""
        assert self.ui is not None
        os.killpg(self.ui.pid, signal.SIGKILL)
        self.ui.wait(LIMIT)

    def told_of(self, run_id: str, asset: str) -> dict[str, Any]:
        """The figures that the run told of `asset` as a whole."""
        with self.history() as instance:
            entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
        events = [entry.dagster_event for entry in entries if entry.dagster_event]
        observations = [event.asset_observation_data.asset_observation for event in events]
        (told,) = (seen.metadata for seen in observations if seen.asset_key == dg.AssetKey([asset]))
        return {name: value.value for name, value in told.items()}

    def wait_for(self, status: str, run_id: str) -> None:
        """Come back when the run has that state."""
        wait_until(f"run {run_id} is {status}", lambda: self.page.status(run_id) == status, self.ui)

    def staged_vehicles(self) -> int:
        """How many vehicles' answers wait in durable parts."""
        return sum(pq.read_metadata(reads).num_rows for reads in (self.pipeline.state / "stage").rglob("part-*/reads.parquet"))

    def assert_nothing_is_held(self) -> None:
        """No lock of a run, no place in a pool, no turn to ask, no database."""
        alive = self.pipeline.state / "dagster" / "alive"
        assert [file.name for file in alive.glob("*.lock") if is_held(file)] == []
        assert not is_held(self.pipeline.state / "asking.lock")
        with self.history() as instance:
            pools = instance.event_log_storage
            assert {pool: pools.get_concurrency_info(pool).active_slot_count for pool in (API_POOL, DATABASE_POOL)} == {
                API_POOL: 0,
                DATABASE_POOL: 0,
            }
        self.pipeline.change("SELECT 1")

    def wait_for_cancellation(self, run_id: str) -> None:
        """Come back when the run is cancelled, and make sure that it ended by itself, which Dagster does not wait for."""
        self.wait_for("CANCELED", run_id)
        assert not [line for line in self.log_of(run_id) if "timed out" in line]


@contextmanager
def operation_over(sandbox: Sandbox, folder: Path, **settings: str) -> Iterator[Operation]:
    """`sandbox`, and an installation that reads it into `folder`, not started yet, with further `settings`."""
    with pipeline_over(sandbox, folder) as pipeline:
        environ = {**pipeline.environ, **named(settings)}
        home = prepare_home(pipeline.state / "dagster")
        with (home / "dagster.yaml").open("a", encoding="utf-8") as instance_settings:
            instance_settings.write(IMPATIENT)
        yield Operation(pipeline, environ, folder)


def nobody_is_left_of(group: int) -> bool:
    """Whether no process of the process group is alive."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def _as_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
