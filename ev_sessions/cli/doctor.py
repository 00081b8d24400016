"""`ev-sessions doctor` and `ev-sessions doctor --probe`: runs the checks one after the other and draws what they find."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

from rich.console import Console
from rich.text import Text

from ev_sessions.cli.examine import (
    ExaminedSettings,
    Finding,
    State,
    examine_database,
    examine_history,
    examine_limits,
    examine_rules,
    examine_settings,
    examine_storage,
    examine_unattended,
    examine_versions,
)
from ev_sessions.cli.examine_api import Asked, examine_api, not_asked
from ev_sessions.days import ONE_DAY, DayRange, utc_today
from ev_sessions.errors import EvSessionsError
from ev_sessions.ingest.fleet import read_vehicle_pairs
from ev_sessions.ingest.probe import Probed, probe
from ev_sessions.ingest.sample import VehicleKey, customers_first, sample_vehicles
from ev_sessions.partner_api import PartnerApi, PartnerApiConfig
from ev_sessions.resources import PartnerApiResource
from ev_sessions.settings import Settings, SettingsError, variable

_STYLES = {State.OK: "green", State.PROBLEM: "bold red", State.SKIPPED: "yellow"}

# Long enough for sessions over midnight, short enough for a page or two of each vehicle.
_PROBED_DAYS = 60
_MOST_PROBED_VEHICLES = 8
_FAR_AHEAD = timedelta(days=30)


class ProblemsFound(EvSessionsError):
    """The doctor found something that has to be mended."""


class ProbeUndecided(EvSessionsError):
    """The probe cannot say what the API filters on."""


def show_examination(environ: Mapping[str, str]) -> None:
    """Check everything, each check told in one line; nothing is changed. `environ` is this process's environment.

    Raises:
        SettingsError: settings are malformed.
        ProblemsFound: anything else is wrong.
    """
    console = Console(highlight=False)
    examined = examine_settings(environ)
    for setting in examined.in_effect:
        console.print(Text(f"{setting.variable} = {setting.value}  ({setting.source})"), style="dim", soft_wrap=True)
    problems: list[Finding] = []
    for finding in _examination(examined, environ):
        line = Text.assemble((f"{finding.state:<9}", _STYLES[finding.state]), f"{finding.check:<14}{finding.text}")
        console.print(line, soft_wrap=True)
        if finding.state is State.PROBLEM:
            problems.append(finding)
    if examined.malformed:
        raise SettingsError(f"malformed: {', '.join(examined.malformed)}; what is expected stands above")
    if problems:
        checks = ", ".join(dict.fromkeys(finding.check for finding in problems))
        raise ProblemsFound(f"there are problems with: {checks}; what to do stands above")


def show_probe(environ: Mapping[str, str]) -> None:
    """Find out what the API's `from` and `to` filter on, and print the setting to export; the rest are comments of a shell.

    Raises:
        SettingsError: settings are malformed or missing.
        ProbeUndecided: it cannot be said; the message tells why.
        PartnerApiError: the API cannot be asked.
    """
    settings = Settings.from_env(environ)
    config = PartnerApiResource.outside_dagster(settings, environ).client_config()
    probed = asyncio.run(_probe(config, settings, utc_today(datetime.now(UTC))))
    console = Console(highlight=False)
    for line in _probe_lines(probed):
        console.print(Text(f"# {line}"), style="dim", soft_wrap=True)
    if probed.verdict.session_day is None:
        raise ProbeUndecided(f"undecided what the API's from and to filter on: {probed.verdict.reason}")
    console.print(Text(f"export {variable('session_day')}={probed.verdict.session_day}"), soft_wrap=True)


def _examination(examined: ExaminedSettings, environ: Mapping[str, str]) -> Iterator[Finding]:
    yield from examined.findings()
    yield examine_limits(examined.settings)
    yield examine_versions()
    *about_api, clock = _about_api(examined, environ)
    yield from about_api
    yield examine_database(examined.settings)
    yield examine_rules(examined.settings)
    yield examine_history(examined.settings)
    yield from examine_storage(examined.settings)
    yield examine_unattended(examined.settings)
    yield clock


def _about_api(examined: ExaminedSettings, environ: Mapping[str, str]) -> list[Finding]:
    if examined.malformed:
        return not_asked("needs settings that are not malformed")
    try:
        config = PartnerApiResource.outside_dagster(examined.settings, environ).client_config()
    except EvSessionsError as error:
        return [Finding.of_error("token", error), *not_asked("needs a token")[1:]]
    return asyncio.run(examine_api(config, Asked.recently(examined.settings, utc_today(datetime.now(UTC)))))


async def _probe(config: PartnerApiConfig, settings: Settings, today: date) -> Probed:
    yesterday = today - ONE_DAY
    async with PartnerApi(config) as api:
        return await probe(
            api,
            await _vehicles(api, settings),
            recent=DayRange.trailing(yesterday, _PROBED_DAYS),
            history=DayRange(min(settings.first_day, yesterday), yesterday),
            future=today + _FAR_AHEAD,
        )


async def _vehicles(api: PartnerApi, settings: Settings) -> list[VehicleKey]:
    if settings.fleet_file is not None:
        return read_vehicle_pairs(settings.fleet_file)[:_MOST_PROBED_VEHICLES]
    users, _ = await api.users(include_deleted=False)
    return await sample_vehicles(api, customers_first(users)[:_MOST_PROBED_VEHICLES], enough=_MOST_PROBED_VEHICLES)


def _probe_lines(probed: Probed) -> Iterator[str]:
    yield (
        f"asked {probed.vehicles} vehicles with {probed.sessions} sessions for {probed.windows} single days "
        f"({probed.requests} requests); {probed.verdict.telling} sessions over midnight could tell"
    )
    against = ", ".join(f"{rule} {count}" for rule, count in probed.verdict.against.items())
    yield f"sessions that speak against each rule: {against}"
    yield f"lists are ordered: {probed.order}"
    if probed.to_is_inclusive is not None:
        yield f"`to` is inclusive: {'yes' if probed.to_is_inclusive else 'it seems not, single days bring nothing'}"
    if probed.quiet_day is not None:
        yield f"a past day without a session brings: {probed.quiet_day}"
    if probed.future_day is not None:
        yield f"a day that is yet to come brings: {probed.future_day}"
