"""What the client has to be told, and the one place where it is validated."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from ipaddress import ip_address
from uuid import UUID

import httpx

from ev_sessions.partner_api.errors import ConfigError

API_PATH = "/api/partners/v2.0"
_LARGEST_PAGE = 200


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """OAuth2 client credentials (secret)."""

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)

    def __post_init__(self) -> None:
        _require("client_id", "not empty and without a colon", bool(self.client_id) and ":" not in self.client_id)
        _require("client_secret", "not empty", bool(self.client_secret))


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token that somebody else obtained and renews (secret)."""

    token: str = field(repr=False)

    def __post_init__(self) -> None:
        _require("token", "not empty, in printable ASCII without spaces", is_header_safe(self.token))


@dataclass(frozen=True, slots=True)
class PartnerApiConfig:
    """Where the API is, who asks, and how fast.

    `base_url` is the root of the host, such as https://app.podero.com; plain http is for this machine alone unless
    `allow_plain_http`.
    `max_requests_per_second` of 0 means no ceiling. `request_timeout_seconds` limits one attempt at one request, of which there
    are `max_attempts`. `retry_budget` retries are allowed in all, plus one for every ten requests.

    Raises:
        ConfigError: a field outside its range; no message repeats a secret.
    """

    base_url: str
    org_id: UUID
    credentials: ClientCredentials | BearerToken
    max_requests_per_second: float = 50.0
    max_concurrency: int = 50
    page_size: int = _LARGEST_PAGE
    request_timeout_seconds: float = 30.0
    max_attempts: int = 6
    retry_budget: int = 1000
    allow_plain_http: bool = False

    def __post_init__(self) -> None:
        _require_root(self.base_url, allow_plain_http=self.allow_plain_http)
        _require("org_id", "a UUID", isinstance(self.org_id, UUID))
        rate, timeout = self.max_requests_per_second, self.request_timeout_seconds
        _require("max_requests_per_second", "0 (no ceiling) or more requests/s", math.isfinite(rate) and rate >= 0)
        _require("max_concurrency", "1 or more", self.max_concurrency >= 1)
        _require("page_size", f"1 to {_LARGEST_PAGE}", 1 <= self.page_size <= _LARGEST_PAGE)
        _require("request_timeout_seconds", "more than 0 seconds", math.isfinite(timeout) and timeout > 0)
        _require("max_attempts", "1 or more", self.max_attempts >= 1)
        _require("retry_budget", "0 or more", self.retry_budget >= 0)

    @property
    def root(self) -> str:
        """`base_url` without a slash at its end."""
        return self.base_url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_header_safe(token: str) -> bool:
    """Whether `token` can stand in an Authorization header."""
    return token.isascii() and token.isprintable() and " " not in token and bool(token)


def _require(name: str, expected: str, holds: bool) -> None:  # noqa: FBT001 - the condition is the point
    if not holds:
        raise ConfigError(name, f"cannot be used; expected: {expected}")


def _require_root(base_url: str, *, allow_plain_http: bool) -> None:
    example = "the root of a host, such as https://app.podero.com"
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, TypeError):
        raise ConfigError("base_url", f"cannot be used; expected: {example}") from None
    _require("base_url", example, url.scheme in {"http", "https"} and bool(url.host))
    _require("base_url", f"{example}, without user, query or fragment", not (url.userinfo or url.query or url.fragment))
    _require("base_url", f"{example}, without {API_PATH}", API_PATH.rpartition("/")[0] not in url.path)
    if url.scheme == "http" and not (allow_plain_http or is_loopback(url.host)):
        raise ConfigError("base_url", f"is plain http to {url.host}, which would show the credentials to the network; use https")
