"""`ev-sessions ui`: Dagster's web page on the history that `ev-sessions run` wrote."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from ev_sessions.cli.home import prepare_home
from ev_sessions.settings import Settings


def serve_ui(environ: Mapping[str, str], port: int) -> int:
    """Run `dagster dev` until it ends; its exit status.

    Raises:
        SettingsError: a setting is malformed.
        HomeUnusable: the state folder cannot be written.
    """
    home = prepare_home(Settings.from_env(environ).dagster_home)
    command = [sys.executable, "-m", "dagster", "dev", "--module-name", "ev_sessions.definitions", "--port", str(port)]
    try:
        return subprocess.run(command, env={**environ, "DAGSTER_HOME": str(home)}, check=False).returncode  # noqa: S603 - our own words
    except KeyboardInterrupt:
        # The same Ctrl-C has ended the page too.
        return 0
