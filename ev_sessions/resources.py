"""Dagster resources around the client, the stage and the warehouse. Their fields are what the UI shows of the configuration.

Secrets are `EnvVar`s or paths of files, so neither the code location nor a stored run ever holds one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import Field, PrivateAttr

from ev_sessions.days import DayRange
from ev_sessions.file_locks import is_held, locked
from ev_sessions.limits import Limits
from ev_sessions.partner_api import BearerToken, ClientCredentials, ConfigError, Pace, PartnerApi, PartnerApiConfig
from ev_sessions.price_zones import time_zones
from ev_sessions.run_locks import alive
from ev_sessions.settings import (
    FILE_SUFFIX,
    PublishedAccess,
    ReportDate,
    SessionDay,
    Settings,
    SettingsError,
    read_secret_file,
    variable,
)
from ev_sessions.stage.parts import WindowStage, open_window
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.publish import Publication, publish
from ev_sessions.webhooks import call, post

# Where the client's word for something is not the setting's.
_SETTING_OF = {"base_url": "api_url", "token": "access_token"}


class Clock:
    """The present instant (aware UTC), wherever something depends on it. Tests and simulations bring one of their own."""

    def now(self) -> datetime:
        """The present instant."""
        return datetime.now(UTC)

    def wait(self, seconds: float) -> None:
        """Come back after so many seconds."""
        time.sleep(seconds)


class PartnerApiResource(dg.ConfigurableResource[PartnerApi]):
    """Where the partner API is, who asks, and how fast."""

    api_url: str = Field("", description="Root of the partner API")
    org_id: str = Field("", description="The organisation whose fleet is read (UUID)")
    client_id: str = Field("", description="OAuth2 client id")
    client_id_file: str = Field("", description="File that holds it instead")
    client_secret: str = Field("", description="OAuth2 client secret")
    client_secret_file: str = Field("", description="File that holds it instead")
    access_token: str = Field("", description="A static bearer token, instead of client id and secret")
    access_token_file: str = Field("", description="File that holds it instead")
    fleet_file: str = Field("", description="CSV of user_id,electric_vehicle_id, instead of discovery")
    session_day: SessionDay = Field(SessionDay.PLUG_IN_TIME, description="What the API's from/to filter on")
    max_requests_per_second: float = Field(50.0, description="Ceiling over all workers (requests/s; 0: none)")
    max_concurrency: int = Field(50, description="Requests under way at once")
    page_size: int = Field(200, description="Sessions asked for per page")
    request_timeout_seconds: float = Field(30.0, description="Time limit of one attempt (s)")
    max_attempts: int = Field(6, description="Attempts at one request")
    retry_budget: int = Field(1000, description="Retries in one run, on top of one for every ten requests")
    allow_plain_http: bool = Field(default=False, description="Allow http:// to another machine")
    turn_file: str = Field(description="File that is locked by the one run that asks")

    _pace: Pace | None = PrivateAttr(None)

    @classmethod
    def from_settings(cls, settings: Settings, environ: Mapping[str, str]) -> PartnerApiResource:
        """The resource that `settings` describe; `environ` decides whether a secret is a variable or a file."""
        return cls(
            api_url=settings.api_url or "",
            org_id=str(settings.org_id or ""),
            fleet_file=str(settings.fleet_file or ""),
            session_day=settings.session_day,
            max_requests_per_second=settings.max_requests_per_second,
            max_concurrency=settings.max_concurrency,
            page_size=settings.page_size,
            request_timeout_seconds=settings.request_timeout_seconds,
            max_attempts=settings.max_attempts,
            retry_budget=settings.retry_budget,
            allow_plain_http=settings.allow_plain_http,
            turn_file=str(settings.state_dir / "asking.lock"),
            **_secret("client_id", environ),
            **_secret("client_secret", environ),
            **_secret("access_token", environ),
        )

    @classmethod
    def outside_dagster(cls, settings: Settings, environ: Mapping[str, str]) -> PartnerApiResource:
        """As `from_settings`, with each secret in the place of its variable's name; `environ` is this process's environment."""
        # Dagster's types call what comes out what the resource is made for, not what it is.
        return cast("PartnerApiResource", cls.from_settings(settings, environ).process_config_and_initialize())

    def organisation(self) -> UUID:
        """The organisation's id.

        Raises:
            SettingsError: it is missing or no UUID.
        """
        org_id = _required(self.org_id, "org_id", "the UUID of the organisation")
        try:
            return UUID(org_id)
        except ValueError:
            raise SettingsError(f"{variable('org_id')} is {self.org_id!r}, which is not a UUID") from None

    def client(self) -> PartnerApi:
        """A client, to be used as an async context manager. Raises as `client_config` does.

        The clients of one run share a pace: what the first has learnt of the API's limit, the next need not find out again.
        """
        self._pace = self._pace or Pace(self.max_requests_per_second)
        return PartnerApi(self.client_config(), self._pace)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The turn to ask, which one run at a time has: the pace holds for one client, and this makes it hold for all.

        Dagster's pool keeps the daemon's runs in order. This holds over all processes with one STATE_DIR, the command line's too.

        Raises:
            SettingsError: the state folder cannot be written.
        """
        file = Path(self.turn_file)
        with ExitStack() as held:
            try:
                file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                if is_held(file):
                    dg.get_dagster_logger().info("Another run asks the API; this one waits for its turn.")
                held.enter_context(locked(file))
            except OSError as error:
                raise SettingsError(f"{variable('state_dir')}: cannot write {file}: {error.strerror}; mend its rights") from None
            yield

    def client_config(self) -> PartnerApiConfig:
        """What the client is told.

        Raises:
            SettingsError: a setting is missing, or one that the client refuses, such as plain http to another machine.
        """
        try:
            return PartnerApiConfig(
                base_url=_required(self.api_url, "api_url", "the root of the partner API, for example https://app.podero.com"),
                org_id=self.organisation(),
                credentials=self._credentials(),
                max_requests_per_second=self.max_requests_per_second,
                max_concurrency=self.max_concurrency,
                page_size=self.page_size,
                request_timeout_seconds=self.request_timeout_seconds,
                max_attempts=self.max_attempts,
                retry_budget=self.retry_budget,
                allow_plain_http=self.allow_plain_http,
            )
        except ConfigError as error:
            raise SettingsError(f"{variable(_SETTING_OF.get(error.field, error.field))} {error.fault}") from None

    def _credentials(self) -> ClientCredentials | BearerToken:
        # A line break at the end comes with copying and pasting, and no credential has one.
        token = self.access_token.strip() or read_secret_file("access_token", self.access_token_file)
        if token:
            return BearerToken(token)
        client_id = self.client_id.strip() or read_secret_file("client_id", self.client_id_file)
        client_secret = self.client_secret.strip() or read_secret_file("client_secret", self.client_secret_file)
        return ClientCredentials(
            _required(client_id, "client_id", f"the OAuth2 client id (or {variable('access_token')} instead)"),
            _required(client_secret, "client_secret", "the OAuth2 client secret"),
        )


class StageResource(dg.ConfigurableResource[None]):
    """Where fetched answers wait, durably, for their landing."""

    root: str = Field(description="Folder of the part files")
    max_age_hours: float = Field(6.0, description="Age up to which a killed run's answers are used (h)")

    @classmethod
    def from_settings(cls, settings: Settings) -> StageResource:
        """The resource that `settings` describe."""
        return cls(root=str(settings.stage_path), max_age_hours=settings.stage_max_age_hours)

    def open(
        self, *, org_id: UUID, days: DayRange, session_day: SessionDay, run: str, now: datetime
    ) -> AbstractContextManager[WindowStage]:
        """The stage of one run over one window; see `ev_sessions.stage.parts.open_window`."""
        return open_window(
            Path(self.root),
            org_id=str(org_id),
            days=days,
            session_day=session_day,
            run=run,
            now=now,
            max_age=timedelta(hours=self.max_age_hours),
        )


class WarehouseResource(DuckDBResource):
    """The DuckDB file and the rules by which it is written.

    Unlike the stock resource it closes its connection whatever happens inside, opens readers read-only, waits for the lock
    with jitter, and creates or migrates the schema before the first write. Every step takes it, so it also holds the lock that
    tells a living run from a killed one (`ev_sessions.run_locks`).
    """

    lock_timeout_seconds: float = Field(120.0, description="How long to wait for another process's lock (s)")
    lookback_days: int = Field(14, description="Age at which a day read completely is final (days)")
    report_date: ReportDate = Field(ReportDate.SESSION_END, description="The stamp whose local date is the report date")
    default_time_zone: str = Field("UTC", description="Time zone where the price zone is unknown")
    replaced_time_zones: dict[str, str] = Field(default_factory=dict, description="Time zones that replace the built-in ones")
    hold_share: float = Field(0.5, description="Share of a vehicle's rows whose loss at once is held for confirmation")
    limits: dict[str, str] = Field(default_factory=dict, description="Limits of the quality rules that replace the built-in ones")
    published: str = Field(description="Folder of the files that readers get")
    published_access: PublishedAccess = Field(PublishedAccess.OWNER, description="Who may read them")

    @classmethod
    def from_settings(cls, settings: Settings) -> WarehouseResource:
        """The resource that `settings` describe."""
        return cls(
            database=str(settings.database_path),
            lock_timeout_seconds=settings.lock_timeout_seconds,
            lookback_days=settings.lookback_days,
            report_date=settings.report_date,
            default_time_zone=settings.default_time_zone,
            replaced_time_zones=settings.time_zones,
            hold_share=settings.hold_share,
            limits={name: str(value) for name, value in settings.limits.replaced.items()},
            published=str(settings.published_path),
            published_access=settings.published_access,
        )

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[WarehouseResource]:
        """This resource, with the lock of the run held as long as the run lasts; sensors, which have no run, hold none."""
        if context.run is None or context.instance is None:
            yield self
            return
        with alive(Path(context.instance.root_directory), context.run.run_id):
            yield self

    @property
    def zones(self) -> dict[str, str]:
        """The time zone of every price zone."""
        return time_zones(self.replaced_time_zones)

    @property
    def rule_limits(self) -> Limits:
        """The limits of the quality rules that are in force."""
        return Limits.of(self.limits)

    def reading(self, lock_timeout_seconds: float | None = None) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A read-only connection; see `Database.reading` for what it raises. Waits as long as the setting says, or as told."""
        return self._database(lock_timeout_seconds).reading()

    def writing(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """The one read-write connection; see `Database.writing` for what it raises."""
        return self._database().writing()

    def publish(self) -> Publication:
        """Bring what readers get up to date; see `ev_sessions.warehouse.publish.publish` for what it raises."""
        return publish(self._database(), Path(self.published), self.published_access)

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """What users of the stock resource call: the same as `writing`."""
        with self.writing() as connection:
            yield connection

    def _database(self, lock_timeout_seconds: float | None = None) -> Database:
        patience = self.lock_timeout_seconds if lock_timeout_seconds is None else lock_timeout_seconds
        return Database(Path(self.database), patience, self.connection_config)


class AlertsResource(dg.ConfigurableResource[None]):
    """Where people are told of failed runs, and a dead man's switch of refreshes that have landed."""

    ui_url: str = Field("http://127.0.0.1:3000", description="Where people find Dagster's page")
    alert_url: str = Field("", description="Where a failed run is told")
    alert_url_file: str = Field("", description="File that holds it instead")
    heartbeat_url: str = Field("", description="What is asked whenever the daily refresh has landed")
    heartbeat_url_file: str = Field("", description="File that holds it instead")

    @classmethod
    def from_settings(cls, settings: Settings, environ: Mapping[str, str]) -> AlertsResource:
        """The resource that `settings` describe; `environ` decides whether a secret is a variable or a file."""
        return cls(ui_url=settings.ui_url, **_secret("alert_url", environ), **_secret("heartbeat_url", environ))

    def has_alert_url(self) -> bool:
        """Whether failed runs are to be told."""
        return bool(self.alert_url or self.alert_url_file)

    def has_heartbeat_url(self) -> bool:
        """Whether somebody waits for a heartbeat."""
        return bool(self.heartbeat_url or self.heartbeat_url_file)

    def tell(self, text: str) -> None:
        """Send `text` to people. Raises WebhookRefused, WebhookUnreachable, SettingsError (its file cannot be read)."""
        post(self.alert_url.strip() or read_secret_file("alert_url", self.alert_url_file) or "", {"text": text})

    def beat(self) -> None:
        """Send a heartbeat. Raises as `tell` does."""
        call(self.heartbeat_url.strip() or read_secret_file("heartbeat_url", self.heartbeat_url_file) or "")


def _secret(name: str, environ: Mapping[str, str]) -> dict[str, Any]:
    if environ.get(variable(name)):
        return {name: dg.EnvVar(variable(name))}
    return {f"{name}_file": environ.get(variable(name) + FILE_SUFFIX, "")}


def _required(value: str | None, name: str, meaning: str) -> str:
    if not value:
        raise SettingsError(f"{variable(name)} is not set; it is {meaning}")
    return value
