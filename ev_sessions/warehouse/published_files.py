"""The files that readers get: their names, their rights, and how one takes the place of another while it is being read.

A file is never changed or written over. It is made under a name that says what is in it, in the folder `.generations`; then the
name that people know is put on it too, as a hard link. So whoever has begun to read goes on reading what was there, and what is
published already can be told by its name alone, without any state beside it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from stat import S_IWUSR

from ev_sessions.errors import PermanentError
from ev_sessions.file_locks import locked
from ev_sessions.settings import PublishedAccess
from ev_sessions.warehouse.files import sync

_GENERATIONS = ".generations"
_LOCK = "lock"

# Nobody writes into what is published: a program that opens the views for writing would shut out all others.
_FILE_RIGHTS = {PublishedAccess.OWNER: 0o400, PublishedAccess.GROUP: 0o440, PublishedAccess.EVERYONE: 0o444}
_FOLDER_RIGHTS = {PublishedAccess.OWNER: 0o700, PublishedAccess.GROUP: 0o750, PublishedAccess.EVERYONE: 0o755}
_ALL_RIGHTS = 0o777


class NotPublishedByUs(PermanentError):
    """A file of somebody else stands where one should be published."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One published file: the name that people know, below the published folder, and the stamp of what is in it."""

    name: str
    stamp: str

    @property
    def generation(self) -> str:
        """The name of this very content, below the folder of generations."""
        known = Path(self.name)
        return f"{'.'.join((*known.parts[:-1], known.stem))}.{self.stamp}{known.suffix}"


@dataclass(frozen=True, slots=True)
class PublishedFolder:
    """The folder of what is published. Whoever calls anything but the paths holds `publishing`."""

    path: Path

    def known(self, piece: Piece) -> Path:
        """Where people look for `piece`."""
        return self.path / piece.name

    def generation(self, piece: Piece) -> Path:
        """Where its content stands for as long as somebody may be reading it."""
        return self.path / _GENERATIONS / piece.generation

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Make the folder where it is missing, and be the only one who publishes there."""
        generations = self.path / _GENERATIONS
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        generations.mkdir(exist_ok=True, mode=0o700)
        with locked(generations / _LOCK):
            yield

    def is_known(self, piece: Piece) -> bool:
        """Whether people find `piece` as it should be."""
        known, generation = self.known(piece), self.generation(piece)
        return generation.exists() and known.exists() and known.samefile(generation)

    @contextmanager
    def making(self, piece: Piece) -> Iterator[Path]:
        """Where to write the content of `piece`; when the block has ended well, it is kept, durably."""
        part = self.generation(piece).with_suffix(".part")
        for left_behind in part.parent.glob(f"{part.name}*"):
            left_behind.unlink()
        yield part
        part.chmod(_FILE_RIGHTS[PublishedAccess.OWNER])
        sync(part)
        part.replace(self.generation(piece))

    def make_known(self, pieces: Collection[Piece]) -> None:
        """Put the names that people know on `pieces`, all of which have been made, one right after the other.

        Raises:
            NotPublishedByUs: one of these names is a file of others.
        """
        for piece in pieces:
            _require_ours(self.known(piece))
        folders = {self.known(piece).parent for piece in pieces}
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        sync(self.path / _GENERATIONS)
        for piece in pieces:
            link = self.generation(piece).with_suffix(".link")
            link.unlink(missing_ok=True)
            os.link(self.generation(piece), link)
            link.replace(self.known(piece))
        for folder in folders:
            sync(folder)

    def give_rights(self, pieces: Collection[Piece], access: PublishedAccess) -> None:
        """Let `access` read `pieces`, and the folders on the way to them."""
        above = {folder for piece in pieces for folder in Path(piece.name).parents}
        for folder in (self.path / _GENERATIONS, *(self.path / folder for folder in above)):
            _give_rights(folder, _FOLDER_RIGHTS[access])
        for piece in pieces:
            _give_rights(self.generation(piece), _FILE_RIGHTS[access])

    def drop_former(self, current: Collection[Piece], superseded_by: float) -> None:
        """Take away what is not `current`: known names at once, contents where they were superseded by then (Unix time)."""
        kept = {self.path / _GENERATIONS / _LOCK, *(self.generation(piece) for piece in current)}
        former = [path for path in (self.path / _GENERATIONS).iterdir() if path not in kept]
        self._forget(former)
        for path in former:
            # Its status last changed when the name that people know went to another file.
            if path.stat().st_ctime <= superseded_by:
                path.unlink()

    def _forget(self, former: Collection[Path]) -> None:
        """Take the names that people know off the files `former`. Files of others, should there be any, stay."""
        contents = {_identity(path) for path in former}
        for folder in {path.name.partition(".")[0] for path in former}:
            for path in (self.path / folder).rglob("*.parquet"):
                if _identity(path) in contents:
                    path.unlink()


def content_of(known: Path) -> Path:
    """Where the content that `known` shows now stands for as long as somebody may be reading it.

    Unlike `known`, this name never shows anything else. `known` itself, where it is not one that people know a published file by.
    """
    # What cannot be found is told to whoever opens it; of links in a circle Python before 3.13 says RuntimeError.
    with suppress(OSError, RuntimeError):
        found = known.resolve(strict=True)
        shown = _identity(found)
        for generation in (found.parent / _GENERATIONS).glob(f"{escape(found.stem)}.*{escape(found.suffix)}"):
            # One that is dropped meanwhile is a former one.
            with suppress(FileNotFoundError):
                if _identity(generation) == shown:
                    return generation
    return known


def _require_ours(known: Path) -> None:
    """Refuse to replace what might be a database or its backup: nothing that is published can be written by its owner."""
    if known.exists() and known.stat().st_mode & S_IWUSR:
        raise NotPublishedByUs(
            f"{known} was not published by ev-sessions and is not replaced; set EV_SESSIONS_PUBLISHED to a folder of its own"
        )


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _give_rights(path: Path, rights: int) -> None:
    mode = path.stat().st_mode
    if mode & _ALL_RIGHTS != rights:
        path.chmod(mode & 0o7000 | rights)
