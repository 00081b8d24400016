"""What `ev-sessions doctor` asks the partner API: a token, the users, a few vehicles, one of their lists, and the time of day.

Takes fewer than ten requests, unless some have to be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import msgspec

from ev_sessions.cli.examine import Finding, State
from ev_sessions.days import ONE_DAY, DayRange
from ev_sessions.errors import EvSessionsError
from ev_sessions.ingest.fleet import BadFleetFile, read_vehicle_pairs
from ev_sessions.ingest.placement import Place, place
from ev_sessions.ingest.sample import VehicleKey, customers_first, sample_vehicles
from ev_sessions.partner_api import (
    BearerToken,
    CredentialsRefused,
    PartnerApi,
    PartnerApiConfig,
    RequestFailed,
    SessionAnswer,
    User,
    VehicleGone,
)
from ev_sessions.settings import SessionDay, Settings

# Whoever asks a doctor wants to hear of a failure, not to wait for it to pass.
_MOST_ATTEMPTS = 2
_MOST_USERS = 4
_MOST_VEHICLES = 3
_LARGEST_CLOCK_DIFFERENCE = timedelta(seconds=60)

CHECKS = ("token", "organisation", "fleet", "sessions", "clock")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which sessions are asked for: of the vehicles in a fleet file (None: of a few users), of `days`, under a rule."""

    fleet_file: Path | None
    days: DayRange
    session_day: SessionDay

    @classmethod
    def recently(cls, settings: Settings, today: date) -> Asked:
        """The days that the daily refresh reads on the UTC day `today`."""
        return cls(settings.fleet_file, DayRange.trailing(today - ONE_DAY, settings.lookback_days + 1), settings.session_day)


def not_asked(reason: str) -> list[Finding]:
    """The findings where nothing can be asked."""
    return [Finding(check, State.SKIPPED, reason) for check in CHECKS]


async def examine_api(config: PartnerApiConfig, asked: Asked) -> list[Finding]:
    """One finding for each of `CHECKS`, in their order; what depends on something that failed is skipped."""
    async with PartnerApi(replace(config, max_attempts=min(config.max_attempts, _MOST_ATTEMPTS))) as api:
        token, organisation, users = await _organisation(api, config)
        if token.state is State.PROBLEM:
            fleet, sessions = (Finding(check, State.SKIPPED, "needs a token") for check in ("fleet", "sessions"))
        else:
            fleet, vehicles = await _fleet(api, asked.fleet_file, users)
            sessions = await _sessions(api, asked, vehicles)
        return [token, organisation, fleet, sessions, _clock(api)]


async def _organisation(api: PartnerApi, config: PartnerApiConfig) -> tuple[Finding, Finding, list[User]]:
    """What asking for the users tells of the token and of the organisation."""
    static = isinstance(config.credentials, BearerToken)
    token = Finding(
        "token", State.OK, "the one that is set is used" if static else "the API gives one for the client id and secret"
    )
    try:
        users, rejected = await api.users(include_deleted=False)
    except EvSessionsError as error:
        if isinstance(error, CredentialsRefused) or not api.counts.requests:
            return Finding.of_error("token", error), Finding("organisation", State.SKIPPED, "needs a token"), []
        return token, Finding.of_error("organisation", error), []
    if not users:
        text = f"{config.org_id} lists no user that can be read; check that this is the organisation"
        return token, Finding("organisation", State.PROBLEM, text), []
    told = f", {len(rejected)} records that do not fit" if rejected else ""
    return token, Finding("organisation", State.OK, f"{config.org_id}: {len(users)} users{told}"), users


async def _fleet(api: PartnerApi, fleet_file: Path | None, users: Sequence[User]) -> tuple[Finding, list[VehicleKey]]:
    """A few vehicles, and where they come from."""
    if fleet_file is not None:
        try:
            vehicles = read_vehicle_pairs(fleet_file)
        except BadFleetFile as error:
            return Finding.of_error("fleet", error), []
        return Finding("fleet", State.OK, f"{fleet_file} names {len(vehicles)} vehicles"), vehicles[:_MOST_VEHICLES]
    if not users:
        return Finding("fleet", State.SKIPPED, "needs the organisation's users"), []
    asked = customers_first(users)[:_MOST_USERS]
    try:
        vehicles = await sample_vehicles(api, asked, enough=_MOST_VEHICLES)
    except EvSessionsError as error:
        return Finding.of_error("fleet", error), []
    return Finding("fleet", State.OK, f"{len(vehicles)} vehicles found with the first users"), vehicles


async def _sessions(api: PartnerApi, asked: Asked, vehicles: Sequence[VehicleKey]) -> Finding:
    """The sessions of the first of `vehicles` that has any."""
    if not vehicles:
        return Finding("sessions", State.SKIPPED, "needs a vehicle")
    finding = Finding("sessions", State.OK, f"{len(vehicles)} vehicles have none from {asked.days.first} to {asked.days.last}")
    for vehicle in vehicles:
        try:
            answer = await api.sessions(*vehicle, asked.days)
        except (VehicleGone, RequestFailed) as error:
            finding = Finding.of_error("sessions", error)
            continue
        except EvSessionsError as error:
            return Finding.of_error("sessions", error)
        if answer.total:
            return _judged(answer, asked)
    return finding


def _judged(answer: SessionAnswer, asked: Asked) -> Finding:
    outside = sum(place(session, asked.days, asked.session_day) is Place.OUTSIDE for session in answer.sessions)
    if outside:
        text = (
            f"{outside} of {len(answer.sessions)} sessions lie outside the days asked for, if the API filters on "
            f"{asked.session_day}; run `ev-sessions doctor --probe`"
        )
        return Finding("sessions", State.PROBLEM, text)
    if not answer.sessions:
        text = (
            f"none of {answer.total} records can be read: {answer.rejected[0].reason}"
            if answer.rejected
            else "the list is empty, but its total is not"
        )
        return Finding("sessions", State.PROBLEM, f"{text}; ask the API's maker")
    unknown = sorted({name for session in answer.sessions if session.extra for name in msgspec.json.decode(session.extra)})
    outcomes = sorted({session.session_outcome or "none" for session in answer.sessions})
    return Finding(
        "sessions",
        State.OK,
        f"{len(answer.sessions)} of one vehicle from {asked.days.first} to {asked.days.last}, "
        f"{len(answer.rejected)} records that do not fit; fields not known here: {', '.join(unknown) or 'none'}; "
        f"outcomes: {', '.join(outcomes)}",
    )


def _clock(api: PartnerApi) -> Finding:
    lead = api.clock_lead
    if lead is None:
        return Finding("clock", State.SKIPPED, "the API did not tell its time")
    seconds = f"{abs(lead.total_seconds()):.0f} s"
    if abs(lead) > _LARGEST_CLOCK_DIFFERENCE:
        side = "ahead of" if lead > timedelta(0) else "behind"
        return Finding(
            "clock", State.PROBLEM, f"this machine's is {seconds} {side} the API's; set it right, for example with NTP"
        )
    return Finding("clock", State.OK, f"within {seconds} of the API's")
