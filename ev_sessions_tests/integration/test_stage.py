"""Part files: durable, whole or absent, and handed from a dead run to the next one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ev_sessions.days import DayRange
from ev_sessions.stage import schemas
from ev_sessions.stage.parts import StageFailed, WindowStage, open_window

DAYS = DayRange(date(2026, 3, 1), date(2026, 3, 15))
NOW = datetime(2026, 3, 16, 3, 15, tzinfo=UTC)
NO_ROWS: dict[str, list[Any]] = {name: [] for name in {*schemas.SESSIONS.names, *schemas.REJECTED.names}}


def open_stage(root: Path, run: str, now: datetime = NOW, days: DayRange = DAYS) -> AbstractContextManager[WindowStage]:
    return open_window(root, org_id="org", days=days, session_day="plug_in_time", run=run, now=now, max_age=timedelta(hours=6))


def read_of(vehicle: str, fetched_at: datetime = NOW, outcome: str = "complete") -> dict[str, list[Any]]:
    values = dict.fromkeys(schemas.READS.names, 0) | {
        "error": None,
        "org_id": "org",
        "user_id": "user",
        "electric_vehicle_id": vehicle,
        "first_day": DAYS.first,
        "last_day": DAYS.last,
        "outcome": outcome,
        "fetched_at": fetched_at,
    }
    return {name: [value] for name, value in values.items()}


def write(stage: WindowStage, vehicle: str, fetched_at: datetime = NOW) -> None:
    stage.write(reads=read_of(vehicle, fetched_at), sessions=NO_ROWS, rejected=NO_ROWS)


def vehicles(stage: WindowStage) -> list[str]:
    return [read.electric_vehicle_id for read in stage.staged_reads()]


class RunDiesError(Exception):
    """Stands for whatever ends a run before its landing."""


def leave_parts(root: Path, run: str, *names: str, fetched_at: datetime = NOW) -> None:
    with pytest.raises(RunDiesError), open_stage(root, run) as stage:
        for name in names:
            write(stage, name, fetched_at)
        raise RunDiesError


def test_a_part_holds_what_was_written_in_the_types_of_the_tables(tmp_path: Path) -> None:
    with open_stage(tmp_path, "a") as stage:
        write(stage, "v1")
        (part,) = stage.parts
        assert pq.read_schema(part / "reads.parquet").equals(schemas.READS)
        assert pq.read_schema(part / "sessions.parquet").equals(schemas.SESSIONS)
        assert pq.read_table(part / "reads.parquet").to_pylist()[0]["fetched_at"] == NOW
        stage.clear()


def test_nothing_is_left_of_a_window_that_was_landed(tmp_path: Path) -> None:
    with open_stage(tmp_path, "a") as stage:
        write(stage, "v1")
        stage.clear()
    assert not list(tmp_path.rglob("*.parquet"))


def test_the_parts_of_a_run_that_died_are_taken_over_by_the_next_one_of_the_same_window(tmp_path: Path) -> None:
    leave_parts(tmp_path, "a", "v1", "v2")
    with open_stage(tmp_path, "b") as stage:
        assert vehicles(stage) == ["v1", "v2"]
        write(stage, "v3")
        assert vehicles(stage) == ["v1", "v2", "v3"]
        stage.clear()


def test_the_parts_of_another_window_are_left_alone(tmp_path: Path) -> None:
    leave_parts(tmp_path, "a", "v1")
    with open_stage(tmp_path, "b", days=DayRange(date(2026, 3, 2), date(2026, 3, 15))) as stage:
        assert vehicles(stage) == []
    with open_stage(tmp_path, "c") as stage:
        assert vehicles(stage) == ["v1"]


def test_the_parts_of_a_run_that_lives_are_not_taken(tmp_path: Path) -> None:
    with open_stage(tmp_path, "a") as living:
        write(living, "v1")
        with open_stage(tmp_path, "b") as stage:
            assert vehicles(stage) == []
        assert vehicles(living) == ["v1"]
        living.clear()


def test_parts_that_were_read_too_long_ago_are_deleted(tmp_path: Path) -> None:
    leave_parts(tmp_path, "a", "old", fetched_at=NOW - timedelta(hours=6, seconds=1))
    leave_parts(tmp_path, "b", "young", fetched_at=NOW - timedelta(hours=5))
    with open_stage(tmp_path, "c") as stage:
        assert vehicles(stage) == ["young"]


ANOTHER_WINDOW = DayRange(date(2026, 1, 1), date(2026, 1, 31))


def test_what_no_run_came_back_for_is_deleted_by_the_next_run_of_any_window(tmp_path: Path) -> None:
    leave_parts(tmp_path, "a", "v1")
    with open_stage(tmp_path, "b", NOW + timedelta(hours=6, seconds=1), ANOTHER_WINDOW) as stage:
        assert stage.parts == []
        (window,) = (tmp_path / "org").iterdir()
        assert window == stage.folder.parent


def test_what_a_run_may_yet_come_back_for_is_kept_by_runs_of_other_windows(tmp_path: Path) -> None:
    leave_parts(tmp_path, "a", "v1")
    with open_stage(tmp_path, "b", NOW + timedelta(hours=6), ANOTHER_WINDOW):
        pass
    with open_stage(tmp_path, "c") as stage:
        assert vehicles(stage) == ["v1"]


def test_a_living_run_keeps_its_parts_however_old_they_are(tmp_path: Path) -> None:
    with open_stage(tmp_path, "a") as living:
        write(living, "v1")
        with open_stage(tmp_path, "b", NOW + timedelta(days=2), ANOTHER_WINDOW):
            assert vehicles(living) == ["v1"]
        living.clear()


def test_a_run_that_is_tried_again_under_its_own_name_finds_its_parts(tmp_path: Path) -> None:
    leave_parts(tmp_path, "a", "v1")
    with open_stage(tmp_path, "a") as stage:
        assert vehicles(stage) == ["v1"]


def test_a_part_that_was_half_written_does_not_count(tmp_path: Path) -> None:
    leave_parts(tmp_path, "a", "v1")
    (folder,) = (path.parent for path in tmp_path.rglob("part-00001"))
    (folder / ".part-00002").mkdir()
    (folder / ".part-00002" / "reads.parquet").write_bytes(b"half")
    with open_stage(tmp_path, "b") as stage:
        assert vehicles(stage) == ["v1"]


def test_the_parts_of_a_process_that_was_killed_are_taken_over(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from ev_sessions_tests.integration.test_stage import open_stage, write\n"
        "with open_stage(Path(sys.argv[1]), 'killed') as stage:\n"
        "    write(stage, 'v1')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert killed.returncode == -9
    with open_stage(tmp_path, "b") as stage:
        assert vehicles(stage) == ["v1"]


@pytest.mark.parametrize("name", ["reads.parquet", "sessions.parquet", "rejected.parquet"])
@pytest.mark.parametrize("damage", ["garbage", "truncated", "missing"])
def test_a_damaged_part_is_deleted_so_that_its_vehicles_are_asked_again(tmp_path: Path, name: str, damage: str) -> None:
    leave_parts(tmp_path, "a", "v1", "v2")
    (victim,) = tmp_path.rglob(f"part-00001/{name}")
    whole = victim.read_bytes()
    victim.write_bytes(b"garbage" if damage == "garbage" else whole[: len(whole) // 2])
    if damage == "missing":
        victim.unlink()
    with open_stage(tmp_path, "b") as stage:
        assert vehicles(stage) == ["v2"]


def test_a_part_of_a_version_that_staged_other_columns_is_deleted_so_that_its_vehicles_are_asked_again(tmp_path: Path) -> None:
    leave_parts(tmp_path, "a", "v1", "v2")
    (former,) = tmp_path.rglob("part-00001/rejected.parquet")
    pq.write_table(pq.read_table(former).drop_columns(["rules"]), former)
    with open_stage(tmp_path, "b") as stage:
        assert vehicles(stage) == ["v2"]


def test_no_folder_is_left_of_a_window_that_was_landed(tmp_path: Path) -> None:
    with open_stage(tmp_path, "a") as stage:
        write(stage, "v1")
        stage.clear()
    assert not list((tmp_path / "org").iterdir())


def test_parts_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    with open_stage(tmp_path / "stage", "a") as stage:
        write(stage, "v1")
        modes = {path.stat().st_mode & 0o077 for path in tmp_path.rglob("*.parquet")}
        assert modes == {0}
        stage.clear()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 1 MiB that is full."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=False, capture_output=True)  # noqa: S607
    if mounted.returncode:
        pytest.skip("a small file system can only be mounted as root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)  # noqa: S607


def test_a_full_disk_is_told_in_one_line_and_leaves_no_half_part(full_disk: Path) -> None:
    with open_stage(full_disk, "a") as stage:
        (full_disk / "filler").write_bytes(os.urandom(1_040_000 - 8_192))
        with pytest.raises(StageFailed, match="No space left on device; free space"):
            for number in range(200):
                write(stage, f"v{number}")
        assert not list(full_disk.rglob(".part-*"))
        stage.clear()
