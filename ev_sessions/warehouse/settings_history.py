"""Keeps by which settings figures were derived, and since when: `raw.settings_history`.

The newest row is found by `arg_max`: after rows were deleted, `ORDER BY ... LIMIT 1` may find another, or none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

import duckdb

from ev_sessions.limits import Limits
from ev_sessions.settings import ReportDate, Settings
from ev_sessions.warehouse.scripts import run_sql

_REPORT_DATE = "REPORT_DATE"

# Of the same instant the later run's holds: a clock may stand still.
_RECORD = """
    DELETE FROM raw.settings_history
    WHERE in_force_from = $derived_at;

    INSERT INTO raw.settings_history BY NAME
    SELECT $derived_at AS in_force_from, $settings AS settings, $program_version AS program_version, $run_id AS run_id;
"""


@dataclass(frozen=True, slots=True)
class SettingsInForce:
    """What decides on figures besides the raw tables: the rule of the report date, and the limits of the quality rules."""

    report_date: ReportDate
    limits: Limits

    @classmethod
    def of(cls, settings: Settings) -> SettingsInForce:
        """Those of `settings` that decide."""
        return cls(settings.report_date, settings.limits)

    def as_json(self) -> str:
        """The settings as raw.settings_history has them; equal ones are the same text."""
        defaults = Limits()
        replaced = self.limits.replaced.items()
        limits = {name: f"{value.normalize():f}" for name, value in replaced if ":" in name or value != defaults.value(name)}
        return json.dumps({_REPORT_DATE: self.report_date.value} | dict(sorted(limits.items())))


def record_settings(connection: duckdb.DuckDBPyConnection, settings: SettingsInForce, values: Mapping[str, object]) -> None:
    """Add a row where `settings`, or the version of this program, are not those of the newest row.

    `values` has the `derived_at` (aware) from which they are in force, and the `run_id`.
    """
    present = (settings.as_json(), version("ev-sessions"))
    ((newest,),) = connection.execute(
        "SELECT arg_max((settings, program_version), in_force_from) FROM raw.settings_history"
    ).fetchall()
    if newest != present:
        run_sql(connection, _RECORD, {**values, "settings": present[0], "program_version": present[1]})


def settings_at(connection: duckdb.DuckDBPyConnection, instant: datetime) -> SettingsInForce | None:
    """The settings in force at `instant` (aware); None: nothing had been derived yet. A read-only connection will do."""
    question = "SELECT arg_max(settings, in_force_from) FROM raw.settings_history WHERE in_force_from <= ?"
    return _read(connection.execute(question, [instant]))


def first_settings(connection: duckdb.DuckDBPyConnection) -> SettingsInForce | None:
    """The settings that were in force first; None: nothing has been derived yet. A read-only connection will do."""
    return _read(connection.execute("SELECT arg_min(settings, in_force_from) FROM raw.settings_history"))


def newest_settings(connection: duckdb.DuckDBPyConnection) -> SettingsInForce | None:
    """The settings by which was derived last; None: nothing has been derived yet. A read-only connection will do."""
    return _read(connection.execute("SELECT arg_max(settings, in_force_from) FROM raw.settings_history"))


def _read(found: duckdb.DuckDBPyConnection) -> SettingsInForce | None:
    ((text,),) = found.fetchall()
    if text is None:
        return None
    settings = json.loads(text)
    return SettingsInForce(ReportDate(settings.pop(_REPORT_DATE)), Limits.of(settings))
