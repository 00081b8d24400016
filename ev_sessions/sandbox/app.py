"""The simulated partner API over HTTP: the contract's routes, one handler each, and what they check."""

from __future__ import annotations

import base64
import binascii
from dataclasses import asdict
from datetime import UTC, datetime
from hmac import compare_digest
from uuid import UUID

import msgspec
from starlette.applications import Starlette
from starlette.routing import Route

from ev_sessions.days import DayRange, DayRangeError, parse_day
from ev_sessions.errors import PermanentError
from ev_sessions.sandbox.faults import Kind
from ev_sessions.sandbox.gate import OK, Call, Gate, Handler, RefusedError, Reply, json_reply
from ev_sessions.sandbox.options import SandboxOptions
from ev_sessions.sandbox.pages import sessions_page
from ev_sessions.sandbox.savings import PERIODS, organisation_savings, vehicle_savings
from ev_sessions.sandbox.state import UNAUTHORISED, SandboxState
from ev_sessions.sandbox.truth import Truth

BASE_PATH = "/api/partners/v2.0/org/{org_id}"
TOKEN_PATH = "/oauth2/token/"  # noqa: S105 - a path, not a password

_USER_PATH = BASE_PATH + "/users/{user_id}/electric-vehicles"
_VEHICLE_PATH = _USER_PATH + "/{vehicle_id}"
_MAX_LIMIT = 200
_DEFAULT_LIMIT = 50
_BAD_REQUEST, _FORBIDDEN, _NOT_FOUND, _UNPROCESSABLE = 400, 403, 404, 422


class Sandbox(SandboxState):
    """One simulated partner API. `app` is its ASGI application; `serving` and `serve_forever` put it on a port."""

    def __init__(self, options: SandboxOptions, truth: Truth | None = None) -> None:
        super().__init__(options, truth)
        self.app = build_app(self)


def build_app(state: SandboxState) -> Starlette:
    """The routes over `state`. `/_sandbox/...` steers the sandbox and is no part of the contract."""
    contract = {
        _VEHICLE_PATH + "/sessions": (Kind.SESSIONS, _sessions),
        _VEHICLE_PATH + "/sessions/current": (Kind.CURRENT, _current),
        _VEHICLE_PATH + "/savings": (Kind.SAVINGS, _vehicle_savings),
        _USER_PATH: (Kind.VEHICLES, _vehicles),
        BASE_PATH + "/users": (Kind.USERS, _users),
        BASE_PATH + "/devices/savings": (Kind.SAVINGS, _organisation_savings),
    }
    app = Starlette(
        routes=[
            *(
                Route(path, Gate(state, kind, _authorised(handler)), methods=["GET"])
                for path, (kind, handler) in contract.items()
            ),
            Route(TOKEN_PATH, Gate(state, Kind.TOKEN, _token), methods=["POST"]),
            Route("/_sandbox/counts", Gate(state, None, _counts), methods=["GET"]),
            Route("/_sandbox/totals", Gate(state, None, _totals), methods=["GET"]),
            Route("/_sandbox/clock", Gate(state, None, _clock), methods=["POST"]),
        ]
    )
    # The trailing slash of the token's path matters, as it does to the real API.
    app.router.redirect_slashes = False
    return app


def _authorised(handler: Handler) -> Handler:
    """The handler, behind the checks of the bearer token and of the organisation."""

    def checked(call: Call) -> Reply:
        scheme, _, token = call.authorization.partition(" ")
        if scheme != "Bearer" or not call.state.tokens.accepts(token):
            raise RefusedError(UNAUTHORISED, "the token is missing, expired or revoked")
        if _uuid(call.path["org_id"]) != call.state.org_id:
            raise RefusedError(_FORBIDDEN, "this client does not belong to the organisation")
        return handler(call)

    return checked


def _token(call: Call) -> Reply:
    credentials = f"{call.state.client_id}:{call.state.client_secret}"
    if not compare_digest(_basic(call.authorization), credentials.encode()):
        return json_reply({"error": "invalid_client"}, UNAUTHORISED)
    if _json_body(call).get("grant_type") != "client_credentials":
        return json_reply({"error": "unsupported_grant_type"}, _BAD_REQUEST)
    token = {
        "access_token": call.state.tokens.issue(),
        "expires_in": call.state.options.token_ttl,
        "token_type": "Bearer",
        "scope": "read write",
    }
    return json_reply(token)


def _users(call: Call) -> Reply:
    wanted = call.query.get("include_deleted", "false").lower()
    if wanted not in {"true", "false"}:
        raise RefusedError(_UNPROCESSABLE, "include_deleted is neither true nor false")
    users = call.state.truth.users(call.state.now)
    return json_reply([user for user in users if wanted == "true" or user["deleted_at"] is None])


def _vehicles(call: Call) -> Reply:
    try:
        return json_reply(call.state.truth.vehicles(_uuid(call.path["user_id"]), call.state.now))
    except KeyError:
        raise RefusedError(_NOT_FOUND, "no such user") from None


def _sessions(call: Call) -> Reply:
    vehicle = _owned_vehicle(call)
    limit = _number(call, "limit", _DEFAULT_LIMIT, 1, _MAX_LIMIT)
    offset = _number(call, "offset", 0, 0, None)
    return Reply(OK, sessions_page(call.state, vehicle, _window(call), limit, offset))


def _current(call: Call) -> Reply:
    session = call.state.truth.running(_owned_vehicle(call), call.state.now)
    return Reply(OK, b'{"session":' + (session or b"null") + b"}")


def _vehicle_savings(call: Call) -> Reply:
    vehicle, resolution = _owned_vehicle(call), call.query.get("resolution", "1MONTH")
    if resolution not in PERIODS:
        raise RefusedError(_UNPROCESSABLE, f"resolution is {resolution!r}, not one of {', '.join(PERIODS)}")
    return json_reply(vehicle_savings(call.state, vehicle, _window(call), resolution))


def _organisation_savings(call: Call) -> Reply:
    """The sums from the first to before the last instant; the sandbox knows whole UTC days alone."""
    first, end = _instant(call, "start_datetime"), _instant(call, "end_datetime")
    if end <= first:
        raise RefusedError(_UNPROCESSABLE, "end_datetime does not lie after start_datetime")
    return json_reply(organisation_savings(call.state, DayRange(first.date(), (end - datetime.resolution).date())))


def _counts(call: Call) -> Reply:
    return json_reply(call.state.counts.as_dict())


def _totals(call: Call) -> Reply:
    window = _window(call)
    totals = call.state.truth.totals(window.first, window.last, call.state.now, call.state.options.session_day)
    return json_reply(asdict(totals))


def _clock(call: Call) -> Reply:
    try:
        call.state.now = datetime.fromisoformat(str(_json_body(call).get("now")))
    except (ValueError, PermanentError):
        raise RefusedError(_UNPROCESSABLE, "now is no instant with a time zone") from None
    return json_reply({"now": call.state.now})


def _owned_vehicle(call: Call) -> UUID:
    """The vehicle of the path, which belongs to the user of the path and has been added by now."""
    vehicle, user = _uuid(call.path["vehicle_id"]), _uuid(call.path["user_id"])
    quirks = call.state.quirks.get(vehicle)
    if quirks is not None and quirks.status is not None:
        raise RefusedError(quirks.status, "sandbox quirk")
    try:
        owner = call.state.truth.owner(vehicle)
    except KeyError:
        owner = None
    if owner != user:
        raise RefusedError(_NOT_FOUND, "the user has no such vehicle")
    return vehicle


def _window(call: Call) -> DayRange:
    try:
        return DayRange(parse_day(call.query["from"]), parse_day(call.query["to"]))
    except KeyError as missing:
        raise RefusedError(_UNPROCESSABLE, f"{missing} is required") from None
    except DayRangeError as error:
        raise RefusedError(_UNPROCESSABLE, str(error)) from None


def _instant(call: Call, name: str) -> datetime:
    try:
        return datetime.fromisoformat(call.query[name]).astimezone(UTC)
    except KeyError:
        raise RefusedError(_UNPROCESSABLE, f"{name} is required") from None
    except ValueError:
        raise RefusedError(_UNPROCESSABLE, f"{name} is no instant") from None


def _number(call: Call, name: str, default: int, least: int, most: int | None) -> int:
    text = call.query.get(name, str(default))
    if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
        raise RefusedError(_UNPROCESSABLE, f"{name} is {text!r}, outside {least}..{most or ''}")
    return int(text)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise RefusedError(_NOT_FOUND, f"{text!r} is no id") from None


def _basic(authorization: str) -> bytes:
    scheme, _, encoded = authorization.partition(" ")
    try:
        return base64.b64decode(encoded, validate=True) if scheme == "Basic" else b""
    except binascii.Error:
        return b""


def _json_body(call: Call) -> dict[str, object]:
    try:
        return msgspec.json.decode(call.body, type=dict[str, object])
    except msgspec.MsgspecError:
        raise RefusedError(_BAD_REQUEST, "the body is no JSON object") from None
