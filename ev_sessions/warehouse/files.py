"""New database files: readable by their owner alone, made aside and put in place whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def private_files() -> Iterator[None]:
    """Whatever is created meanwhile is its owner's alone.

    DuckDB makes its log and spill files when it likes and with the process's mask, so the mask has to hold all the time.
    """
    mask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(mask)


@contextmanager
def made_aside(target: Path) -> Iterator[Path]:
    """A path in a folder of its own beside `target`, to make a file at; the folder goes at the end, with what is left in it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield folder / target.name
    finally:
        shutil.rmtree(folder)


def put_in_place(made: Path, target: Path) -> None:
    """Give the finished file `made` the name `target` too, durably.

    Raises:
        FileExistsError: `target` exists; it stays as it is.
    """
    sync(made)
    os.link(made, target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Wait until the file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
