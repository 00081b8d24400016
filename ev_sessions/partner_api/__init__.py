"""An async client of the partner API: paced, retrying, and sure of what it read. Knows neither Dagster nor DuckDB.

Example:
    ```
    config = PartnerApiConfig("https://app.podero.com", org_id, ClientCredentials(client_id, client_secret))
    async with PartnerApi(config) as api:
        users, _ = await api.users()
        answer = await api.sessions(users[0].id, vehicle_id, DayRange(first, last))
    ```
"""

from ev_sessions.partner_api.client import PartnerApi, SessionAnswer
from ev_sessions.partner_api.config import BearerToken, ClientCredentials, PartnerApiConfig
from ev_sessions.partner_api.errors import (
    ConfigError,
    ContractBroken,
    CredentialsRefused,
    NotPermitted,
    OrganisationNotFound,
    RequestFailed,
    RequestRefused,
    RetryBudgetSpent,
    UnreadableAnswer,
    VehicleGone,
)
from ev_sessions.partner_api.fleet_records import User, Vehicle
from ev_sessions.partner_api.pace import Pace
from ev_sessions.partner_api.records import SessionRecord, to_six_places
from ev_sessions.partner_api.rejected import Rejected
from ev_sessions.partner_api.savings import MonthSavings, UnexpectedAnswer
from ev_sessions.partner_api.transport import Counts

__all__ = [
    "BearerToken",
    "ClientCredentials",
    "ConfigError",
    "ContractBroken",
    "Counts",
    "CredentialsRefused",
    "MonthSavings",
    "NotPermitted",
    "OrganisationNotFound",
    "Pace",
    "PartnerApi",
    "PartnerApiConfig",
    "Rejected",
    "RequestFailed",
    "RequestRefused",
    "RetryBudgetSpent",
    "SessionAnswer",
    "SessionRecord",
    "UnexpectedAnswer",
    "UnreadableAnswer",
    "User",
    "Vehicle",
    "VehicleGone",
    "to_six_places",
]
