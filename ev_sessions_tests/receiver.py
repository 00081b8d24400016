"""A web server of the test's own that takes messages as Slack does, and behaves as badly as it is told to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

SECRET_PATH = "/services/T0/a-path-that-nobody-may-see"  # noqa: S105 - of nothing


@dataclass
class Receiver:
    """What arrived, as (method, path, JSON body or None), and with which statuses the next requests are answered."""

    url: str = ""
    arrived: list[tuple[str, str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    usual_status: int = 200
    silent: bool = False
    over: Event = field(default_factory=Event)

    @property
    def texts(self) -> list[str]:
        """The texts of the messages that arrived."""
        return [body["text"] for method, _, body in self.arrived if method == "POST"]

    def answer(self) -> int:
        """The status of the next answer; where it is `silent`, there is none before all is over."""
        if self.silent:
            self.over.wait()
        return self.statuses.pop(0) if self.statuses else self.usual_status


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens on this machine."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._take(None)

        def do_POST(self) -> None:
            self._take(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def _take(self, body: Any) -> None:  # noqa: ANN401 - JSON
            receiver.arrived.append((self.command, self.path, body))
            self.send_response(receiver.answer())
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}{SECRET_PATH}"
    listening = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    listening.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        server.shutdown()
        listening.join()
        server.server_close()
