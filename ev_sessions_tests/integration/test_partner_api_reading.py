"""What the client reads: users, vehicles and sessions, complete and once, whatever the pages do meanwhile."""

from __future__ import annotations

import asyncio
import json
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from ev_sessions.partner_api import PartnerApi, RequestFailed, SessionAnswer, SessionRecord
from ev_sessions.sandbox import Breakage, Order, Quirks, Sandbox, broken_body
from ev_sessions_tests.integration.partner_apis import (
    MONTH,
    NOW,
    ORG,
    USER,
    VEHICLE,
    Answering,
    Asked,
    answering,
    client_for,
    client_of,
    in_turn,
    page,
    response,
    sandbox,
)

FIELDS = SessionRecord.__struct_fields__[:-1]


def truth_of(served: Sandbox, vehicle: UUID) -> list[dict[str, object]]:
    return [{name: row[name] for name in FIELDS} for row in served.truth.sessions(vehicle, MONTH.first, MONTH.last, NOW)]


def rows_of(answer: SessionAnswer) -> list[dict[str, object]]:
    return [{name: getattr(session, name) for name in FIELDS} for session in answer.sessions]


async def read(served: Sandbox, api: PartnerApi, vehicle: UUID) -> SessionAnswer:
    return await api.sessions(served.truth.owner(vehicle), vehicle, MONTH)


async def test_every_session_of_every_vehicle_arrives_as_the_truth_has_it() -> None:
    with sandbox(vehicles=20, malformed_rate=0.05) as (served, url):
        vehicles = served.truth.vehicle_ids()
        async with client_of(served, url) as api:
            answers = await asyncio.gather(*(read(served, api, vehicle) for vehicle in vehicles))
        for vehicle, answer in zip(vehicles, answers, strict=True):
            assert rows_of(answer) == truth_of(served, vehicle)
            malformed = served.truth.malformed(vehicle, MONTH.first, MONTH.last, NOW)
            assert [rejected.raw for rejected in answer.rejected] == [body.decode() for body in malformed]
            assert answer.total == len(answer.sessions) + len(answer.rejected)
            assert (answer.matches, answer.reads, answer.requests, answer.retries) == (True, 1, 1, 0)
        assert sum(len(answer.rejected) for answer in answers) > 0
        assert served.counts.sessions == len(vehicles)


async def test_users_are_read_with_or_without_those_who_were_deleted() -> None:
    with sandbox(vehicles=40, deleted_rate=0.5) as (served, url):
        async with client_of(served, url) as api:
            everyone, rejected = await api.users()
            present, _ = await api.users(include_deleted=False)
        assert rejected == []
        assert {str(user.id) for user in everyone} == {user["id"] for user in served.truth.users(NOW)}
        assert {user.id for user in present} == {user.id for user in everyone if user.deleted_at is None}
        assert len(present) < len(everyone)
        assert not any(value in repr(everyone) for value in served.truth.personal_values(NOW))


async def test_vehicles_are_read_with_their_zone_and_dates_and_nothing_personal() -> None:
    with sandbox(vehicles=9, vehicles_per_user=3, deleted_rate=0.5) as (served, url):
        users = [UUID(user["id"]) for user in served.truth.users(NOW)]
        async with client_of(served, url) as api:
            lists = [await api.vehicles(user) for user in users]
        vehicles = [vehicle for found, _ in lists for vehicle in found]
        assert {vehicle.id for vehicle in vehicles} == set(served.truth.vehicle_ids())
        assert not any(rejected for _, rejected in lists)
        assert all(served.truth.owner(vehicle.id) == vehicle.user_id for vehicle in vehicles)
        assert all(vehicle.price_zone and vehicle.created_at for vehicle in vehicles)
        assert any(vehicle.deleted_at for vehicle in vehicles)
        assert not any(value in repr(lists) for value in served.truth.personal_values(NOW))


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("page_size", [1, 7, 200])
async def test_the_size_of_a_page_changes_nothing_but_the_number_of_requests(order: Order, page_size: int) -> None:
    with sandbox(order=order) as (served, url):
        vehicle = served.truth.vehicle_ids()[0]
        truth = truth_of(served, vehicle)
        async with client_of(served, url, page_size=page_size) as api:
            answer = await read(served, api, vehicle)
            assert api.counts.pages == answer.pages
        assert sorted(rows_of(answer), key=lambda row: str(row["id"])) == sorted(truth, key=lambda row: str(row["id"]))
        assert answer.pages == answer.requests == -(-len(truth) // page_size) == served.counts.sessions


async def test_a_window_without_sessions_is_one_request() -> None:
    async with answering(in_turn(page(0))) as (server, url), client_for(url) as api:
        answer = await api.sessions(USER, VEHICLE, MONTH)
    assert (answer.sessions, answer.rejected, answer.total, answer.matches) == ([], [], 0, True)
    (asked,) = server.gets
    path = f"/api/partners/v2.0/org/{ORG}/users/{USER}/electric-vehicles/{VEHICLE}/sessions"
    assert asked.target == f"{path}?from=2026-06-01&to=2026-06-30&limit=200&offset=0"


@pytest.mark.parametrize("shift", ["insert", "remove"])
async def test_a_list_that_shifts_while_it_is_read_is_read_again(shift: Literal["insert", "remove"]) -> None:
    with sandbox() as (served, url):
        vehicle = served.truth.vehicle_ids()[0]
        served.quirks[vehicle] = Quirks(shift=shift)
        async with client_of(served, url, page_size=5) as api:
            answer = await read(served, api, vehicle)
        expected = [row for row in truth_of(served, vehicle) if row["id"] not in served.withdrawn]
        assert rows_of(answer) == expected
        assert (answer.matches, answer.reads) == (True, 2)


async def test_a_mismatch_that_is_the_same_on_three_reads_is_handed_over_as_one() -> None:
    with sandbox() as (served, url):
        vehicle = served.truth.vehicle_ids()[0]
        served.quirks[vehicle] = Quirks(total_offset=2)
        async with client_of(served, url) as api:
            answer = await read(served, api, vehicle)
        assert rows_of(answer) == truth_of(served, vehicle)
        assert answer.total == len(answer.sessions) + 2
        assert (answer.matches, answer.reads) == (False, 3)


async def test_records_that_are_no_json_cost_themselves_alone_and_are_counted() -> None:
    with sandbox() as (served, url):
        vehicle = served.truth.vehicle_ids()[0]
        broken = broken_body(UUID(int=9), 1_780_000_000, Breakage.NAN)
        served.quirks[vehicle] = Quirks(extra=(broken,))
        async with client_of(served, url) as api:
            answer = await read(served, api, vehicle)
        assert rows_of(answer) == truth_of(served, vehicle)
        (rejected,) = answer.rejected
        assert (rejected.raw, rejected.record_id) == (broken.decode(), str(UUID(int=9)))
        assert answer.matches


async def test_a_list_without_an_end_ends_as_a_failure() -> None:
    with sandbox() as (served, url):
        vehicle = served.truth.vehicle_ids()[0]
        served.quirks[vehicle] = Quirks(endless=True)
        async with client_of(served, url, page_size=5) as api:
            with pytest.raises(RequestFailed, match="changed during each of 3 reads") as failed:
                await read(served, api, vehicle)
        assert failed.value.requests == served.counts.sessions <= 6


async def read_scripted(answer: Answering, **config: object) -> tuple[SessionAnswer, list[int]]:
    """The answer about one vehicle of a scripted server, and the offsets that were asked for."""
    async with answering(answer) as (server, url), client_for(url, **config) as api:
        read = await api.sessions(USER, VEHICLE, MONTH)
    return read, [asked.offset for asked in server.gets]


def numbers(answer: SessionAnswer) -> list[int]:
    return [session.id.int for session in answer.sessions]


async def test_a_server_that_sends_shorter_pages_than_asked_for_is_read_to_its_end() -> None:
    answer, offsets = await read_scripted(in_turn(page(5, 1, 2), page(5, 3, 4), page(5, 5)))
    assert (numbers(answer), offsets, answer.matches) == ([1, 2, 3, 4, 5], [0, 2, 4], True)


async def test_records_that_repeat_on_the_next_page_count_once_and_the_list_is_read_again() -> None:
    script = in_turn(page(4, 1, 2), page(4, 2, 3), page(4, 1, 2), page(4, 3, 4))
    answer, offsets = await read_scripted(script, page_size=2)
    assert (numbers(answer), offsets) == ([1, 2, 3, 4], [0, 2, 0, 2])
    assert (answer.matches, answer.reads, answer.pages) == (True, 2, 4)


async def test_a_total_that_moves_between_pages_is_noticed_although_the_counts_agree() -> None:
    script = in_turn(page(4, 1, 2), page(3, 4), page(3, 1, 2, 4))
    answer, offsets = await read_scripted(script, page_size=2)
    assert (numbers(answer), offsets, answer.reads) == ([1, 2, 4], [0, 2, 0], 2)


async def test_an_empty_page_before_the_total_ends_a_read() -> None:
    answer, offsets = await read_scripted(in_turn(page(3, 1), page(3), page(3, 1), page(3), page(3, 1), page(3)), page_size=1)
    assert (numbers(answer), offsets, answer.matches) == ([1], [0, 1, 0, 1, 0, 1], False)


async def test_a_server_that_ignores_the_offset_is_not_asked_for_ever() -> None:
    answer, offsets = await read_scripted(in_turn(page(1_000, 1, 2)), page_size=2)
    assert (numbers(answer), offsets, answer.matches) == ([1, 2], [0, 2] * 3, False)


async def test_ever_new_records_end_with_the_pages_that_the_total_promised() -> None:
    async def one_more(asked: Asked) -> bytes:
        return page(50, *range(1, 11)) if asked.offset == 0 else page(50, asked.offset + 1)

    answer, offsets = await read_scripted(one_more)
    assert len(offsets) == 3 * 8
    assert not answer.matches


async def test_a_total_beyond_belief_is_not_believed() -> None:
    async with answering(in_turn(page(10**12, 1))) as (server, url), client_for(url) as api:
        with pytest.raises(RequestFailed, match="beyond belief"):
            await api.sessions(USER, VEHICLE, MONTH)
    assert len(server.gets) == 2


async def test_a_rejected_record_that_repeats_counts_once_too() -> None:
    broken = json.dumps({"id": str(UUID(int=7)), "plug_in_time": None})
    body = f'{{"total": 2, "items": [{broken}]}}'.encode()
    answer, _ = await read_scripted(in_turn(response(body)))
    assert len(answer.rejected) == 1
    assert (answer.total, answer.matches) == (2, False)


async def test_two_records_without_an_id_are_two_records() -> None:
    answer, _ = await read_scripted(in_turn(response(b'{"total": 2, "items": [null, null]}')))
    assert len(answer.rejected) == 2
    assert answer.matches


async def test_a_mismatch_that_is_another_one_at_every_read_is_a_failure_and_not_an_answer() -> None:
    async with (
        answering(in_turn(page(3, 1), page(3), page(3, 1, 2), page(3), page(3, 2), page(3))) as (server, url),
        client_for(url, page_size=2) as api,
    ):
        with pytest.raises(RequestFailed, match="changed during each of 3 reads") as failed:
            await api.sessions(USER, VEHICLE, MONTH)
    assert failed.value.requests == len(server.gets) == 6


async def test_of_two_versions_of_a_session_the_one_read_later_stays() -> None:
    def version(cost: str) -> str:
        return f'{{"id": "{UUID(int=1)}", "plug_in_time": "2026-06-01T12:00:00Z", "actual_cost_eur": {cost}}}'

    body = f'{{"total": 1, "items": [{version("1.0")}, {version("2.0")}]}}'.encode()
    answer, _ = await read_scripted(in_turn(response(body)))
    assert [str(session.actual_cost_eur) for session in answer.sessions] == ["2.000000"]
    assert answer.matches


async def test_nothing_but_get_and_the_token_post_is_ever_sent() -> None:
    async def answer(asked: Asked) -> bytes:
        return page(0) if urlsplit(asked.target).path.endswith("/sessions") else response(b"[]")

    async with answering(answer) as (server, url), client_for(url) as api:
        await api.users()
        await api.vehicles(USER)
        await api.sessions(USER, VEHICLE, MONTH)
    assert {(asked.method, asked.is_token) for asked in server.asked} == {("POST", True), ("GET", False)}
    assert (api.counts.requests, api.counts.token_requests) == (3, 1)
