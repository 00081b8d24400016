"""No name, address or e-mail is anywhere after refreshes that succeed and that fail, wherever the API sends one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import dagster as dg
import pytest

from ev_sessions.cli.home import prepare_history
from ev_sessions.partner_api import SessionRecord
from ev_sessions.sandbox import Sandbox, SandboxOptions
from ev_sessions.sandbox.faults import Kind
from ev_sessions.sandbox.fleet import SimulatedFleet
from ev_sessions.sandbox.truth import SECONDS_PER_DAY, Listing, Record, Version
from ev_sessions_tests.pipeline import LAST_DAY, LONG_AFTER, Pipeline, failures, pipeline_over, trailing
from ev_sessions_tests.stored import text_of

DAYS = trailing(4)

PERSONS = (
    "Erika Mustermann",
    "erika.mustermann+car@post.example",
    "Musterstraße 12a, 1010 Wien",
    "ÞÓRÐARSON, Ólafur",
    "山田 太郎",
    "Zoë\u0308 O'Brien \U0001f600",
    'Ann "the car" \\ Lee\n2 Quay Road',
)
TRACES = ("mustermann", "musterstra", "1010 wien", "ólafur", "þórðarson", "太郎", "o'brien", "the car", "quay road")
"""What each person would be known by, in small letters."""

# Ids and stamps, without which a record is not healthy.
USER_NEEDS = ("id", "deleted_at")
VEHICLE_NEEDS = ("id", "created_at", "updated_at", "deleted_at")
SESSION_NEEDS = SessionRecord.__struct_fields__[:-2]


def test_wherever_the_api_sends_a_person_nothing_of_it_is_stored_or_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with planted(tmp_path) as pipeline:
        landed = pipeline.refresh(DAYS)
        assert landed.success, failures(landed)
        assert_everything_was_used(pipeline)
        failed = [*refused(pipeline), misplaced(pipeline)]
        assert [run.success for run in failed] == [False] * len(failed)
        events = repr([event for run in (landed, *failed) for event in run.all_events])
    output = capfd.readouterr()
    places = {str(path): text_of(path) for path in tmp_path.rglob("*") if path.is_file()}
    places |= {"events": events, "output": output.out, "errors": output.err}
    assert_all_kinds_of_files_were_read(places)
    assert [(place, trace) for place, text in places.items() for trace in told_in(text)] == []


class PlantedFleet(SimulatedFleet):
    """A fleet whose API sends persons in every field in which it can, of healthy records and of broken ones."""

    def users(self, now: datetime) -> list[Record]:
        """Each user, healthy, and again with a person for an id or a stamp."""
        users = super().users(now)
        healthy = [with_persons(user, USER_NEEDS) for user in users]
        return [*healthy, *broken(users[0], ("id", "deleted_at"))]

    def vehicles(self, user_id: UUID | None, now: datetime) -> list[Record]:
        """Each vehicle, healthy, and again with a person for an id, a stamp or its owner."""
        vehicles = super().vehicles(user_id, now)
        healthy = []
        for vehicle in vehicles:
            planted = with_persons(vehicle, VEHICLE_NEEDS)
            planted["owner"] = with_persons(vehicle["owner"], ("id",))
            planted["device_model"] = with_persons(vehicle["device_model"], ("manufacturer",)) | {"model": person(1)}
            healthy.append(planted)
        return [*healthy, *(each for vehicle in vehicles[:1] for each in broken(vehicle, (*VEHICLE_NEEDS, "owner")))]

    def plugged_in(self, vehicle_id: UUID, first: int, last: int) -> Sequence[Listing]:
        """Each session, healthy, and of one vehicle every way of planting a person that breaks a session."""
        listings = super().plugged_in(vehicle_id, first, last)
        asked = [
            listing
            for listing in listings
            if first <= listing.plug_in // SECONDS_PER_DAY <= last and vehicle_id == self.vehicle_ids()[0]
        ]
        healthy = [with_persons({"session_outcome": None} | json.loads(body_of(listing)), SESSION_NEEDS) for listing in listings]
        return [
            *(relisted(each, as_text(body), well_formed=True) for each, body in zip(listings, healthy, strict=True)),
            *(relisted(each, body, well_formed=False) for each in asked[:1] for body in broken_sessions(each)),
        ]


@contextmanager
def planted(folder: Path) -> Iterator[Pipeline]:
    """A pipeline over such a fleet; Dagster's history, too, is kept in `folder`."""
    options = SandboxOptions(
        end=LAST_DAY, vehicles=4, days=5, now=LONG_AFTER, malformed_rate=0, restated_rate=0, added_rate=0, deleted_rate=0
    )
    with (
        pipeline_over(Sandbox(options, PlantedFleet(options)), folder) as pipeline,
        dg.DagsterInstance.from_config(str(prepare_history(folder / "history"))) as history,
    ):
        yield replace(pipeline, instance=history)


def assert_everything_was_used(pipeline: Pipeline) -> None:
    """Of every record, healthy or not, something was stored."""
    truth = pipeline.sandbox.truth
    vehicles = truth.vehicle_ids()
    sessions = [session for each in vehicles for session in truth.sessions(each, DAYS.first, DAYS.last, LONG_AFTER)]
    malformed = [record for each in vehicles for record in truth.malformed(each, DAYS.first, DAYS.last, LONG_AFTER)]
    assert pipeline.rows("SELECT count(*) FROM raw.vehicles WHERE manufacturer IS NOT NULL") == [(len(vehicles),)]
    assert pipeline.rows(
        "SELECT count(*) FROM raw.sessions WHERE session_outcome LIKE '(text, %)' AND extra::VARCHAR LIKE '%(text, %'"
    ) == [(len(sessions),)]
    assert pipeline.rows("SELECT count(*), bool_and(payload LIKE '%(text, %') FROM raw.quarantine WHERE NOT in_sessions") == [
        (len(malformed), True)
    ]
    assert len(sessions) > len(vehicles)
    assert len(malformed) > len(SessionRecord.__struct_fields__)


def refused(pipeline: Pipeline) -> Iterator[dg.ExecuteInProcessResult]:
    """Runs that fail since the API answers with persons what cannot be used."""
    body = as_text({person: [person] for person in PERSONS})
    for kind, status, times in ((Kind.TOKEN, 400, 1), (Kind.USERS, 422, 1), (Kind.USERS, 200, 1), (Kind.SESSIONS, 200, 4)):
        pipeline.sandbox.fail_next(times, kind=kind, status=status, body=body.encode())
        yield pipeline.refresh(DAYS, settings={"max_attempts": "1"})


def misplaced(pipeline: Pipeline) -> dg.ExecuteInProcessResult:
    """A run that fails once everything is fetched, since sessions do not stand where the setting says."""
    result = pipeline.refresh(DAYS, settings={"session_day": "unplug_time"})
    assert any("EV_SESSIONS_SESSION_DAY" in failure for failure in failures(result))
    return result


def assert_all_kinds_of_files_were_read(places: Mapping[str, str]) -> None:
    """What was planted would have been seen: beside it stands what was not replaced."""
    for ending, text in (
        (".db", "STEP_FAILURE"),
        ("ev_sessions.duckdb", "malformed: "),
        (".parquet", "place_in_garage"),
    ):
        assert any(text in found for place, found in places.items() if place.endswith(ending)), ending


def told_in(text: str) -> list[str]:
    """The persons that `text` lets somebody know, spelt plainly or with JSON's escapes."""
    small = text.lower()
    return [trace for trace in TRACES if trace in small or json.dumps(trace)[1:-1].lower() in small]


def with_persons(record: Mapping[str, Any], needs: Sequence[str]) -> dict[str, Any]:
    """The record with a person in every field that is not among `needs`, and in fields that nobody knows."""
    fields = {name: record[name] if name in needs else person(place) for place, name in enumerate(record)}
    unknown = {
        "place_in_garage": 7,
        "remark": person(0),
        "nickname": "mustermann",
        "parts": [{"driver": person(1), "deeper": [[person(2)]]}, person(3)],
        person(4): {person(5): person(6)},
    }
    return fields | unknown


def broken(record: Mapping[str, Any], fields: Sequence[str]) -> list[Any]:
    """The record once for each of `fields` with a person in it, and persons in place of a record."""
    return [*({**record, name: person(place)} for place, name in enumerate(fields)), person(0), [person(1)]]


def broken_sessions(listing: Listing) -> Iterator[str]:
    """Records that cannot be typed, with persons in each of the API's fields and around them."""
    record = json.loads(body_of(listing))
    ids = ({"id": str(uuid5(listing.id, str(number)))} for number in count())
    for place, name in enumerate(SessionRecord.__struct_fields__[:-1]):
        for value in (person(place), {"driver": person(place), person(place): 1}, [person(place)]):
            if name != "session_outcome" or not isinstance(value, str):
                yield as_text(with_persons(record, SESSION_NEEDS) | next(ids) | {name: value})
                yield json.dumps(record | next(ids) | {name: value})
    for text in PERSONS:
        yield json.dumps(text)
        yield as_text({text: text})
        # Not JSON, and a field given twice.
        yield as_text(record | next(ids) | {"remark": text, "actual_cost_eur": float("nan")})
        yield as_text(record | next(ids))[:-1] + f', "is_at_home": {json.dumps(text)}}}'


def relisted(listing: Listing, body: str, *, well_formed: bool) -> Listing:
    """The session, listed from the same instant on as `body`."""
    version = Version(listing.versions[-1].since, body.encode(), well_formed)
    return replace(listing, versions=(version,))


def body_of(listing: Listing) -> bytes:
    """The form in which the session is listed."""
    return listing.versions[-1].body


def as_text(value: object) -> str:
    """JSON with its letters as they are."""
    return json.dumps(value, ensure_ascii=False)


def person(number: int) -> str:
    """One of the persons."""
    return PERSONS[number % len(PERSONS)]
