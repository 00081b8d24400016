"""A sandbox on a loopback port: in a thread of its own for tests, in the foreground for the command line."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread
from types import FrameType

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ev_sessions.errors import PermanentError
from ev_sessions.sandbox.app import Sandbox
from ev_sessions.sandbox.gate import CONNECTION_EXTENSION

LOOPBACK = "127.0.0.1"
_BACKLOG = 2048


class PortTakenError(PermanentError):
    """The port that the sandbox should listen on is in use, or not ours to use."""


@contextmanager
def serving(sandbox: Sandbox) -> Iterator[str]:
    """Serve `sandbox` on a free port for as long as the block takes. Yields the base url."""
    with closing(_listen(0)) as listener:
        server = _Server(sandbox)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, name="sandbox", daemon=True)
        thread.start()
        server.ready.wait()
        try:
            yield base_url(_port(listener))
        finally:
            server.stop()
            thread.join()


def serve_forever(sandbox: Sandbox, port: int, announce: Callable[[str], None]) -> None:
    """Serve `sandbox` on `port` (0: a free one) until SIGINT or SIGTERM, then return.

    `announce` hears the base url as soon as nobody else can take the port.

    Raises:
        PortTakenError: nobody can listen on that port.
    """
    with closing(_listen(port)) as listener:
        announce(base_url(_port(listener)))
        _Server(sandbox).run(sockets=[listener])


def base_url(port: int) -> str:
    """The root of a sandbox on that port."""
    return f"http://{LOOPBACK}:{port}"


class _Server(uvicorn.Server):
    """uvicorn, quiet, that says when it is ready and returns on a signal instead of raising it again."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(
            uvicorn.Config(
                sandbox.app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=60,
                timeout_graceful_shutdown=1,
            )
        )
        self.ready = Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    def stop(self) -> None:
        """End at once, also where a client waits for an answer that was ordered to hang."""
        self.force_exit = True
        self.should_exit = True

    def handle_exit(self, _sig: int, _frame: FrameType | None) -> None:
        self.should_exit = True


class _Protocol(HttpToolsProtocol):
    """Lets the app drop its connection, which ASGI alone cannot do."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        connection: dict[object, object] = {"close": self.transport.close, "abort": self.transport.abort}
        self.scope["extensions"] = {CONNECTION_EXTENSION: connection}


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise PortTakenError(f"the sandbox cannot listen on port {port} of {LOOPBACK} ({error}); choose another") from None
    listener.listen(_BACKLOG)
    return listener


def _port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])
