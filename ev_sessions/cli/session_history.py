"""`ev-sessions history`: the story of one session, for a person who has to explain a figure, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import typer

from ev_sessions.cli.values import as_customer, as_json_value, as_text
from ev_sessions.settings import Settings
from ev_sessions.tables import RAW_SESSIONS
from ev_sessions.warehouse.publish import as_it_is_now, published_views
from ev_sessions.warehouse.versions import Story, Version, as_second, stories

# What a session is about, told when it is first listed; what changes is told whatever it is.
_TOLD_FIRST = ("plug_in_time", "unplug_time", "energy_charged_kwh", "actual_cost_eur", "actual_savings_eur")

_ENDS = {
    "vanished": "no longer listed",
    "quarantined": "sent in a form that cannot be used",
    "superseded": "no longer listed, as an answer showed that had landed before",
}


def show_history(environ: Mapping[str, str], session_id: UUID, *, as_json: bool) -> None:
    """Print what is published about `session_id`.

    Raises:
        UnknownSession: nothing is.
        DatabaseMissing: nothing is published at all.
    """
    views = published_views(Settings.from_env(environ))
    with as_it_is_now(views).reading() as connection:
        found = stories(connection, session_id)
    if as_json:
        told = {"session_id": str(session_id), "vehicles": [_as_json(story) for story in found]}
        typer.echo(json.dumps(told))
        return
    for story in found:
        typer.echo("\n".join(_lines(story)))


def _lines(story: Story) -> Iterator[str]:
    customer = as_customer(story.user_id, story.external_user_id)
    yield f"Session {story.session_id} of vehicle {story.electric_vehicle_id}, customer {customer}"
    for version in story.versions:
        yield from _first(version) if version is story.versions[0] else _next(version)
        if version.end_reason in _ENDS and version.replaced_at is not None:
            yield f"{as_second(version.replaced_at)}  {_ENDS[version.end_reason]} (run {version.replaced_by_run_id})"
    yield f"{'now':25}{_standing(story)}"


def _first(version: Version) -> Iterator[str]:
    yield f"{as_second(version.valid_from)}  first listed, under the day {version.session_day}"
    for name in _TOLD_FIRST:
        yield _indented(f"{name}: {as_text(version.values[name], RAW_SESSIONS.column(name))}")


def _next(version: Version) -> Iterator[str]:
    event = "listed again" if version.returned else "restated"
    yield f"{as_second(version.valid_from)}  {event}, version {version.number}, under the day {version.session_day}"
    for change in version.changes:
        yield _indented(f"{change.field.name}: {as_text(change.before, change.field)} -> {as_text(change.after, change.field)}")


def _standing(story: Story) -> str:
    if not story.is_listed:
        return _because("no longer listed" if not story.reasons else "cannot be used", story)
    last_read = f"listed, last read {as_second(story.versions[-1].fetched_at)}"
    if story.reasons:
        return _because(f"{last_read}; kept out of all figures", story)
    if story.flags is None:
        return f"{last_read}; not in the figures yet"
    return f"{last_read}; in the figures{', flagged ' + ', '.join(story.flags) if story.flags else ''}"


def _because(text: str, story: Story) -> str:
    return ": ".join([text, *(["; ".join(story.reasons)] if story.reasons else [])])


def _indented(text: str) -> str:
    return f"{'':25}{text}"


def _as_json(story: Story) -> dict[str, Any]:
    return {
        "electric_vehicle_id": str(story.electric_vehicle_id),
        "user_id": str(story.user_id),
        "external_user_id": story.external_user_id,
        "first_seen_at": as_json_value(story.first_seen_at),
        "is_listed": story.is_listed,
        "quarantine_reasons": list(story.reasons),
        "flags": None if story.flags is None else list(story.flags),
        "versions": [_version_as_json(version) for version in story.versions],
    }


def _version_as_json(version: Version) -> dict[str, Any]:
    return {
        "version": version.number,
        "session_day": as_json_value(version.session_day),
        "valid_from": as_json_value(version.valid_from),
        "fetched_at": as_json_value(version.fetched_at),
        "run_id": version.run_id,
        "replaced_at": as_json_value(version.replaced_at),
        "replaced_by_run_id": version.replaced_by_run_id,
        "end_reason": version.end_reason,
        "returned": version.returned,
        "changes": [
            {
                "field": change.field.name,
                "unit": change.field.unit,
                "before": as_json_value(change.before),
                "after": as_json_value(change.after),
            }
            for change in version.changes
        ],
        "values": {name: as_json_value(value) for name, value in version.values.items()},
    }
