"""`ev-sessions history`: the story of one session, for a person who has to explain a figure, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from operator import itemgetter
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
    for _, told in sorted(_events(story), key=itemgetter(0)):
        yield from told
    yield f"{'now':25}{_standing(story)}"


def _events(story: Story) -> Iterator[tuple[datetime, Iterator[str]]]:
    """When something became known, and what is told of it."""
    for before, version in pairwise([None, *story.versions]):
        if version is None:
            continue
        yield version.valid_from, _first(version) if before is None else _next(before, version)
        if version.end_reason in _ENDS and version.replaced_at is not None:
            yield version.replaced_at, iter([_dated(version.replaced_at, _ENDS[version.end_reason], version.replaced_by_run_id)])
    for form in story.unusable:
        told = f"in a form that could not be used until {as_second(form.until)}: {'; '.join(form.reasons)}"
        yield form.since, iter([_dated(form.since, told)])


def _first(version: Version) -> Iterator[str]:
    yield _dated(version.valid_from, f"first listed, under the day {version.session_day}")
    for name in _TOLD_FIRST:
        yield _indented(f"{name}: {as_text(version.values[name], RAW_SESSIONS.column(name))}")


def _next(before: Version, version: Version) -> Iterator[str]:
    event, run_id = ("listed again", None) if version.returned else ("restated", before.replaced_by_run_id)
    yield _dated(version.valid_from, f"{event}, version {version.number}, under the day {version.session_day}", run_id)
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


def _dated(instant: datetime, text: str, run_id: str | None = None) -> str:
    return f"{as_second(instant)}  {text}{f' (run {run_id})' if run_id else ''}"


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
        "unusable": [
            {"since": as_json_value(form.since), "until": as_json_value(form.until), "reasons": list(form.reasons)}
            for form in story.unusable
        ],
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
