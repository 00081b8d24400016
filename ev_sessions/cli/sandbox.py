"""`ev-sessions sandbox`: the simulated partner API in the foreground."""

from __future__ import annotations

from pathlib import Path

import typer

from ev_sessions.sandbox import Recording, Sandbox, SandboxOptions, serve_forever


def serve_sandbox(options: SandboxOptions, port: int, replay: Path | None) -> None:
    """Print the settings to export, then serve until Ctrl-C.

    Raises:
        PermanentError: the port is taken, or the recorded file cannot be used.
    """
    served = Sandbox(options, None if replay is None else Recording(replay))

    def announce(url: str) -> None:
        typer.echo(f"# A simulated partner API at {url}; Ctrl-C ends it. In another shell:")
        for name, value in served.settings_for(url).items():
            typer.echo(f"export {name}={value}")

    serve_forever(served, port, announce)
