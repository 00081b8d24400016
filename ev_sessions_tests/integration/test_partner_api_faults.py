"""What goes wrong on the way: what is asked again, what is not, and what is said about it."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ev_sessions.errors import PermanentError, TransientError
from ev_sessions.partner_api import (
    ContractBroken,
    PartnerApi,
    RequestFailed,
    RequestRefused,
    RetryBudgetSpent,
    SessionAnswer,
    VehicleGone,
)
from ev_sessions.partner_api.retries import retry_after
from ev_sessions.sandbox import Kind, Quirks, Sandbox
from ev_sessions_tests.integration.partner_apis import (
    MONTH,
    NOW,
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
)

FAULTS = {
    "408": response(b"", 408),
    "429": response(b"", 429, Retry_After="0"),
    "500": response(b"", 500),
    "502, an HTML page": response(b"<html>Bad Gateway</html>", 502, Content_Type="text/html"),
    "503": response(b"", 503, Retry_After="0"),
    "504": response(b"", 504),
    "599": response(b"", 599),
    "a cut connection": b"",
    "half a header": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half a body": response(b'{"total": 0, "items": []}')[:-5],
    "no HTTP at all": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "a length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
    "an HTML page with status 200": response(b"<html>Maintenance</html>", Content_Type="text/html"),
    "an empty body": response(b""),
    "JSON cut short": response(b'{"total": 3, "items": [{"id": '),
    "an envelope without a total": response(b'{"items": []}'),
    "what claims to be gzip": response(b"plain", Content_Encoding="gzip"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_passing_fault_is_asked_about_again(fault: bytes) -> None:
    async with answering(in_turn(fault, page(1, 1))) as (server, url), client_for(url) as api:
        answer = await api.sessions(USER, VEHICLE, MONTH)
    assert (answer.total, answer.requests, answer.retries, answer.pages) == (1, 2, 1, 1)
    assert len(server.gets) == api.counts.requests == 2
    assert api.counts.retries == 1


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_that_stays_fails_in_one_line_after_the_last_attempt(fault: bytes) -> None:
    async with answering(in_turn(fault)) as (server, url), client_for(url) as api:
        with pytest.raises(RequestFailed, match=r"^the sessions of a vehicle: .* gave up after 2 attempts") as failed:
            await api.sessions(USER, VEHICLE, MONTH)
    assert isinstance(failed.value, TransientError)
    assert "\n" not in str(failed.value)
    assert (failed.value.requests, failed.value.retries) == (len(server.gets), 1) == (2, 1)


async def test_the_requests_of_the_pages_before_count_when_a_later_page_fails() -> None:
    async with answering(in_turn(page(2, 1), response(b"", 500))) as (server, url), client_for(url, page_size=1) as api:
        with pytest.raises(RequestFailed) as failed:
            await api.sessions(USER, VEHICLE, MONTH)
    assert (failed.value.requests, failed.value.retries) == (len(server.gets), 1) == (3, 1)
    assert api.counts.pages == 1


@pytest.mark.parametrize("status", [400, 402, 405, 406, 409, 418, 422, 451, 204, 206])
async def test_any_other_status_is_final_after_one_request(status: int) -> None:
    body = b"" if status == 204 else b"{}"
    async with answering(in_turn(response(body, status))) as (server, url), client_for(url) as api:
        with pytest.raises(RequestRefused, match=f"the API answers {status}") as refused:
            await api.sessions(USER, VEHICLE, MONTH)
    assert isinstance(refused.value, PermanentError)
    assert not isinstance(refused.value, VehicleGone)
    assert len(server.gets) == 1


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_vehicle_that_is_gone_is_its_own_outcome_and_not_the_others(status: int) -> None:
    with sandbox() as (served, url):
        gone, *others = served.truth.vehicle_ids()
        served.quirks[gone] = Quirks(status=status)
        async with client_of(served, url) as api:
            with pytest.raises(VehicleGone) as outcome:
                await api.sessions(served.truth.owner(gone), gone, MONTH)
            answers = [await api.sessions(served.truth.owner(vehicle), vehicle, MONTH) for vehicle in others]
        assert (outcome.value.status, outcome.value.requests, outcome.value.retries) == (status, 1, 0)
        assert all(answer.matches for answer in answers)


async def test_the_vehicles_of_a_user_who_is_gone_are_gone() -> None:
    with sandbox() as (served, url):
        async with client_of(served, url) as api:
            with pytest.raises(VehicleGone, match="the vehicles of a user: the API answers 404"):
                await api.vehicles(UUID(int=99))


async def test_a_redirect_is_not_followed_and_names_the_host() -> None:
    async with (
        answering(in_turn(response(b"", 302, Location="https://login.example/sso"))) as (server, url),
        client_for(url) as api,
    ):
        with pytest.raises(RequestRefused, match=r"answers 302 and points to login\.example, which is not followed"):
            await api.sessions(USER, VEHICLE, MONTH)
    assert len(server.gets) == 1


@pytest.mark.parametrize("body", [b"{}", b'{"items": []}', b"null", b"<html>", b""])
async def test_users_that_are_no_list_break_the_contract(body: bytes) -> None:
    async with answering(in_turn(response(body))) as (server, url), client_for(url) as api:
        with pytest.raises(ContractBroken, match="the organisation's users: the answer is not a list"):
            await api.users()
    assert len(server.gets) == 2


async def test_users_that_cannot_be_reached_do_not_break_the_contract() -> None:
    async with answering(in_turn(response(b"", 500))) as (_, url), client_for(url) as api:
        with pytest.raises(RequestFailed, match="the organisation's users: the API answers 500"):
            await api.users()


async def test_an_answer_that_does_not_come_in_time_is_asked_for_again() -> None:
    with sandbox() as (served, url):
        served.hang_next(1, seconds=60)
        vehicle = served.truth.vehicle_ids()[0]
        async with client_of(served, url, request_timeout_seconds=1) as api:
            answer = await api.sessions(served.truth.owner(vehicle), vehicle, MONTH)
        assert (answer.matches, answer.retries) == (True, 1)


async def test_a_body_that_drips_for_ever_is_cut_off_by_the_time_limit() -> None:
    hung_up = asyncio.Event()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while not writer.transport.is_closing():
                writer.write(b"1\r\n \r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        hung_up.set()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with client_for(url, request_timeout_seconds=0.3, max_attempts=1) as api:
        with pytest.raises(RequestFailed, match=r"no answer within 0\.3 s"):
            await api.vehicles(USER)
        await hung_up.wait()
    server.close()


async def test_a_host_that_refuses_connections_is_named_and_is_not_called_slow() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with client_for(f"http://127.0.0.1:{port}") as api:
            with pytest.raises(RequestFailed, match=f"127.0.0.1:{port}.*ConnectError") as failed:
                await api.users()
    assert "Timeout" not in str(failed.value)


async def test_compressed_answers_are_read() -> None:
    plain = page(1, 1).partition(b"\r\n\r\n")[2]
    async with (
        answering(in_turn(response(gzip.compress(plain), Content_Encoding="gzip"))) as (server, url),
        client_for(url) as api,
    ):
        assert (await api.sessions(USER, VEHICLE, MONTH)).total == 1
    assert "gzip" in server.gets[0].headers["accept-encoding"]


async def read_all(served: Sandbox, api: PartnerApi) -> list[object]:
    vehicles = served.truth.vehicle_ids()
    reads = (api.sessions(served.truth.owner(vehicle), vehicle, MONTH) for vehicle in vehicles)
    return await asyncio.gather(*reads, return_exceptions=True)


async def test_a_fleet_is_read_exactly_although_every_tenth_request_fails() -> None:
    with sandbox(vehicles=40, fail_rate=0.1, malformed_rate=0.02) as (served, url):
        async with client_of(served, url, page_size=20) as api:
            answers = await read_all(served, api)
        assert served.counts.faults > 0
        totals = served.truth.totals(MONTH.first, MONTH.last, NOW)
        complete = [answer for answer in answers if isinstance(answer, SessionAnswer)]
        assert len(complete) == 40
        assert sum(len(answer.sessions) for answer in complete) == totals.rows
        assert sum(len(answer.rejected) for answer in complete) == totals.malformed


async def test_where_nearly_everything_fails_the_budget_ends_it() -> None:
    with sandbox(vehicles=40) as (served, url):
        served.fail_next(10_000, kind=Kind.SESSIONS, status=500)
        async with client_of(served, url, retry_budget=10) as api:
            outcomes = await read_all(served, api)
            assert api.counts.retries <= 10 + api.counts.requests // 10
            assert served.counts.sessions == api.counts.requests <= 40 + 10 + 5
        assert {type(outcome) for outcome in outcomes} == {RetryBudgetSpent}
        assert "the API answers 500" in str(outcomes[0])


async def test_without_a_budget_every_tenth_request_may_still_be_repeated() -> None:
    async def answer(asked: Asked) -> bytes:
        return response(b"", 500) if asked is server.gets[-1] and len(server.gets) == 12 else page(0)

    async with answering(answer) as (server, url), client_for(url, retry_budget=0) as api:
        for _ in range(12):
            await api.sessions(USER, VEHICLE, MONTH)
    assert (api.counts.requests, api.counts.retries) == (13, 1)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 30 ", 30.0),
        ("121", 120.0),
        ("9" * 400, 120.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 120.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_seconds_or_as_a_date_and_bounded(header: str, seconds: float | None) -> None:
    assert retry_after(httpx.Headers([(b"retry-after", header.encode())])) == seconds


def test_a_date_to_retry_after_is_compared_with_the_clock() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    wait = retry_after(httpx.Headers({"retry-after": date}))
    assert wait is not None
    assert 0 < wait <= 60


async def test_the_lead_of_this_clock_is_told_by_the_date_of_the_last_answer() -> None:
    two_hours_ago = format_datetime(datetime.now(UTC) - timedelta(hours=2), usegmt=True)
    async with answering(in_turn(response(b"[]", Date=two_hours_ago), response(b"[]"))) as (_, url), client_for(url) as api:
        leads = [api.clock_lead]
        for _ in range(2):
            await api.users()
            leads.append(api.clock_lead)
    assert [lead and lead >= timedelta(hours=2) for lead in leads] == [None, True, None]


def test_without_the_header_no_time_is_named() -> None:
    assert retry_after(httpx.Headers({})) is None


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's side of TLS with a certificate for 127.0.0.1 that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "server.pem"
    file.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_a_certificate_that_nobody_vouches_for_is_not_accepted(tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def reach(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        writer.close()

    server = await asyncio.start_server(reach, "127.0.0.1", 0, ssl=self_signed(tmp_path))
    async with client_for(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as api:
        with pytest.raises(RequestFailed, match="CERTIFICATE_VERIFY_FAILED"):
            await api.users()
    server.close()
    assert not reached.is_set()


async def test_the_proxy_of_the_environment_is_used_but_never_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(in_turn(response(b"[]"))) as (proxy, proxy_url), answering(in_turn(response(b"[]"))) as (direct, url):
        for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", proxy_url)
        async with client_for(url) as api:
            await api.users()
        assert (len(direct.gets), len(proxy.asked)) == (1, 0)
        async with client_for("http://partner-api.example", allow_plain_http=True) as api:
            await api.users()
        assert [asked.target.startswith("http://partner-api.example/") for asked in proxy.asked] == [True, True]
        monkeypatch.setenv("no_proxy", "partner-api.example")
        async with client_for("http://partner-api.example", allow_plain_http=True, max_attempts=1) as api:
            with pytest.raises(RequestFailed, match=r"partner-api\.example"):
                await api.users()
