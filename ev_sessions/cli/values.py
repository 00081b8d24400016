"""How values of records look to people, and in JSON."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from ev_sessions.tables import Column


def as_text(value: object, field: Column) -> str:
    """`value` with the unit of its `field`."""
    match value:
        case None:
            return "unknown"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        case Decimal():
            return f"{value.normalize():f} {field.unit}"
        case _:
            # Others' words, which may hold what moves the cursor.
            return json.dumps(value)


def as_customer(user_id: UUID, external_user_id: str | None) -> str:
    """A customer by his id, with the supplier's own number of him where it is known."""
    return f"{user_id} ({json.dumps(external_user_id)})" if external_user_id else str(user_id)


def as_json_value(value: object) -> object:
    """`value` as JSON has it: stamps and days in ISO 8601, ids and decimals as text, since a float would not be exact."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case Decimal():
            return f"{value.normalize():f}"
        case UUID():
            return str(value)
        case _:
            return value
