"""A few vehicles of a fleet: for whoever looks at the API instead of reading it, and must not ask much."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from ev_sessions.partner_api import PartnerApi, RequestFailed, User, VehicleGone

VehicleKey = tuple[UUID, UUID]
"""A user's id and the id of a vehicle of his."""

_CUSTOMER_ROLES = frozenset({None, "user"})


def customers_first(users: Iterable[User]) -> list[UUID]:
    """The ids of `users`, those of the supplier's own people last: they rarely have a vehicle."""
    return [user.id for user in sorted(users, key=lambda user: user.role not in _CUSTOMER_ROLES)]


async def sample_vehicles(api: PartnerApi, user_ids: Sequence[UUID], *, enough: int) -> list[VehicleKey]:
    """At most `enough` vehicles of `user_ids` that are not deleted, one request a user until there are so many.

    A user who cannot be read is passed over.

    Raises:
        CredentialsRefused, RetryBudgetSpent, ...: what concerns all of them.
    """
    found: list[VehicleKey] = []
    for user_id in user_ids:
        if len(found) >= enough:
            break
        try:
            vehicles, _ = await api.vehicles(user_id)
        except (VehicleGone, RequestFailed):
            continue
        found += [(user_id, vehicle.id) for vehicle in vehicles if vehicle.deleted_at is None]
    return found[:enough]
