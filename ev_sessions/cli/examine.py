"""What `ev-sessions doctor` looks at: every check of the settings, the machine and the database, without drawing anything.

Nothing here creates a file or a folder. The checks of the API stand in `ev_sessions.cli.examine_api`.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from ev_sessions.cli.home import existing_history
from ev_sessions.errors import EvSessionsError
from ev_sessions.limits import Limits
from ev_sessions.price_zones import time_zones
from ev_sessions.settings import FILE_SUFFIX, SECRETS, Settings, SettingsError, unknown_variables, variable
from ev_sessions.warehouse import fleet, ledger
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.copying import current_database, row_counts
from ev_sessions.warehouse.failures import DatabaseMissing
from ev_sessions.warehouse.requarantine import days_judged_otherwise
from ev_sessions.warehouse.schema import SCHEMA_VERSION, stored_version
from ev_sessions.warehouse.settings_history import SettingsInForce

# A doctor says that a database is in use instead of waiting until it is not.
_LONGEST_WAIT_FOR_LOCK_SECONDS = 2.0
_BYTES_PER_GB = 1e9
_USER_IN_URL = re.compile(r"//[^/@]*@")


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, in one line, with what to do where something is to be done."""

    check: str
    state: State
    text: str

    @classmethod
    def of_error(cls, check: str, error: EvSessionsError) -> Finding:
        """The problem that `error` tells of."""
        return cls(check, State.PROBLEM, str(error))


@dataclass(frozen=True, slots=True)
class SettingInEffect:
    """One setting: its variable, its value as text (of a secret only whether it is set), and where that comes from."""

    variable: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class ExaminedSettings:
    """The settings, those that are `malformed` (variable and what is wrong) left at their defaults, and the misspelt ones."""

    settings: Settings
    in_effect: tuple[SettingInEffect, ...]
    malformed: Mapping[str, str]
    unknown: tuple[str, ...]

    def findings(self) -> Iterator[Finding]:
        """One for every setting that is wrong, or one that all are right."""
        for message in self.malformed.values():
            yield Finding("settings", State.PROBLEM, message)
        for name in self.unknown:
            yield Finding("settings", State.PROBLEM, f"{name} is no setting; {_suggestion(name)}")
        if not self.malformed and not self.unknown:
            yield Finding("settings", State.OK, f"{len(self.in_effect)} settings, none malformed, none misspelt")


def examine_settings(environ: Mapping[str, str]) -> ExaminedSettings:
    """Look at every setting by itself, so that one that is wrong does not hide the next."""
    malformed = {name: message for name in Settings.model_fields if (message := _complaint(environ, name))}
    spoilt = {key for name in malformed for key in _variables(name)}
    sound = {key: value for key, value in environ.items() if key not in spoilt}
    settings = Settings.from_env(sound)
    return ExaminedSettings(
        settings,
        in_effect=tuple(_in_effect(settings, sound, name) for name in Settings.model_fields),
        malformed={variable(name): message for name, message in malformed.items()},
        unknown=tuple(unknown_variables(environ)),
    )


def examine_limits(settings: Settings) -> Finding:
    """Whether the price zones that have limits of their own exist: nothing is judged by the limits of one that is misspelt."""
    known = time_zones(settings.time_zones)
    strange = settings.limits.price_zones - known.keys()
    try:
        strange -= _price_zones_in_use(settings) if strange else set()
    except EvSessionsError:
        return Finding("limits", State.SKIPPED, f"needs the vehicles of the database to look for {', '.join(sorted(strange))}")
    if strange:
        told = ", ".join(zone + _meant(zone, known) for zone in sorted(strange))
        mend = f"correct {variable('limits')}, or give a new zone its local time in {variable('time_zones')}"
        return Finding("limits", State.PROBLEM, f"no price zone that is known, nor that of a vehicle: {told}; {mend}")
    count = len(settings.limits.replaced)
    replaced = f"{count} replaced, of price zones that exist" if count else "all as built in"
    return Finding("limits", State.OK, replaced)


def examine_versions() -> Finding:
    """The versions that this process runs on."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "dagster", "ev-sessions"))
    return Finding("versions", State.OK, f"Python {platform.python_version()}, {packages}")


def examine_database(settings: Settings) -> Finding:
    """Whether the database can be read, and what it holds; one that does not exist yet is no problem."""
    database = _database(settings)
    try:
        return Finding("database", State.OK, _contents(database))
    except DatabaseMissing:
        return Finding("database", State.OK, f"none yet at {database.path}; the first run makes it")
    except EvSessionsError as error:
        return Finding.of_error("database", error)


def examine_rules(settings: Settings) -> Finding:
    """Whether what is derived stands on the settings in force; what is wrong with the database itself, its own check tells."""
    try:
        with _database(settings).reading() as connection:
            otherwise = days_judged_otherwise(connection, SettingsInForce.of(settings), first=settings.first_day)
    except DatabaseMissing:
        return Finding("rules", State.OK, "nothing is derived yet")
    except EvSessionsError:
        return Finding("rules", State.SKIPPED, "needs a database of this version that can be read")
    if not otherwise:
        return Finding("rules", State.OK, "every derived day was judged by the limits in force")
    own = f"{variable('limits')} or {variable('report_date')}"
    return Finding("rules", State.PROBLEM, f"{otherwise} days were derived by another {own}; run `ev-sessions requarantine`")


def examine_history(settings: Settings) -> Finding:
    """Whether Dagster's history can be opened; one that does not exist yet is no problem."""
    try:
        with existing_history(settings.dagster_home) as instance:
            held = "none yet; the first run makes it" if instance is None else f"{instance.get_runs_count():,} runs"
    except EvSessionsError as error:
        return Finding.of_error("history", error)
    return Finding("history", State.OK, f"{settings.dagster_home}: {held}")


def examine_storage(settings: Settings) -> Iterator[Finding]:
    """Whether the folders of state, database and published files can be written, and whether their disks have room."""
    state = settings.state_dir
    elsewhere = (settings.database_path.parent, settings.published_path)
    for folder in dict.fromkeys((state, *(path for path in elsewhere if not path.is_relative_to(state)))):
        yield _folder(folder, settings.min_free_gb)


def examine_unattended(settings: Settings) -> Finding:
    """What happens by itself, and who is told of it. Nobody is asked: a message would be taken for a real one."""
    schedules = "schedules run from the start" if settings.schedules else "schedules wait to be turned on"
    told = f"failed runs are told to {_host(settings.alert_url)}" if settings.alert_url else "nobody is told of failed runs"
    beat = f"a heartbeat goes to {_host(settings.heartbeat_url)}" if settings.heartbeat_url else "there is no heartbeat"
    return Finding("unattended", State.OK, f"{schedules}, {told}, {beat}")


def _variables(name: str) -> tuple[str, ...]:
    own = variable(name)
    return (own, own + FILE_SUFFIX) if name in SECRETS else (own,)


def _complaint(environ: Mapping[str, str], name: str) -> str | None:
    try:
        Settings.from_env({key: environ[key] for key in _variables(name) if key in environ})
    except SettingsError as error:
        return str(error)
    return None


def _suggestion(name: str) -> str:
    known = [variable(setting) for setting in Settings.model_fields]
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else "unset it, or see the list of settings for the right name"


def _meant(zone: str, known: Iterable[str]) -> str:
    close = get_close_matches(zone, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _price_zones_in_use(settings: Settings) -> frozenset[str]:
    try:
        with _database(settings).reading() as connection:
            return fleet.price_zones(connection)
    except DatabaseMissing:
        return frozenset()


def _in_effect(settings: Settings, environ: Mapping[str, str], name: str) -> SettingInEffect:
    own = variable(name)
    value = settings.database_path if name == "database" else getattr(settings, name)
    source = "environment" if environ.get(own) else "default"
    if name in SECRETS and not environ.get(own) and (path := environ.get(own + FILE_SUFFIX)):
        source = f"file {path}"
    return SettingInEffect(own, _shown(value), source)


def _shown(value: object) -> str:
    if isinstance(value, Limits):
        return _shown(dict(value.replaced))
    if value is None or value == {}:
        return "not set"
    if isinstance(value, SecretStr):
        return "set" if value.get_secret_value() else "not set"
    if isinstance(value, dict):
        return ",".join(f"{key}={own}" for key, own in value.items())
    # Whoever writes a password into a URL does not expect it on the screen.
    return _USER_IN_URL.sub("//***@", str(value))


def _database(settings: Settings) -> Database:
    return Database(settings.database_path, min(settings.lock_timeout_seconds, _LONGEST_WAIT_FOR_LOCK_SECONDS))


def _contents(database: Database) -> str:
    with database.examining() as connection:
        found = stored_version(connection, database.path)
        landed_at = ledger.last_landing(connection)
        rows = row_counts(connection, current_database(connection))
    age = "" if found == SCHEMA_VERSION else f" (the next run migrates it to {SCHEMA_VERSION} and keeps a copy)"
    landing = "nothing landed yet" if landed_at is None else f"last landing {landed_at:%Y-%m-%d %H:%M:%S} UTC"
    counts = ", ".join(f"{table} {count:,}" for table, count in sorted(rows.items()))
    return f"{database.path}: schema {found}{age}, {landing}; rows: {counts}"


def _folder(folder: Path, min_free_gb: float) -> Finding:
    present = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    told = str(folder) if present == folder else f"{folder} (the first run makes it in {present})"
    if not present.is_dir():
        return Finding("storage", State.PROBLEM, f"{present} is not a folder; set {variable('state_dir')} to another path")
    if not os.access(present, os.W_OK | os.X_OK):
        return Finding("storage", State.PROBLEM, f"{present} cannot be written; mend its rights or set {variable('state_dir')}")
    free = shutil.disk_usage(present).free / _BYTES_PER_GB
    if free < min_free_gb:
        wanted = f"{variable('min_free_gb')} wants {min_free_gb:g}; make room"
        return Finding("storage", State.PROBLEM, f"{told}: only {free:.1f} GB are free, {wanted}")
    return Finding("storage", State.OK, f"{told} can be written, {free:.1f} GB are free")


def _host(url: SecretStr) -> str:
    # The rest of the address is what makes it a secret.
    return urlsplit(url.get_secret_value()).hostname or ""
