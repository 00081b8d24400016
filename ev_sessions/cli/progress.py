"""The progress bar: over all batches the vehicles done, sessions, requests per second, time left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ev_sessions.assets.raw_sessions import ProgressReport
from ev_sessions.days import DayRange
from ev_sessions.ingest import fetch


class ProgressBar(ProgressReport):
    """Draws what a fetch reports where `console` is a terminal, and tells of every batch elsewhere; a context manager."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[vehicles]} vehicles  {task.fields[sessions]} sessions  {task.fields[pace]:.0f} requests/s"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("listing the fleet", total=None, vehicles="0/0", sessions=0, pace=0.0)
        self._title = "reading sessions"
        self._batches = 1
        self._batches_done = 0
        self._sessions_before = 0
        self._sessions = 0

    def __enter__(self) -> Self:
        # Elsewhere rich would leave an empty line, which would stand before the one line of an error.
        if self._bar.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar.console.is_terminal:
            self._bar.stop()

    def over(self, batches: Sequence[DayRange], *, done: int) -> Iterator[DayRange]:
        """`batches`, one after the other, shown as one piece of work with the `done` ones that went before them.

        Each is done when the next is asked for.
        """
        self._batches, self._batches_done = done + len(batches), done
        for number, batch in enumerate(batches, start=done + 1):
            self._title = f"batch {number} of {self._batches}, {batch}"
            yield batch
            self._batches_done = number
            self._sessions_before += self._sessions
            told = f"{batch}: {self._sessions:,} sessions; {number} of {self._batches} batches are done"
            self._bar.console.print(told, highlight=False)
            self._sessions = 0

    def __call__(self, progress: fetch.Progress) -> None:
        """Draw one report."""
        self._sessions = progress.sessions
        share = progress.vehicles_done / progress.vehicles if progress.vehicles else 1.0
        self._bar.update(
            self._task,
            description=self._title,
            completed=self._batches_done + share,
            # A batch more costs about as many requests, however many days it has.
            total=self._batches,
            vehicles=f"{progress.vehicles_done:,}/{progress.vehicles:,}",
            sessions=f"{self._sessions_before + progress.sessions:,}",
            pace=progress.requests / progress.seconds if progress.seconds else 0.0,
        )
