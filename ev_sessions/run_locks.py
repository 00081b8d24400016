"""Which runs are alive: each holds a lock on a file of its own, which dies with its process, whatever killed it.

    HOME/alive/<run id>.lock

A file that nobody holds is of a run that was killed. Process ids would not tell: they are used again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ev_sessions.file_locks import is_held, locked

_FOLDER = "alive"
_SUFFIX = ".lock"
# Files appear, and are judged, only by its holder: nobody sees one that is made and not locked yet.
_GUARD = ".guard"


@contextmanager
def alive(home: Path, run_id: str) -> Iterator[None]:
    """Say that the run lives, for as long as the block lasts; several processes of one run may do so at once.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = home / _FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / f"{run_id}{_SUFFIX}"
    try:
        with ExitStack() as held:
            with locked(folder / _GUARD):
                held.enter_context(locked(file, shared=True))
            yield
    finally:
        with locked(folder / _GUARD):
            if not is_held(file):
                file.unlink(missing_ok=True)


def has_lock(home: Path, run_id: str) -> bool:
    """Whether the run has a lock, held or left behind."""
    return (home / _FOLDER / f"{run_id}{_SUFFIX}").exists()


@contextmanager
def killed_runs(home: Path) -> Iterator[list[str]]:
    """The ids of the runs that were killed. They are forgotten when the block ends without an error.

    Until then no run can begin and nobody else gets the same ids.
    """
    folder = home / _FOLDER
    if not folder.exists():
        yield []
        return
    with locked(folder / _GUARD):
        killed = [file for file in sorted(folder.glob(f"*{_SUFFIX}")) if not is_held(file)]
        yield [file.name.removesuffix(_SUFFIX) for file in killed]
        for file in killed:
            file.unlink(missing_ok=True)
