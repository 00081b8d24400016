"""Durable part files: what one run has read of one window, so that a killed run goes on where it was.

    ROOT/<org>/<first>_<last>_<session day rule>/<run>/part-00001/{reads,sessions,rejected}.parquet

A part appears whole or not at all. Every run writes into a folder of its own and holds a lock on it while it lives; the lock
dies with the process, so a later run of the same window knows which parts nobody will come back for, and takes them over.
Where no run of the window comes, the next run of any window deletes them once they are too old to be used.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ev_sessions.days import DayRange
from ev_sessions.errors import TransientError
from ev_sessions.file_locks import is_held, locked
from ev_sessions.stage import schemas

READS_FILE = "reads.parquet"
SESSIONS_FILE = "sessions.parquet"
REJECTED_FILE = "rejected.parquet"

_SCHEMAS = {READS_FILE: schemas.READS, SESSIONS_FILE: schemas.SESSIONS, REJECTED_FILE: schemas.REJECTED}

_LOCK = ".lock"

Columns = Mapping[str, Sequence[Any]]


class StageFailed(TransientError):
    """The stage's folder cannot be written: a full disk, missing rights."""


@dataclass(frozen=True, slots=True)
class StagedRead:
    """Which vehicle a part holds a read of and over which days, what came of it, and when it was read (aware UTC)."""

    electric_vehicle_id: str
    first_day: date
    last_day: date
    outcome: str
    fetched_at: datetime


@dataclass(slots=True)
class WindowStage:
    """The parts of one run over one window: those it wrote and those it took over. Use `open_window` to get one."""

    folder: Path
    parts: list[Path] = field(default_factory=list)

    def write(self, *, reads: Columns, sessions: Columns, rejected: Columns) -> None:
        """Write one part durably. The arguments map each column of the schema to its values, all of one length.

        Raises:
            StageFailed: the disk is full or the folder cannot be written.
        """
        name = f"part-{len(self.parts) + 1:05d}"
        unfinished = self.folder / f".{name}"
        try:
            unfinished.mkdir()
            _write_file(unfinished / READS_FILE, reads, schemas.READS)
            _write_file(unfinished / SESSIONS_FILE, sessions, schemas.SESSIONS)
            _write_file(unfinished / REJECTED_FILE, rejected, schemas.REJECTED)
            _sync(unfinished)
            unfinished.rename(self.folder / name)
            _sync(self.folder)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise StageFailed(
                f"cannot write to the stage {self.folder}: {error.strerror}; free space or mend its rights"
            ) from None
        self.parts.append(self.folder / name)

    def staged_reads(self) -> list[StagedRead]:
        """The reads that the parts hold."""
        return [read for part in self.parts for read in _reads_of(part)]

    def drop(self, part: Path) -> None:
        """Forget one part and delete it."""
        self.parts.remove(part)
        shutil.rmtree(part)

    def clear(self) -> None:
        """Delete every part, once they are landed."""
        for part in list(self.parts):
            self.drop(part)


@contextmanager
def open_window(
    root: Path, *, org_id: str, days: DayRange, session_day: str, run: str, now: datetime, max_age: timedelta
) -> Iterator[WindowStage]:
    """The stage of the run called `run` over `days`, with the parts that dead runs of the same window left behind.

    Parts read longer than `max_age` before `now` (aware UTC), damaged ones, and those of a version that staged other columns are
    deleted instead, whatever window a dead run left them in. Leaving the context without an error removes the folder when no part
    is left in it; after an error the parts stay for the next run.

    Raises:
        StageFailed: the folder cannot be made.
    """
    window = root / org_id / f"{days.first}_{days.last}_{session_day}"
    folder = window / run
    with ExitStack() as locks:
        try:
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(root / _LOCK):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                locks.enter_context(locked(folder / _LOCK))
                stage = WindowStage(folder, _finished_parts(folder))
                _take_over_abandoned(window, stage)
                _clear_abandoned(root, now - max_age)
        except OSError as error:
            raise StageFailed(f"cannot use the stage {folder}: {error.strerror}; mend it or set EV_SESSIONS_STATE_DIR") from None
        _drop_unusable(stage, now - max_age)
        yield stage
        if not stage.parts:
            with locked(root / _LOCK):
                shutil.rmtree(folder)
                _remove_if_empty(window)


def _take_over_abandoned(window: Path, stage: WindowStage) -> None:
    """Move the parts of dead runs here. The stage's lock is held: no other run is half way into its folder."""
    for folder in sorted(path for path in window.iterdir() if path.is_dir() and path != stage.folder):
        try:
            with locked(folder / _LOCK, wait=False):
                _take_over(folder, stage)
        except BlockingIOError:
            continue


def _take_over(abandoned: Path, stage: WindowStage) -> None:
    for part in _finished_parts(abandoned):
        taken = stage.folder / f"part-{len(stage.parts) + 1:05d}"
        part.rename(taken)
        stage.parts.append(taken)
    shutil.rmtree(abandoned)


def _clear_abandoned(root: Path, oldest: datetime) -> None:
    """Delete what dead runs of any window left and nobody may use any more. The stage's lock is held."""
    for folder in root.glob("*/*/*"):
        if not is_held(folder / _LOCK) and not any(_is_usable(part, oldest) for part in _finished_parts(folder)):
            shutil.rmtree(folder)
            _remove_if_empty(folder.parent)


def _drop_unusable(stage: WindowStage, oldest: datetime) -> None:
    """Delete what is too old, was left by another version, or damaged by a failing disk or a person: it is asked for again."""
    for part in list(stage.parts):
        if not _is_usable(part, oldest):
            stage.drop(part)


def _is_usable(part: Path, oldest: datetime) -> bool:
    return _is_whole(part) and all(read.fetched_at >= oldest for read in _reads_of(part))


def _is_whole(part: Path) -> bool:
    try:
        return all(pq.read_schema(part / name).names == schema.names for name, schema in _SCHEMAS.items())
    except (OSError, pa.ArrowInvalid):
        return False


def _remove_if_empty(window: Path) -> None:
    if not any(window.iterdir()):
        window.rmdir()


def _finished_parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*"))


def _reads_of(part: Path) -> list[StagedRead]:
    table = pq.read_table(part / READS_FILE, columns=[column.name for column in fields(StagedRead)])
    return [StagedRead(*row) for row in zip(*(column.to_pylist() for column in table.columns), strict=True)]


def _write_file(path: Path, rows: Columns, schema: pa.Schema) -> None:
    table = pa.table([pa.array(rows[name], kind) for name, kind in zip(schema.names, schema.types, strict=True)], schema=schema)
    pq.write_table(table, path)
    path.chmod(0o600)
    _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
