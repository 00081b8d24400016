"""Runs a contender as a child process in a fresh folder, and says what it took: wall time, CPU time, peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_KIB_PER_MB = 1_000_000 / 1024


class ContenderFailedError(Exception):
    """A contender's process ended with a failure; the message holds the end of what it said."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a process took: `wall` and `cpu` (user and system) in seconds, `peak_mb` resident; and the object that it printed."""

    wall: float
    cpu: float
    peak_mb: float
    told: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.wall:.1f} / {self.cpu:.1f} / {self.peak_mb:,.0f}"


def measure(command: Sequence[str], settings: Mapping[str, str], folder: Path | None = None) -> Measured:
    """Run `command` with `settings` in `folder`, or in a fresh one; its last line must be one JSON object.

    This process has to stay small: Linux counts the memory of the parent, up to the start of the program, as the child's.

    Raises:
        ContenderFailedError: it ends with another status than 0.
    """
    if folder is None:
        with TemporaryDirectory(prefix="ev-sessions-bench-") as fresh:
            return measure(command, settings, Path(fresh))
    here = str(Path(__file__).resolve().parent.parent)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("EV_SESSIONS_")}
    with (folder / "stdout").open("w+") as out, (folder / "stderr").open("w+") as err:
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, env=environ | {"PYTHONPATH": here} | dict(settings), stdout=out, stderr=err
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        for stream in (out, err):
            stream.seek(0)
        if process.returncode != 0:
            raise ContenderFailedError(f"{' '.join(command)} ended with {process.returncode}: {err.read()[-2000:]}")
        told = json.loads(out.read().strip().splitlines()[-1])
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / _KIB_PER_MB, told)
