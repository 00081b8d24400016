"""`ev-sessions ui`: Dagster's web page on the history that `ev-sessions run` wrote."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from typing import NoReturn

from ev_sessions.cli.home import prepare_history
from ev_sessions.errors import PermanentError
from ev_sessions.settings import Settings


class PortTaken(PermanentError):
    """The port is in use, or none that this user may take."""


def serve_ui(environ: Mapping[str, str], port: int) -> NoReturn:
    """Become `dagster dev`: its page, its daemon, its exit status.

    Raises:
        SettingsError: a setting is malformed.
        HomeUnusable: the state folder cannot be written, or the history cannot be opened.
        PortTaken: the page cannot be served there.
    """
    _require_free(port)
    # Several processes of `dagster dev` open the history at once, without the lock: they have to find it finished.
    home = prepare_history(Settings.from_env(environ).dagster_home)
    command = [sys.executable, "-m", "dagster", "dev", "--module-name", "ev_sessions.definitions", "--port", str(port)]
    # Its own child would miss the signals that end it, and leave the page and the daemon behind.
    os.execve(sys.executable, command, {**environ, "DAGSTER_HOME": str(home)})  # noqa: S606 - our own words


def _require_free(port: int) -> None:
    # `dagster dev` itself would go on without a page.
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        raise PortTaken(f"cannot serve the UI on port {port} ({error}); choose another with --port") from None
