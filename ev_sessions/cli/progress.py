"""The progress bar: vehicles done, sessions, requests per second, time left."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ev_sessions.assets.raw_sessions import ProgressReport
from ev_sessions.ingest import fetch


class ProgressBar(ProgressReport):
    """Draws what a fetch reports where `console` is a terminal; use as a context manager."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("vehicles  {task.fields[sessions]} sessions  {task.fields[pace]:.0f} requests/s"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("listing the fleet", total=None, sessions=0, pace=0.0)

    def __enter__(self) -> Self:
        # Elsewhere rich would leave an empty line, which would stand before the one line of an error.
        if self._bar.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar.console.is_terminal:
            self._bar.stop()

    def __call__(self, progress: fetch.Progress) -> None:
        """Draw one report."""
        self._bar.update(
            self._task,
            description="reading sessions",
            completed=progress.vehicles_done,
            total=progress.vehicles,
            sessions=progress.sessions,
            pace=progress.requests / progress.seconds if progress.seconds else 0.0,
        )
