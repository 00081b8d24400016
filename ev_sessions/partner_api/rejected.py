"""Records that do not fit their type, and the sifting of a list into those that do and those that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import msgspec

from ev_sessions.partner_api.json_text import NotJsonError, members

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that does not fit its type.

    `reason` is one line. `raw` is the record as JSON text, with marks for what may speak of a person; of users and vehicles
    only the fields that this project keeps.
    `record_id` is its id as a UUID in canonical form, None where it has no such id.
    """

    reason: str
    raw: str
    record_id: str | None


def sift(records: Iterable[str], decode: Callable[[str], T], shown: Callable[[str], str]) -> tuple[list[T], list[Rejected]]:
    """The records that `decode` takes, and those that it refuses with a ValueError; of these, `shown` of the text is kept."""
    accepted: list[T] = []
    rejected: list[Rejected] = []
    for raw in records:
        try:
            accepted.append(decode(raw))
        except (ValueError, RecursionError) as error:
            rejected.append(Rejected(" ".join(str(error).split()), _payload(raw, shown), _readable_id(raw)))
    return accepted, rejected


def as_text(body: bytes) -> str:
    """The body of an answer as text; what is not UTF-8 is marked, so that it spoils its own record alone."""
    return body.decode("utf-8", errors="replace")


def fields_of(raw: str) -> dict[str, str]:
    """The texts of a record's fields by name; empty where it is no object."""
    try:
        return dict(members(raw))
    except NotJsonError:
        return {}


def _payload(raw: str, shown: Callable[[str], str]) -> str:
    try:
        return shown(raw)
    except RecursionError:
        return '"(nested too deeply)"'


def _readable_id(raw: str) -> str | None:
    try:
        return str(msgspec.json.decode(fields_of(raw).get("id", ""), type=UUID))
    except ValueError:
        return None
