"""Dagster's history: how it is made, and how it is written while the command line records a run."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import dagster as dg
from sqlalchemy import create_engine, text

from ev_sessions.cli.history import unhurried_commits
from ev_sessions.cli.home import prepare_history, recorded_runs
from ev_sessions_tests.processes import ended

_WAITS_FOR_THE_DISK, _DOES_NOT = 2, 1

_STORAGES = {"history/runs.db", "history/runs/index.db", "schedules/schedules.db"}

_OPENER = """
import sys
from pathlib import Path
from ev_sessions.cli.home import prepare_history, recorded_runs
home = Path(sys.argv[2])
print("imported", flush=True)
sys.stdin.readline()
if sys.argv[1] == "ui":
    prepare_history(home)
else:
    with recorded_runs(home):
        pass
"""


def _synchronous(path: Path) -> int:
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        (level,) = connection.execute(text("PRAGMA synchronous")).one()
    engine.dispose()
    return int(level)


def test_commits_do_not_wait_for_the_disk_inside_and_do_again_outside(tmp_path: Path) -> None:
    with unhurried_commits():
        assert _synchronous(tmp_path / "inside.db") == _DOES_NOT
    assert _synchronous(tmp_path / "outside.db") == _WAITS_FOR_THE_DISK


def test_the_log_is_not_emptied_after_every_event_but_at_the_end(tmp_path: Path) -> None:
    log = tmp_path / "dagster" / "history" / "runs" / "index.db-wal"
    with recorded_runs(tmp_path / "dagster") as instance:
        for number in range(3):
            instance.report_runless_asset_event(dg.AssetMaterialization("raw_sessions", partition=f"2026-03-0{number + 1}"))
            assert log.exists()
    assert not log.exists()


def test_what_was_recorded_is_there_for_the_next_process(tmp_path: Path) -> None:
    with recorded_runs(tmp_path / "dagster") as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("raw_sessions", partition="2026-03-01"))
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("raw_sessions")) == {"2026-03-01"}


def _tables(home: Path) -> dict[str, set[str]]:
    """The tables of every file of the history under `home`."""
    found = {}
    for path in home.rglob("*.db"):
        with closing(sqlite3.connect(path)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            found[str(path.relative_to(home))] = {name for (name,) in names}
    return found


def _heads(home: Path) -> dict[str, int]:
    """How many versions every file of the history under `home` is stamped with."""
    found = {}
    for path in home.rglob("*.db"):
        with closing(sqlite3.connect(path)) as connection:
            (found[str(path.relative_to(home))],) = connection.execute("SELECT count(*) FROM alembic_version").fetchone()
    return found


def _opener(command: str, home: Path) -> subprocess.Popen[str]:
    """A process that opens the history under `home` as `command` does, once it is told to."""
    words = [sys.executable, "-c", _OPENER, command, str(home)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_prepared_history_is_finished_in_every_storage_so_that_who_opens_it_next_makes_nothing(tmp_path: Path) -> None:
    home = prepare_history(tmp_path / "dagster")
    assert _heads(home) == dict.fromkeys(_STORAGES, 1)
    made = _tables(home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert (instance.get_runs_count(), instance.get_asset_keys(), instance.all_instigator_state()) == (0, [], [])
    assert _tables(home) == made


def test_a_page_and_runs_that_are_the_first_all_at_once_make_one_history(tmp_path: Path) -> None:
    openers = [_opener(command, tmp_path / "dagster") for command in ("ui", "run", "ui", "run")]
    for opener in openers:
        assert opener.stdout is not None
        assert opener.stdout.readline() == "imported\n"
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("open it\n")
        opener.stdin.flush()
    outcomes = [ended(opener) for opener in openers]
    assert [status for status, _, _ in outcomes] == [0] * len(openers), outcomes
    assert _heads(tmp_path / "dagster") == dict.fromkeys(_STORAGES, 1)
