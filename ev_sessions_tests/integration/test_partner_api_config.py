"""What the client can be told, and how it says what it cannot use."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

import pytest

from ev_sessions.errors import PermanentError
from ev_sessions.partner_api import BearerToken, ClientCredentials, ConfigError, PartnerApiConfig
from ev_sessions_tests.integration.partner_apis import MONTH, ORG, SECRET, USER, client_for


def config(**fields: Any) -> PartnerApiConfig:  # noqa: ANN401 - fields of all types
    defaults = {"base_url": "https://app.podero.com", "org_id": ORG, "credentials": ClientCredentials("an-id", SECRET)}
    return PartnerApiConfig(**{**defaults, **fields})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_url", ""),
        ("base_url", "app.podero.com"),
        ("base_url", "ftp://app.podero.com"),
        ("base_url", "https://"),
        ("base_url", "https://user:password@app.podero.com"),
        ("base_url", "https://app.podero.com?a=1"),
        ("base_url", "https://app.podero.com/#top"),
        ("base_url", "https://app.podero.com/api/partners/v2.0"),
        ("base_url", "https://app.podero.com:port"),
        ("base_url", None),
        ("base_url", "http://app.podero.com"),
        ("base_url", "http://127.0.0.1.example"),
        ("base_url", "http://localhost.example"),
        ("org_id", "../../users"),
        ("max_requests_per_second", -1),
        ("max_requests_per_second", float("nan")),
        ("max_requests_per_second", float("inf")),
        ("max_concurrency", 0),
        ("page_size", 0),
        ("page_size", 201),
        ("request_timeout_seconds", 0),
        ("request_timeout_seconds", float("inf")),
        ("max_attempts", 0),
        ("retry_budget", -1),
    ],
)
def test_a_field_that_cannot_be_used_is_named_in_one_line(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name) as refused:
        config(**{name: value})
    assert isinstance(refused.value, PermanentError)
    assert "\n" not in str(refused.value)
    assert "password" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://app.podero.com",
        "https://app.podero.com/",
        "https://gateway.example/podero",
        "http://127.0.0.1:8000",
        "http://127.8.9.10",
        "http://localhost:8000",
        "http://[::1]:8000",
    ],
)
def test_https_anywhere_and_plain_http_on_this_machine_can_be_used(url: str) -> None:
    assert config(base_url=url).root == url.rstrip("/")


def test_plain_http_to_another_machine_needs_to_be_allowed() -> None:
    assert config(base_url="http://partner-api.internal", allow_plain_http=True).root == "http://partner-api.internal"


@pytest.mark.parametrize(("client_id", "secret"), [("", SECRET), ("an-id", ""), ("an:id", SECRET)])
def test_credentials_that_cannot_be_sent_are_refused_without_being_repeated(client_id: str, secret: str) -> None:
    with pytest.raises(ConfigError, match="client_") as refused:
        ClientCredentials(client_id, secret)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "tökén", f"{SECRET}\r\nX: y"])
def test_a_token_that_no_header_can_hold_is_refused_without_being_repeated(token: str) -> None:
    with pytest.raises(ConfigError, match="token") as refused:
        BearerToken(token)
    assert SECRET not in str(refused.value)


async def test_an_id_that_is_no_uuid_reaches_no_path() -> None:
    path = cast("UUID", "../../../oauth2/token")
    async with client_for("http://127.0.0.1:1") as api:
        with pytest.raises(ConfigError, match="expected: a UUID"):
            await api.vehicles(path)
        with pytest.raises(ConfigError, match="expected: a UUID"):
            await api.sessions(USER, path, MONTH)
    assert api.counts.requests == api.counts.token_requests == 0
