"""What can go wrong on the way to an answer, by order of a test or by chance.

A test pushes a fault for the next requests of a kind; `SandboxOptions.fail_rate` draws them. What a vehicle's data itself
does wrong stands in `Quirks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock
from typing import Literal
from uuid import UUID

from ev_sessions.sandbox.chance import share, stream

HTML = {"content-type": "text/html"}


class Kind(StrEnum):
    """The kinds of request that are told apart."""

    TOKEN = "token"  # noqa: S105 - a kind of request, not a password
    USERS = "users"
    VEHICLES = "vehicles"
    SESSIONS = "sessions"
    CURRENT = "current"
    SAVINGS = "savings"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of its own instead of the right one."""

    status: int
    body: bytes = b'{"detail": "sandbox fault"}'
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is reset without an answer."""


@dataclass(frozen=True, slots=True)
class Truncated:
    """The right answer breaks off in the middle of its body."""


@dataclass(frozen=True, slots=True)
class Delayed:
    """The right answer comes late, or never where the client gives up before."""

    seconds: float


Fault = Refusal | Cut | Truncated | Delayed

_RANDOM_FAULTS: tuple[Fault, ...] = (
    Refusal(500),
    Refusal(503),
    Refusal(429),
    Refusal(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", HTML),
    Cut(),
    Truncated(),
)


def drawn_fault(seed: int, fail_rate: float, target: str, attempt: int) -> Fault | None:
    """The fault, if any, of the `attempt`-th request for `target`: by chance, yet in no way by order."""
    if share(seed, "fault", target, attempt) >= fail_rate:
        return None
    return stream(seed, "fault kind", target, attempt).choice(_RANDOM_FAULTS)


@dataclass(frozen=True, slots=True)
class Quirks:
    """What one vehicle does wrong for as long as it stands in `Sandbox.quirks`."""

    status: int | None = None
    """Answer every request for it with this status, for example 404."""
    total_offset: int = 0
    """Report a total that is off by this much: a stable mismatch."""
    extra: tuple[bytes, ...] = ()
    """Records listed after its own, in every window; see `broken_body`."""
    endless: bool = False
    """There is always one more page, with the same items again."""
    shift: Literal["insert", "remove"] | None = None
    """Each window of several pages changes once between its pages: its first session completes late, or is withdrawn for good."""


@dataclass(slots=True)
class _Order:
    fault: Fault
    left: int
    kind: Kind | None
    vehicle: UUID | None

    def fits(self, kind: Kind, vehicle: UUID | None) -> bool:
        return self.kind in {None, kind} and self.vehicle in {None, vehicle}


class Script:
    """Faults that tests ordered and things to do at a certain request. Safe to use from any thread."""

    def __init__(self) -> None:
        self._orders: list[_Order] = []
        self._actions: dict[tuple[Kind, int], Callable[[], None]] = {}
        self._lock = Lock()

    def push(self, fault: Fault, times: int, kind: Kind | None, vehicle: UUID | None) -> None:
        """Meet the next `times` requests of that kind and vehicle (None: any) with `fault`."""
        with self._lock:
            self._orders.append(_Order(fault, times, kind, vehicle))

    def take(self, kind: Kind, vehicle: UUID | None) -> Fault | None:
        """The fault for this request, which is thereby used up."""
        with self._lock:
            order = next((order for order in self._orders if order.fits(kind, vehicle)), None)
            if order is None:
                return None
            order.left -= 1
            if order.left <= 0:
                self._orders.remove(order)
            return order.fault

    def at(self, kind: Kind, count: int, action: Callable[[], None]) -> None:
        """Call `action` when the `count`-th request of that kind arrives."""
        with self._lock:
            self._actions[kind, count] = action

    def arrived(self, kind: Kind, count: int) -> None:
        """Tell that the `count`-th request of that kind is there."""
        with self._lock:
            action = self._actions.pop((kind, count), None)
        if action is not None:
            action()
