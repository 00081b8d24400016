"""The simulated partner API in a process of its own, so that serving does not count as anybody's work."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.workloads import LAST_DAY, LATENCY_MS, SANDBOX_NOW, Workload
from ev_sessions.days import DayRange

EV_SESSIONS = Path(sys.executable).with_name("ev-sessions")
_STARTING_SECONDS = 60.0
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class SimulatedApi:
    """A running sandbox. `settings` are the environment variables that point a reader at it."""

    url: str
    settings: dict[str, str]

    def refusals(self) -> int:
        """Answers 429 so far."""
        return int(self._ask("/_sandbox/counts")["refused_429"])

    def requests(self) -> int:
        """Requests of the contract so far, those for a token included."""
        return int(self._ask("/_sandbox/counts")["total"])

    def truth(self, days: DayRange) -> dict[str, Any]:
        """What must have landed of `days`: rows, malformed, energy_kwh, cost_eur, savings_eur (numbers as text)."""
        return self._ask(f"/_sandbox/totals?from={days.first}&to={days.last}")

    def _ask(self, path: str) -> dict[str, Any]:
        with urlopen(self.url + path) as answer:  # noqa: S310 - http on loopback
            answered: dict[str, Any] = json.load(answer)
        return answered


@contextmanager
def simulated_api(workload: Workload) -> Iterator[SimulatedApi]:
    """The API that `workload` describes, on a free port, for as long as the block takes.

    Its history is made before the block begins: whoever reads first would wait for that.
    """
    port = _free_port()
    options = {
        "port": port,
        "vehicles": workload.vehicles,
        "days": workload.days,
        "end": LAST_DAY,
        "now": SANDBOX_NOW,
        "latency-ms": LATENCY_MS,
        "rate-limit": workload.rate_limit,
        "fail-rate": workload.fail_rate,
    }
    command = [str(EV_SESSIONS), "sandbox", *(f"--{name}={value}" for name, value in options.items())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            api = SimulatedApi(f"http://127.0.0.1:{port}", _printed_settings(process))
            _wait_until_served(api)
            api.truth(workload.window)
            yield api
        finally:
            process.terminate()


def _printed_settings(process: subprocess.Popen[str]) -> dict[str, str]:
    """The settings that the sandbox prints as it starts, the client's secret last."""
    settings: dict[str, str] = {}
    for line in process.stdout or ():
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").strip().partition("=")
            settings[name] = value
        if "EV_SESSIONS_CLIENT_SECRET" in settings:
            return settings
    raise RuntimeError("the sandbox ended before it printed its settings; run `ev-sessions sandbox` to see why")


def _wait_until_served(api: SimulatedApi) -> None:
    give_up = time.monotonic() + _STARTING_SECONDS
    while True:
        try:
            api.requests()
        except URLError:
            if time.monotonic() > give_up:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
