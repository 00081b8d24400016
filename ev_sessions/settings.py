"""Every setting of the project: its name, default, unit and meaning. The one place where the environment is read.

A setting `name` is the environment variable `EV_SESSIONS_NAME`. A secret may also be given as a file, its path in
`EV_SESSIONS_NAME_FILE`. Nothing is read at import: call `Settings.from_env(os.environ)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator

from ev_sessions.errors import PermanentError
from ev_sessions.limits import Limits

PREFIX = "EV_SESSIONS_"
FILE_SUFFIX = "_FILE"
SECRETS = ("client_id", "client_secret", "access_token", "alert_url", "heartbeat_url")


class SettingsError(PermanentError, ValueError):
    """A setting that is missing or malformed; the message names it and says what is expected."""


class SessionDay(StrEnum):
    """The field that the API's `from` and `to` filter on (`overlap`: any day between plug-in and end)."""

    PLUG_IN_TIME = "plug_in_time"
    UNPLUG_TIME = "unplug_time"
    OVERLAP = "overlap"


class ReportDate(StrEnum):
    """The stamp whose local date decides the report date of a session."""

    SESSION_END = "session_end"
    PLUG_IN_TIME = "plug_in_time"


def _pairs(value: object) -> object:
    """`SE_1=Europe/Stockholm,UK=Europe/London` as a mapping; ValueError: a text is no pair, or a name stands twice."""
    if not isinstance(value, str):
        return value
    pairs = [entry.partition("=") for entry in value.split(",") if entry.strip()]
    if any(not separator for _, separator, _ in pairs):
        raise ValueError("expected NAME=value pairs separated by commas")
    names = [name.strip() for name, _, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is given twice")
    return {name: text.strip() for name, (_, _, text) in zip(names, pairs, strict=True)}


def _limits(value: object) -> object:
    """`energy_much_kwh=90,SE_4:cost_unusual_max=2` as limits that exist."""
    pairs = _pairs(value)
    return Limits.of(pairs) if isinstance(pairs, Mapping) else pairs


class PublishedAccess(StrEnum):
    """Who may read what is published, besides the user who runs this."""

    OWNER = "owner"
    GROUP = "group"
    EVERYONE = "everyone"


class Settings(BaseModel):
    """All settings, typed. Those that only a call to the API needs may be None: see `ev_sessions.resources`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    api_url: str | None = Field(None, description="Root of the partner API, for example https://app.podero.com")
    org_id: UUID | None = Field(None, description="The organisation whose fleet is read (UUID)")
    client_id: SecretStr | None = Field(None, description="OAuth2 client id (secret)")
    client_secret: SecretStr | None = Field(None, description="OAuth2 client secret (secret)")
    access_token: SecretStr | None = Field(None, description="A static bearer token, instead of client id and secret (secret)")
    fleet_file: Path | None = Field(
        None, description="CSV with the columns user_id,electric_vehicle_id, instead of asking the API for the fleet"
    )

    state_dir: Path = Field(Path(".ev_sessions"), description="Folder for the database, staged parts and Dagster's history")
    database: Path | None = Field(None, description="The DuckDB file; default: ev_sessions.duckdb in STATE_DIR")
    published: Path | None = Field(
        None, description="Folder of the Parquet files that readers get after each run; default: published in STATE_DIR"
    )
    published_access: PublishedAccess = Field(
        PublishedAccess.OWNER, description="Who may read the published files: owner, group or everyone"
    )
    min_free_gb: float = Field(5.0, ge=0, description="Free room on each disk in use below which a check fails (GB)")

    first_day: date = Field(date(2024, 1, 1), description="The first UTC day that is a partition (YYYY-MM-DD)")
    lookback_days: int = Field(14, ge=0, le=366, description="Days before yesterday that every refresh reads again (days)")
    deep_lookback_days: int = Field(
        62, ge=1, le=366, description="Days that the weekly refresh reads again, for long stays and late corrections (days)"
    )
    max_partitions_per_run: int = Field(92, ge=1, le=366, description="Days that one run of a backfill covers (days)")
    session_day: SessionDay = Field(
        SessionDay.PLUG_IN_TIME,
        description="What the API's from/to filter on: plug_in_time, unplug_time or overlap; see `ev-sessions doctor --probe`",
    )
    report_date: ReportDate = Field(
        ReportDate.SESSION_END, description="The stamp whose local date is the report date: session_end or plug_in_time"
    )
    default_time_zone: str = Field("UTC", description="Time zone of a vehicle whose price zone is unknown (IANA name)")
    time_zones: Annotated[dict[str, str], BeforeValidator(_pairs)] = Field(
        default_factory=dict,
        description="Time zones that replace the built-in ones, as PRICE_ZONE=Area/City pairs with commas",
    )

    max_requests_per_second: float = Field(50.0, ge=0, description="Ceiling over all workers (requests/s; 0: no ceiling)")
    max_concurrency: int = Field(50, ge=1, le=1000, description="Requests under way at once (count)")
    page_size: int = Field(200, ge=1, le=200, description="Sessions asked for per page (count)")
    request_timeout_seconds: float = Field(30.0, gt=0, description="Time limit of one attempt at one request (s)")
    max_attempts: int = Field(6, ge=1, le=20, description="Attempts at one request before it counts as failed (count)")
    retry_budget: int = Field(1000, ge=0, description="Retries in one run, on top of one for every ten requests (count)")
    allow_plain_http: bool = Field(default=False, description="Allow http:// to a host other than this machine (true or false)")

    stage_max_age_hours: float = Field(6.0, ge=0, description="Age up to which a killed run's staged answers are used (h)")
    lock_timeout_seconds: float = Field(120.0, ge=0, description="How long to wait for another process's database lock (s)")
    hold_share: float = Field(
        0.5, gt=0, le=1, description="Share of a vehicle's rows whose loss in one read is held for confirmation (ratio)"
    )

    limits: Annotated[Limits, BeforeValidator(_limits)] = Field(
        Limits(),
        description="Limits of the quality rules that replace the built-in ones, as name=number pairs with commas, "
        "of one price zone as ZONE:name=number; see the page of the quality rules",
    )
    reconcile_requests: int = Field(
        200, ge=2, description="Requests that one reconciliation against the API's own sums may take (count)"
    )

    schedules: bool = Field(default=False, description="Whether schedules and sensors run from the start (on or off)")
    ui_url: str = Field("http://127.0.0.1:3000", description="Where people find Dagster's page, for the links in alerts")
    alert_url: SecretStr | None = Field(
        None, description="Where a failed run is told, as a JSON POST that Slack and Mattermost take (secret)"
    )
    heartbeat_url: SecretStr | None = Field(
        None, description="What is asked with a GET whenever the daily refresh has landed, for a dead man's switch (secret)"
    )

    @field_validator("ui_url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        return _checked_url(url)

    @field_validator("alert_url", "heartbeat_url")
    @classmethod
    def _secret_web_address(cls, url: SecretStr) -> SecretStr:
        return SecretStr(_checked_url(url.get_secret_value()))

    @field_validator("default_time_zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        return _checked_zone(zone)

    @field_validator("time_zones")
    @classmethod
    def _known_zones(cls, zones: dict[str, str]) -> dict[str, str]:
        return {price_zone: _checked_zone(zone) for price_zone, zone in zones.items()}

    @property
    def database_path(self) -> Path:
        """The DuckDB file."""
        return self.database or self.state_dir / "ev_sessions.duckdb"

    @property
    def stage_path(self) -> Path:
        """The folder of staged part files."""
        return self.state_dir / "stage"

    @property
    def published_path(self) -> Path:
        """The folder of published Parquet files."""
        return self.published or self.state_dir / "published"

    @property
    def dagster_home(self) -> Path:
        """The folder of Dagster's own history, its DAGSTER_HOME."""
        return self.state_dir / "dagster"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder that grows: of the database, the stage, the published files and Dagster's history."""
        return (self.database_path.parent, self.stage_path, self.published_path, self.dagster_home)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """The settings that `environ` gives; an empty variable counts as absent.

        Raises:
            SettingsError: the first setting that is malformed, or a secret's file that cannot be read.
        """
        given = {name: value for name in cls.model_fields if (value := _value(environ, name)) is not None}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise SettingsError(_one_line(error)) from None


def variable(name: str) -> str:
    """The environment variable of the setting `name`."""
    return PREFIX + name.upper()


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Variables that carry the prefix and name no setting: most likely misspelt."""
    known = {variable(name) for name in Settings.model_fields}
    known |= {variable(name) + FILE_SUFFIX for name in SECRETS}
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in known)


def read_secret_file(name: str, path: str) -> str | None:
    """The secret `name` from the file at `path`, without the white space around it; None where no path is given.

    Raises:
        SettingsError: the file cannot be read.
    """
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise SettingsError(f"{variable(name)}{FILE_SUFFIX}: cannot read {path}: {reason}") from None


def _value(environ: Mapping[str, str], name: str) -> str | None:
    value = environ.get(variable(name)) or None
    if value is None and name in SECRETS:
        return read_secret_file(name, environ.get(variable(name) + FILE_SUFFIX, ""))
    return value


def _checked_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ValueError, KeyError, OSError):
        raise ValueError(f"{zone!r} is not a time zone; expected an IANA name such as Europe/Berlin") from None
    return zone


def _checked_url(url: str) -> str:
    # What is wrong is not quoted: it may be a secret.
    try:
        parts = urlsplit(url.strip())
        well_formed = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        well_formed = False
    if not well_formed:
        raise ValueError("not an address such as https://host/path")
    return url.strip()


def _one_line(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False, include_context=False)[0]
    name = str(first["loc"][0])
    meaning = Settings.model_fields[name].description
    # That a validator of ours raised it is pydantic's matter.
    reason = first["msg"].removeprefix("Value error, ")
    return f"{variable(name)} is malformed: {reason}. Expected: {meaning}"
