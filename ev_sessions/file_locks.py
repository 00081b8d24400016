"""Locks on files: they die with the process that holds them, whatever killed it, so they tell the living from the dead."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, *, wait: bool = True, shared: bool = False) -> Iterator[None]:
    """Hold the lock on the file at `path`, which is made where it is missing; a `shared` one with others that share it.

    Raises:
        BlockingIOError: somebody else holds it, and `wait` is false.
        OSError: the file cannot be made.
    """
    lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(lock, kind if wait else kind | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock on the file at `path`; False where there is no such file."""
    if not path.exists():
        return False
    try:
        with locked(path, wait=False):
            return False
    except BlockingIOError:
        return True
