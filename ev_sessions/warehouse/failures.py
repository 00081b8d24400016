"""What can go wrong with a database file, and how DuckDB's own words for it become one line that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from ev_sessions.errors import EvSessionsError, PermanentError, TransientError


class DatabaseMissing(PermanentError):
    """There is no database file to read."""


class NotOurDatabase(PermanentError):
    """The file is no DuckDB file, or one that holds somebody else's tables."""


class DatabaseTooNew(PermanentError):
    """A newer version of this program, or of DuckDB, wrote the file."""


class DatabaseOutdated(PermanentError):
    """An older version of this program wrote the file, and it was opened for reading, where it cannot be migrated."""


class DatabaseDamaged(PermanentError):
    """The file is a DuckDB file that cannot be read any more."""


class DatabaseDenied(PermanentError):
    """The rights on the file or its folder do not allow this."""


class DatabaseLocked(TransientError):
    """Another process, or another part of this one, holds the file."""


class DatabaseDiskFull(TransientError):
    """The disk has no room for what was to be written; nothing was written."""


_HOLDER = re.compile(r"Conflicting lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")

# DuckDB tells these apart only by its message. The first that matches decides.
_MEANINGS: tuple[tuple[str, type[EvSessionsError], str], ...] = (
    (r"Could not set lock on file", DatabaseLocked, "is in use{holder}; wait until that has ended, or end it"),
    (r"different configuration", DatabaseLocked, "is in use by another part of this process; wait until that has ended"),
    (r"database does not exist", DatabaseMissing, "does not exist yet; run `ev-sessions run --from DAY --to DAY` first"),
    (
        r"not a valid DuckDB database file|Extension .* not found",
        NotOurDatabase,
        "is not a DuckDB file; set EV_SESSIONS_DATABASE to another path",
    ),
    (
        r"Trying to read a database file with version number|newer version of DuckDB",
        DatabaseTooNew,
        "was written by a newer DuckDB; upgrade the `duckdb` package, or set EV_SESSIONS_DATABASE to another path",
    ),
    (
        r"File exists|Not a directory",
        DatabaseDenied,
        "cannot be made: a part of its path is a file, not a folder; name another path",
    ),
    (
        r"Permission denied|Read-only file system|Operation not permitted",
        DatabaseDenied,
        "cannot be opened: {reason}; mend the rights of the file and its folder",
    ),
    (
        r"No space left on device|Disk quota exceeded|File too large",
        DatabaseDiskFull,
        "could not be written: the disk is full; nothing was changed, free some space and run again",
    ),
    (
        r"Corrupt database file|Could not read enough bytes|Serialization Error|Failure while replaying WAL",
        DatabaseDamaged,
        "is damaged; put a backup in its place with `ev-sessions restore`",
    ),
    (
        r"Cannot open file|Could not read from file",
        DatabaseDenied,
        "cannot be opened: {reason}; set EV_SESSIONS_DATABASE to a path in a folder",
    ),
)


def explain(error: duckdb.Error | OSError, path: Path) -> EvSessionsError | None:
    """What `error`, raised by DuckDB or the file system about the database at `path`, means; None: it is not about the file."""
    text = str(error)
    for pattern, kind, meaning in _MEANINGS:
        if re.search(pattern, text):
            return kind(f"the database {path} {meaning.format(holder=_holder(text), reason=reason_of(error))}")
    return None


@contextmanager
def explained(path: Path, *kinds: type[EvSessionsError]) -> Iterator[None]:
    """Turn what DuckDB and the file system say inside into what it means for the database at `path`: of `kinds`, or of any."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        failure = explain(error, path)
        if failure is None or not isinstance(failure, kinds or EvSessionsError):
            raise
        raise failure from None


def _holder(text: str) -> str:
    found = _HOLDER.search(text)
    return f" by process {found['pid']} ({found['program']})" if found else ""


def reason_of(error: duckdb.Error | OSError) -> str:
    """The cause alone: `Permission denied` of an OSError, or of DuckDB's `IO Error: Cannot open file "x": Permission denied`."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0].rpartition('": ')[2]
