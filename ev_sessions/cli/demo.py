"""`ev-sessions demo`: the whole way once, against the simulated API in this process, into a database of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from ev_sessions.cli.progress import ProgressBar
from ev_sessions.cli.refresh import refresh
from ev_sessions.cli.run import outcome_line
from ev_sessions.cli.summary import show_days
from ev_sessions.days import ONE_DAY, utc_today
from ev_sessions.sandbox import Sandbox, SandboxOptions, serving
from ev_sessions.settings import PREFIX, Settings, variable

_STATE_DIR = Path(".ev_sessions/demo")


def run_demo(environ: MutableMapping[str, str]) -> None:
    """Discover a fleet of 200 vehicles, backfill 30 days through Dagster, derive, and show the result.

    The settings in `environ`, this process's environment, are replaced, so that a demo never touches real data.
    """
    options = SandboxOptions(end=utc_today(datetime.now(UTC)) - ONE_DAY)
    sandbox = Sandbox(options)
    console = Console()
    console.print(f"A simulated fleet of {options.vehicles} vehicles with {options.days} days of charging sessions.")
    with serving(sandbox) as url:
        own = {
            **sandbox.settings_for(url),
            variable("state_dir"): str(_STATE_DIR),
            variable("first_day"): options.history.first.isoformat(),
        }
        _replace_settings(environ, own)
        with ProgressBar(Console(stderr=True)) as bar:
            outcome = refresh(environ, options.history, progress=bar)
    database = Settings.from_env(environ).database_path
    show_days(console, database, options.history)
    console.print(outcome_line(outcome))
    console.print(f"\nThe database:  {database}")
    console.print(
        f"The UI on this history:  {variable('state_dir')}={_STATE_DIR} "
        f"{variable('first_day')}={options.history.first} {_own_name()} ui",
        soft_wrap=True,
    )


def _own_name() -> str:
    """This program as it can be called from here: after `make demo` it is not on the path."""
    return os.path.relpath(sys.argv[0])


def _replace_settings(environ: MutableMapping[str, str], settings: Mapping[str, str]) -> None:
    # Dagster looks secrets up in the process's own environment, so a copy of it would not do.
    for name in [name for name in environ if name.startswith(PREFIX)]:
        del environ[name]
    environ.update(settings)
