"""The sandbox on a port: in a thread of the test, and in the foreground of a process of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from datetime import date
from pathlib import Path

import httpx
import pytest

from ev_sessions.sandbox import PortTakenError, Sandbox, SandboxOptions, serve_forever, serving

END = date(2026, 6, 30)
PROGRAM = """
import sys
from datetime import date
from ev_sessions.sandbox import Sandbox, SandboxOptions, serve_forever

serve_forever(Sandbox(SandboxOptions(end=date(2026, 6, 30), vehicles=1)), int(sys.argv[1]), lambda url: None)
print("returned")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_port_is_free_again_after_the_block() -> None:
    with serving(Sandbox(SandboxOptions(end=END, vehicles=1))) as url:
        assert httpx.get(f"{url}/_sandbox/counts").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/_sandbox/counts")


def test_two_sandboxes_serve_side_by_side() -> None:
    one, two = (Sandbox(SandboxOptions(end=END, vehicles=1, seed=seed)) for seed in (1, 2))
    with serving(one) as first, serving(two) as second:
        httpx.post(f"{first}/oauth2/token/", json={})
        assert (one.counts.token, two.counts.token) == (1, 0)
        assert httpx.get(f"{second}/_sandbox/counts").json()["total"] == 0


def test_a_taken_port_is_refused_in_one_line() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"^the sandbox cannot listen on port {port} of 127\.0\.0\.1 .*choose another$"):
            serve_forever(Sandbox(SandboxOptions(end=END, vehicles=1)), port, print)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_it_serves_until_a_signal_and_then_returns(tmp_path: Path, stop: signal.Signals) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    port = free_port()
    with subprocess.Popen([sys.executable, str(program), str(port)], stdout=subprocess.PIPE, text=True) as process:
        transport = httpx.HTTPTransport(retries=12)  # waits ever longer between attempts while the process starts
        with httpx.Client(transport=transport) as http:
            assert http.get(f"http://127.0.0.1:{port}/_sandbox/counts").json()["total"] == 0
        process.send_signal(stop)
        output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "returned\n")
