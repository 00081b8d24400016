"""Fetch: every planned window through a fixed number of workers, staged as it comes, reported as it goes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from ev_sessions.days import DayRange
from ev_sessions.errors import TransientError
from ev_sessions.ingest.batch import Batch, VehicleRead
from ev_sessions.ingest.plan import VehicleWindow
from ev_sessions.partner_api import PartnerApi, RequestFailed, RequestRefused, SessionAnswer, VehicleGone
from ev_sessions.settings import SessionDay
from ev_sessions.stage.parts import WindowStage

# A part holds about a twentieth of the fleet, so that a killed run loses little, within bounds that keep both the
# number of files and the memory small.
_PARTS_PER_WINDOW = 20
_SMALLEST_PART = 8
_MOST_ROWS_PER_PART = 5_000

# So many vehicles show whether the API works at all; a share above this is not a matter of single vehicles.
_ENOUGH_TO_JUDGE = 25
_NEARLY_ALL = 0.95


class NearlyEverythingFailed(TransientError):
    """Hardly any vehicle could be read: the run stops instead of asking for the rest."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fetch has come. `seconds` is the time since it began."""

    vehicles_done: int
    vehicles: int
    vehicles_failed: int
    sessions: int
    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FetchSummary:
    """What a fetch did. `vehicles` counts all that were due, `resumed` those whose answer a killed run had staged."""

    vehicles: int
    resumed: int
    failed: int
    gone: int
    sessions: int
    requests: int
    pages: int
    retries: int
    refused_429: int
    token_requests: int
    seconds: float


@dataclass(slots=True)
class Fetch:
    """One fetch of one window. `clock` gives the time of a read (aware UTC); `report` hears of every vehicle that is done.

    `gives_up` says whether it stops when hardly any vehicle can be read. Where only those are asked that failed before, that
    says nothing about the API: what failed again is counted.
    """

    api: PartnerApi
    stage: WindowStage
    org_id: UUID
    session_day: SessionDay
    clock: Callable[[], datetime]
    report: Callable[[Progress], None]
    gives_up: bool = True

    async def run(self, windows: Sequence[VehicleWindow], *, concurrency: int) -> FetchSummary:
        """Read every window that the stage does not hold yet, and stage the answers.

        A vehicle that cannot be read is staged with the outcome `failed` or `gone` and does not end the run.

        Raises:
            NearlyEverythingFailed: almost no vehicle can be read, and it `gives_up`.
            CredentialsRefused, RetryBudgetSpent, ...: what concerns the whole run; staged parts remain for the next one.
            StageFailed: a part cannot be written.
        """
        # A killed run of the same days may have asked a vehicle for some of them alone.
        staged = {
            (read.electric_vehicle_id, DayRange(read.first_day, read.last_day))
            for read in self.stage.staged_reads()
            if read.outcome != "failed"
        }
        missing = [window for window in windows if (str(window.electric_vehicle_id), window.days) not in staged]
        tally = _Tally(len(windows), done=len(windows) - len(missing))
        await self._read_all(missing, tally, concurrency)
        if self.gives_up and windows and tally.failed == len(windows):
            raise tally.nearly_everything_failed()
        counts = self.api.counts
        return FetchSummary(
            vehicles=len(windows),
            resumed=len(windows) - len(missing),
            failed=tally.failed,
            gone=tally.gone,
            sessions=tally.sessions,
            requests=counts.requests,
            pages=counts.pages,
            retries=counts.retries,
            refused_429=counts.refused_429,
            token_requests=counts.token_requests,
            seconds=tally.seconds,
        )

    async def _read_all(self, windows: Sequence[VehicleWindow], tally: _Tally, concurrency: int) -> None:
        queue = deque(windows)
        vehicles_per_part = max(_SMALLEST_PART, len(windows) // _PARTS_PER_WINDOW)
        with _gathering(self.stage, Batch(self.org_id, self.session_day), vehicles_per_part) as parts:
            try:
                async with asyncio.TaskGroup() as workers:
                    for _ in range(min(concurrency, len(windows))):
                        workers.create_task(self._work(queue, tally, parts))
            except BaseExceptionGroup as group:
                # The workers fail for one common reason; the first names it.
                raise group.exceptions[0] from None

    async def _work(self, queue: deque[VehicleWindow], tally: _Tally, parts: _Parts) -> None:
        while queue:
            read = await self._read(queue.popleft())
            tally.count(read)
            await parts.add(read)
            self.report(tally.progress(self.api.counts.requests))
            if self.gives_up and tally.hopeless:
                raise tally.nearly_everything_failed()

    async def _read(self, window: VehicleWindow) -> VehicleRead:
        fetched_at = self.clock()
        try:
            answer = await self._ask(window)
        except VehicleGone as gone:
            return VehicleRead(window, "gone", fetched_at, error=str(gone), requests=gone.requests, retries=gone.retries)
        except (RequestFailed, RequestRefused) as failed:
            return VehicleRead(window, "failed", fetched_at, error=str(failed), requests=failed.requests, retries=failed.retries)
        outcome = "complete" if answer.matches else "count_mismatch"
        return VehicleRead(window, outcome, fetched_at, answer, requests=answer.requests, retries=answer.retries)

    async def _ask(self, window: VehicleWindow) -> SessionAnswer:
        try:
            return await self.api.sessions(window.user_id, window.electric_vehicle_id, window.days)
        except VehicleGone as once:
            # A vehicle that is gone counts as read, so the API has to say so twice.
            try:
                return await self.api.sessions(window.user_id, window.electric_vehicle_id, window.days)
            except VehicleGone as twice:
                twice.requests += once.requests
                raise


@dataclass(slots=True)
class _Parts:
    """Gathers reads and writes a part whenever enough of them wait, in a thread: the network must not wait for the disk."""

    stage: WindowStage
    batch: Batch
    vehicles_per_part: int
    writer: Executor
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def add(self, read: VehicleRead) -> None:
        """Take one read in. Where the disk is slower than the network, whoever fills a batch waits: memory stays bounded."""
        self.batch.add(read)
        if self._full:
            async with self.writing:
                if self._full:
                    await asyncio.wrap_future(self.write())

    def write(self) -> Future[None]:
        """Begin to write what waits."""
        taken, self.batch = self.batch, Batch(self.batch.org_id, self.batch.session_day)
        return self.writer.submit(taken.write, self.stage)

    @property
    def _full(self) -> bool:
        return len(self.batch.reads) >= self.vehicles_per_part or self.batch.rows >= _MOST_ROWS_PER_PART


@contextmanager
def _gathering(stage: WindowStage, batch: Batch, vehicles_per_part: int) -> Iterator[_Parts]:
    """Parts into `stage`; whatever happens inside, what was read by then is written."""
    # One thread: parts are written one after the other.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="stage") as writer:
        parts = _Parts(stage, batch, vehicles_per_part, writer)
        try:
            yield parts
        finally:
            if parts.batch.reads:
                parts.write().result()


class _Tally:
    """Counts what the workers did."""

    def __init__(self, vehicles: int, done: int) -> None:
        self.vehicles = vehicles
        self.done = done
        self.read = 0
        self.failed = 0
        self.gone = 0
        self.sessions = 0
        self.last_error = ""
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def hopeless(self) -> bool:
        asked = self.read + self.failed
        return asked >= _ENOUGH_TO_JUDGE and self.failed > _NEARLY_ALL * asked

    def count(self, read: VehicleRead) -> None:
        self.done += 1
        if read.outcome == "failed":
            self.failed += 1
            self.last_error = read.error or ""
        else:
            self.read += 1
        self.gone += read.outcome == "gone"
        if read.answer is not None:
            self.sessions += len(read.answer.sessions)

    def progress(self, requests: int) -> Progress:
        return Progress(self.done, self.vehicles, self.failed, self.sessions, requests, self.seconds)

    def nearly_everything_failed(self) -> NearlyEverythingFailed:
        return NearlyEverythingFailed(
            f"{self.failed} of the {self.read + self.failed} vehicles asked could not be read; stopped before asking for more. "
            f"The last one: {self.last_error}"
        )
