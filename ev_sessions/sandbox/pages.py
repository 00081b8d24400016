"""One page of a vehicle's sessions: what the truth lists, as the vehicle's quirks and the drift of the list distort it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from ev_sessions.days import DayRange
from ev_sessions.sandbox.faults import Quirks
from ev_sessions.sandbox.options import Order
from ev_sessions.sandbox.state import SandboxState


@dataclass(frozen=True, slots=True)
class _Item:
    id: UUID
    body: bytes


def sessions_page(state: SandboxState, vehicle: UUID, window: DayRange, limit: int, offset: int) -> bytes:
    """The JSON body of a page: `{"total": ..., "items": [...]}`."""
    quirks = state.quirks.get(vehicle, Quirks())
    items = _listed(state, vehicle, window)
    if offset == 0 and len(items) > limit + 1 and state.shifts_now(vehicle, window):
        if quirks.shift == "remove":
            state.withdraw([items[0].id])
        else:
            items = items[1:]
    bodies = [item.body for item in items] + list(quirks.extra)
    if quirks.endless and bodies:
        return _join(offset + limit + 1, [bodies[(offset + place) % len(bodies)] for place in range(limit)])
    return _join(len(bodies) + quirks.total_offset, bodies[offset : offset + limit])


def _listed(state: SandboxState, vehicle: UUID, window: DayRange) -> list[_Item]:
    now = int(state.now.timestamp())
    listings = state.truth.listings(vehicle, window.first, window.last, state.options.session_day)
    versions = [(listing.id, listing.version(now)) for listing in listings if listing.id not in state.withdrawn]
    items = [_Item(session_id, version.body) for session_id, version in versions if version is not None]
    return sorted(items, key=lambda item: item.id) if state.options.order is Order.RANDOM else items


def _join(total: int, bodies: list[bytes]) -> bytes:
    return b'{"total":%d,"items":[' % total + b",".join(bodies) + b"]}"
