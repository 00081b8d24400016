"""Real processes of the command line and of Dagster: started, waited for with a limit, and ended, each by its own id."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from ev_sessions.days import DayRange
from ev_sessions.sandbox import Sandbox

LIMIT = 240.0
"""The longest that a test waits for anything (s): far beyond what it takes, so that a slow machine fails nothing."""

_PAUSE = 0.1


@contextmanager
def running(*command: object, log: Path) -> Iterator[subprocess.Popen[str]]:
    """`command` as a process that writes to `log`; ended with all that it started when the block is left."""
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [str(word) for word in command], stdout=output, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        try:
            yield process
        finally:
            end(process)


def end(process: subprocess.Popen[str], sent: int = 15) -> None:
    """End the process and, where that takes too long, everything in its session."""
    if process.poll() is None:
        process.send_signal(sent)
    try:
        process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait(LIMIT)


def ev_sessions(*arguments: object) -> list[str]:
    """The installed command with `arguments`."""
    return [str(Path(sys.executable).with_name("ev-sessions")), *(str(argument) for argument in arguments)]


def over_days(command: str, days: DayRange) -> subprocess.Popen[str]:
    """`ev-sessions COMMAND --json` over `days` in a process of its own, with a group of its own as in a terminal."""
    words = ev_sessions(command, "--from", days.first, "--to", days.last, "--json")
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The exit status of the process, its standard output and its standard error."""
    output, error = process.communicate(timeout=LIMIT)
    return process.returncode, output, error


def stopped_by(
    sent: signal.Signals, start: Callable[[], subprocess.Popen[str]], sandbox: Sandbox, *, after: int
) -> tuple[int, str, str]:
    """Send the signal to what `start` starts, and to all that it has started, once it has asked for `after` vehicles."""
    reached = Event()
    sandbox.at_request(after, reached.set)
    process = start()
    try:
        assert reached.wait(LIMIT), "the process did not get that far"
        os.killpg(process.pid, sent)
        return ended(process)
    finally:
        process.kill()
        process.communicate()


def wait_until(what: str, holds: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Ask again and again until `holds()`; fail where `process` ends before, or the limit is reached."""
    give_up = time.monotonic() + LIMIT
    while not holds():
        assert process is None or process.poll() is None, f"the process ended while waiting until {what}"
        assert time.monotonic() < give_up, f"waited in vain until {what}"
        time.sleep(_PAUSE)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def graphql(port: int, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """What Dagster's web server on `port` answers; None: it does not answer yet."""
    body = json.dumps({"query": query, "variables": variables or {}}).encode()
    request = Request(f"http://127.0.0.1:{port}/graphql", body, {"content-type": "application/json"})
    try:
        with urlopen(request, timeout=LIMIT) as answer:  # noqa: S310 - loopback
            data: dict[str, Any] = json.load(answer)["data"]
            return data
    except HTTPError as error:
        raise AssertionError(error.read().decode()) from error
    except (URLError, ConnectionError):
        return None
