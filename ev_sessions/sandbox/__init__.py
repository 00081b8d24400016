"""A simulated partner API for the demo, the tests and the benchmarks, with the right answers beside it.

    options = SandboxOptions(end=date(2026, 3, 31), vehicles=20, now=datetime(2026, 4, 10, tzinfo=UTC))
    sandbox = Sandbox(options)
    with serving(sandbox) as url:
        ...                     # read from url as sandbox.client_id and sandbox.client_secret
    expected = sandbox.truth.totals(date(2026, 3, 1), date(2026, 3, 31), sandbox.now)

It keeps the contract to the letter and imports neither the client nor the warehouse, so that what both agree on was
found twice.
"""

from ev_sessions.sandbox.app import Sandbox
from ev_sessions.sandbox.bodies import Breakage, broken_body
from ev_sessions.sandbox.faults import Kind, Quirks
from ev_sessions.sandbox.fleet import SimulatedFleet
from ev_sessions.sandbox.options import Order, SandboxOptionError, SandboxOptions, SavingsPeriod
from ev_sessions.sandbox.records import MalformedRecordError, Row, typed_row
from ev_sessions.sandbox.replay import Recording, ReplayFileError
from ev_sessions.sandbox.serving import PortTakenError, base_url, serve_forever, serving
from ev_sessions.sandbox.truth import Totals, Truth

__all__ = [
    "Breakage",
    "Kind",
    "MalformedRecordError",
    "Order",
    "PortTakenError",
    "Quirks",
    "Recording",
    "ReplayFileError",
    "Row",
    "Sandbox",
    "SandboxOptionError",
    "SandboxOptions",
    "SavingsPeriod",
    "SimulatedFleet",
    "Totals",
    "Truth",
    "base_url",
    "broken_body",
    "serve_forever",
    "serving",
    "typed_row",
]
