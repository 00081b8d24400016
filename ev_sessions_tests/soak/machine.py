"""The machine that the soak runs on: starts runs as processes, kills some of them, and does what Dagster does about the dead."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from random import Random
from statistics import median
from threading import Lock
from uuid import uuid4

import dagster as dg

from ev_sessions.assets.failures import first_cause
from ev_sessions.automation.dead_runs import reap
from ev_sessions_tests.soak.execution import Run, ShiftedClock, execute

_AT_ONCE = 2
_RETRIES = 3
_FIRST_GUESS = 2.0
_IMPORTED_LATE = ("dagster._core.storage.sqlite_storage", "alembic.command", "pandas", "pyarrow.parquet", "pyarrow.compute")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run that nobody killed ended: at which moment it was asked for (aware UTC), and why it failed (None: it did not)."""

    run: Run
    asked_at: datetime
    cause: str | None


class Machine:
    """Executes runs, at most two at once. `counts`: processes by what became of them; `endings` of those that were not killed."""

    def __init__(self, environ: Mapping[str, str], instance: dg.DagsterInstance, *, kill_share: float, chance: Random) -> None:
        self._environ = dict(environ)
        self._instance = instance
        self._kill_share = kill_share
        self._chance = chance
        # Processes fork from a server that has imported everything already: that would take most of a small run's time.
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload([execute.__module__, *_IMPORTED_LATE])
        self._seconds: dict[str, list[float]] = defaultdict(lambda: [_FIRST_GUESS])
        self._reaping = Lock()
        self.counts: Counter[str] = Counter()
        self.endings: list[Ending] = []

    def run(self, runs: Sequence[Run], clock: ShiftedClock) -> None:
        """Execute the runs, the most urgent first, and those that die again."""
        with ThreadPoolExecutor(_AT_ONCE) as workers:
            urgent_first = sorted(runs, key=lambda run: -run.priority)
            for done in [workers.submit(self._to_its_end, run, clock) for run in urgent_first]:
                done.result()

    def _to_its_end(self, run: Run, clock: ShiftedClock) -> None:
        asked_at = clock.now()
        for _ in range(1 + _RETRIES):
            run_id = str(uuid4())
            killed = self._process(run, run_id, clock)
            if killed:
                self._bury(run_id)
            if not killed or self._succeeded(run_id):
                self.endings.append(Ending(run, asked_at, self._cause(run_id)))
                return
            run = run.again_after(run_id)
        self.counts["given up after too many kills"] += 1

    def _process(self, run: Run, run_id: str, clock: ShiftedClock) -> bool:
        """Execute `run` once; whether it was killed."""
        usual = self._seconds[run.job]
        limit = self._chance.uniform(0, 1.2) * median(usual) if self._chance.random() < self._kill_share else None
        began = time.monotonic()
        process = self._processes.Process(target=execute, args=(run, run_id, self._environ, clock))
        process.start()
        self.counts["started"] += 1
        process.join(limit)
        killed = process.is_alive()
        if killed:
            process.kill()
            process.join()
        else:
            usual.append(time.monotonic() - began)
        self.counts["killed" if killed else "failed" if process.exitcode else "succeeded"] += 1
        return killed

    def _bury(self, run_id: str) -> None:
        """End the run that was killed: by its lock, or, as Dagster's launcher does, because its process never came so far."""
        with self._reaping:
            reap(self._instance)
        run = self._instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            self.counts["killed before they had their lock"] += 1
            self._instance.report_run_failed(run)

    def _succeeded(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        return run is not None and run.is_success

    def _cause(self, run_id: str) -> str | None:
        if self._succeeded(run_id):
            return None
        return first_cause(entry.dagster_event for entry in self._instance.all_logs(run_id) if entry.dagster_event)
