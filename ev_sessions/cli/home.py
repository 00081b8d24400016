"""DAGSTER_HOME: the folder that keeps Dagster's history, so that what the command line ran shows in the UI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import dagster as dg
from alembic.util import CommandError
from dagster_shared.check import CheckError
from sqlalchemy.exc import DBAPIError
from yaml import YAMLError

from ev_sessions.automation.dead_runs import reap
from ev_sessions.cli.history import unhurried_commits
from ev_sessions.errors import PermanentError
from ev_sessions.file_locks import locked


class HomeUnusable(PermanentError):
    """The state folder, or Dagster's history in it, cannot be written."""


def prepare_home(home: Path) -> Path:
    """Make `home` with Dagster's instance settings in it, unless they are there already; gives the absolute path.

    Raises:
        HomeUnusable: the folder cannot be made.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings = home / "dagster.yaml"
        with locked(home / ".lock"):
            if not settings.exists():
                settings.write_text(files("ev_sessions").joinpath("dagster.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise _folder_unusable(home, error) from None
    return home.resolve()


def prepare_history(home: Path) -> Path:
    """As `prepare_home`, and make the history, for programs that would make it without our lock; gives the absolute path.

    Raises:
        HomeUnusable: the folder cannot be made, or the history cannot be opened.
    """
    folder = prepare_home(home)
    with _usable(folder), _opened(folder):
        return folder


@contextmanager
def recorded_runs(home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance under `home`, rid of runs whose process was killed.

    Raises:
        HomeUnusable: the folder cannot be made, or the history cannot be written, at the start or later.
    """
    folder = prepare_home(home)
    os.environ["DAGSTER_HOME"] = str(folder)
    with unhurried_commits(), _usable(folder), _opened(folder) as instance:
        reap(instance)
        yield instance


@contextmanager
def existing_history(home: Path) -> Iterator[dg.DagsterInstance | None]:
    """The instance under `home`, to be read from; None where there is none, and none is made.

    Raises:
        HomeUnusable: the history cannot be read.
    """
    folder = home.resolve()
    try:
        missing = not (folder / "dagster.yaml").exists()
    except OSError as error:
        raise _folder_unusable(folder, error) from None
    if missing:
        yield None
        return
    with _usable(folder), _opened(folder) as instance:
        yield instance


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, CommandError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise HomeUnusable(
            f"cannot use Dagster's history in {folder}: {reason}; free some space, mend the rights, "
            "set EV_SESSIONS_STATE_DIR, or move that folder away: it holds the list of runs, no sessions"
        ) from None


def _folder_unusable(folder: Path, error: OSError) -> HomeUnusable:
    return HomeUnusable(f"cannot use the state folder {folder}: {error.strerror}; set EV_SESSIONS_STATE_DIR")


def _opened(folder: Path) -> dg.DagsterInstance:
    # Dagster makes the tables of a new history at the first opening, and two that do so at once trip over each other.
    try:
        with locked(folder / ".lock"):
            instance = dg.DagsterInstance.from_config(str(folder))
            # Of the three storages, that of the events looks at its version only when it is first read.
            instance.get_asset_keys(limit=1)
            return instance
    except OSError as error:
        raise _folder_unusable(folder, error) from None
    except (YAMLError, CheckError, dg.DagsterInvalidConfigError) as error:
        reason = " ".join(str(error).split())
        raise HomeUnusable(f"cannot use {folder / 'dagster.yaml'}: {reason}; mend it, or delete it for a new one") from None
