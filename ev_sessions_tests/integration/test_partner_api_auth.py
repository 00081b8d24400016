"""Who asks: one token for all, renewed in time, and credentials that are refused once and for all."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from ev_sessions.partner_api import (
    BearerToken,
    ClientCredentials,
    ContractBroken,
    CredentialsRefused,
    NotPermitted,
    OrganisationNotFound,
    PartnerApi,
    RequestFailed,
    SessionAnswer,
)
from ev_sessions.sandbox import Kind, Sandbox
from ev_sessions_tests.integration.partner_apis import (
    MONTH,
    ORG,
    SECRET,
    USER,
    VEHICLE,
    Asked,
    answering,
    client_for,
    client_of,
    in_turn,
    page,
    response,
    sandbox,
    token,
)


async def read_all(served: Sandbox, api: PartnerApi) -> list[object]:
    """The answers, or the errors, for every vehicle at once."""
    vehicles = served.truth.vehicle_ids()
    reads = (api.sessions(served.truth.owner(vehicle), vehicle, MONTH) for vehicle in vehicles)
    return await asyncio.gather(*reads, return_exceptions=True)


def no_errors(answers: list[object]) -> bool:
    return not any(isinstance(answer, BaseException) for answer in answers)


async def test_one_token_is_asked_for_however_many_workers_wait() -> None:
    with sandbox(vehicles=40) as (served, url):
        async with client_of(served, url) as api:
            assert no_errors(await read_all(served, api))
            assert no_errors(await read_all(served, api))
            assert api.counts.token_requests == 1
        assert (served.counts.token, served.counts.unauthorised) == (1, 0)


async def test_a_token_is_renewed_before_it_expires() -> None:
    with sandbox(token_ttl=4) as (served, url):
        async with client_of(served, url, max_requests_per_second=20) as api:
            while served.counts.token < 2:
                assert no_errors(await read_all(served, api))
        assert served.counts.unauthorised == 0


async def test_a_revoked_token_is_replaced_once_and_nothing_is_lost() -> None:
    with sandbox(vehicles=40) as (served, url):
        served.at_request(15, served.revoke_tokens)
        async with client_of(served, url, max_concurrency=20) as api:
            answers = await read_all(served, api)
            assert no_errors(answers)
        assert served.counts.unauthorised >= 1
        assert served.counts.token == 2
        assert served.counts.sessions == 40 + served.counts.unauthorised
        assert sum(answer.requests for answer in answers if isinstance(answer, SessionAnswer)) == served.counts.sessions


async def test_a_fresh_token_that_is_not_accepted_either_ends_in_one_clear_line() -> None:
    async with answering(in_turn(response(b"{}", 401))) as (server, url), client_for(url) as api:
        with pytest.raises(CredentialsRefused, match="not even a fresh one") as refused:
            await api.users()
    assert [asked.headers["authorization"] for asked in server.gets] == ["Bearer token-1", "Bearer token-2"]
    assert len(server.tokens) == 2
    assert "\n" not in str(refused.value)
    assert "token-" not in str(refused.value)


async def test_wrong_credentials_are_tried_once_whoever_asks_and_however_often() -> None:
    with sandbox(vehicles=30) as (served, url):
        wrong = ClientCredentials(served.client_id, SECRET)
        async with client_of(served, url, credentials=wrong) as api:
            first, second = await read_all(served, api), await read_all(served, api)
        assert {type(error) for error in first + second} == {CredentialsRefused}
        assert (served.counts.token, served.counts.total) == (1, 1)


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_refused_credentials_are_told_without_the_secret(status: int) -> None:
    async with (
        answering(in_turn(response(SECRET.encode(), status)), answers_tokens=True) as (server, url),
        client_for(url) as api,
    ):
        with pytest.raises(CredentialsRefused, match=f"refuses the client id and secret .status {status}.") as refused:
            await api.users()
    story = "".join(traceback.format_exception(refused.value))
    assert SECRET not in story
    assert "an-id" not in str(refused.value)
    assert len(server.asked) == 1


def test_secrets_are_in_no_representation() -> None:
    api = client_for("http://127.0.0.1:1")
    assert SECRET not in repr(ClientCredentials("an-id", SECRET)) + repr(BearerToken(SECRET)) + repr(vars(api))


async def test_the_token_is_asked_for_as_the_contract_says() -> None:
    async with answering(in_turn(response(b"[]"))) as (server, url), client_for(url) as api:
        await api.users()
    (asked,) = server.tokens
    assert (asked.method, asked.target) == ("POST", "/oauth2/token/")
    assert asked.headers["authorization"] == "Basic YW4taWQ6YS1zZWNyZXQtdGhhdC1ub2JvZHktbWF5LXNlZQ=="
    assert asked.headers["content-type"] == "application/json"


async def test_faults_of_the_token_endpoint_are_asked_about_again() -> None:
    with sandbox() as (served, url):
        served.fail_next(1, kind=Kind.TOKEN, status=500)
        served.cut_next(1, kind=Kind.TOKEN)
        async with client_of(served, url) as api:
            assert no_errors(await read_all(served, api))
        assert served.counts.token == 3


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{}",
        b'{"access_token": "t"}',
        b'{"access_token": "", "expires_in": 60}',
        b'{"access_token": "two words", "expires_in": 60}',
        b'{"access_token": "t\\r\\nX-Evil: 1", "expires_in": 60}',
        b'{"access_token": "t", "expires_in": 0}',
        b'{"access_token": "t", "expires_in": -5}',
        b'{"access_token": "t", "expires_in": "60"}',
        b'{"access_token": 5, "expires_in": 60}',
    ],
)
async def test_an_answer_without_a_usable_token_is_asked_for_again_and_then_fails(body: bytes) -> None:
    async with answering(in_turn(response(body)), answers_tokens=True) as (server, url), client_for(url) as api:
        with pytest.raises(ContractBroken, match="access_token"):
            await api.users()
    assert len(server.tokens) == len(server.asked) == 2


async def test_a_failed_token_request_fails_everyone_who_waited_for_it_at_once() -> None:
    async with answering(in_turn(response(b"", 500)), answers_tokens=True) as (server, url), client_for(url) as api:
        failures = await asyncio.gather(*(api.vehicles(USER) for _ in range(20)), return_exceptions=True)
    assert {type(failure) for failure in failures} == {RequestFailed}
    assert len(server.asked) == 2


async def test_a_worker_that_gives_up_does_not_take_the_token_from_the_others() -> None:
    asked_for_token, may_answer = asyncio.Event(), asyncio.Event()

    async def answer(asked: Asked) -> bytes:
        if not asked.is_token:
            return page(0)
        asked_for_token.set()
        await may_answer.wait()
        return token("token")

    async with answering(answer, answers_tokens=True) as (server, url), client_for(url) as api:
        impatient, patient = (asyncio.create_task(api.sessions(USER, VEHICLE, MONTH)) for _ in range(2))
        await asked_for_token.wait()
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        may_answer.set()
        assert (await patient).total == 0
    assert len(server.tokens) == 1


async def test_a_static_token_is_sent_as_it_is_and_no_other_is_asked_for() -> None:
    async with (
        answering(in_turn(response(b"[]"))) as (server, url),
        client_for(url, credentials=BearerToken("given-from-outside")) as api,
    ):
        await api.users()
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer given-from-outside"]


async def test_a_static_token_that_is_not_accepted_is_refused_after_one_request() -> None:
    with sandbox() as (served, url):
        async with client_of(served, url, credentials=BearerToken(SECRET)) as api:
            with pytest.raises(CredentialsRefused) as refused:
                await api.users()
        assert served.counts.total == 1
        assert SECRET not in str(refused.value)


async def test_an_organisation_of_somebody_else_is_told_from_one_that_is_unknown() -> None:
    with sandbox() as (served, url):
        async with client_of(served, url, org_id=ORG) as api:
            with pytest.raises(NotPermitted, match="organisation's users: the API answers 403"):
                await api.users()
    async with answering(in_turn(response(b"{}", 404))) as (_, url), client_for(url) as api:
        with pytest.raises(OrganisationNotFound, match="check the organisation's id"):
            await api.users()


async def test_a_host_without_a_token_endpoint_is_named_as_that() -> None:
    async with answering(in_turn(response(b"", 404)), answers_tokens=True) as (_, url), client_for(url) as api:
        with pytest.raises(ContractBroken, match="the access token: the API answers 404.*; check the base url"):
            await api.vehicles(USER)
