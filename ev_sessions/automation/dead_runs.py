"""Runs of this command line whose process was killed: told by a file lock that dies with the process, failed, and freed.

Dagster's run monitoring does not watch runs that execute in the process that started them; one that was killed would stay
"started" and hold its place in the pools, and the next run would wait for it for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import dagster as dg

from ev_sessions.file_locks import is_held, locked

ALIVE_TAG = "ev_sessions/alive"

_UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


@contextmanager
def alive(home: Path) -> Iterator[dict[str, str]]:
    """Hold a lock for as long as this process works, and give the tags that tie its runs to it."""
    token = uuid4().hex
    lock_file = _lock_file(home, token)
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with locked(lock_file):
        try:
            # No daemon can repeat what ran in this process.
            yield {ALIVE_TAG: token, "dagster/max_retries": "0"}
        finally:
            lock_file.unlink(missing_ok=True)


def reap(instance: dg.DagsterInstance, home: Path) -> list[str]:
    """Fail the runs whose process is gone, free what they hold in the pools, and give their ids."""
    unfinished = instance.get_runs(filters=dg.RunsFilter(statuses=_UNFINISHED))
    dead = [run for run in unfinished if ALIVE_TAG in run.tags and not is_held(_lock_file(home, run.tags[ALIVE_TAG]))]
    for run in dead:
        instance.report_run_failed(run, "The process that ran it was killed. Run it again: it goes on where it was.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        _lock_file(home, run.tags[ALIVE_TAG]).unlink(missing_ok=True)
    return [run.run_id for run in dead]


def _lock_file(home: Path, token: str) -> Path:
    return home / "alive" / f"{token}.lock"
