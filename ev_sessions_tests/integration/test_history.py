"""How Dagster's history is written while the command line records a run."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from sqlalchemy import create_engine, text

from ev_sessions.cli.history import unhurried_commits
from ev_sessions.cli.home import recorded_runs

_WAITS_FOR_THE_DISK, _DOES_NOT = 2, 1


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
