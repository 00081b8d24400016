"""What can go wrong between this client and the partner API, by what should happen next.

No message holds a secret, the id of a person, or an answer's text.
"""

from __future__ import annotations

from ev_sessions.errors import PermanentError, TransientError


class ConfigError(PermanentError, ValueError):
    """What the client was told cannot be used: the `field`, and the `fault` in words, with what is expected."""

    def __init__(self, field: str, fault: str) -> None:
        super().__init__(f"the partner API's {field} {fault}")
        self.field = field
        self.fault = fault


class CredentialsRefused(PermanentError):
    """The API does not accept the credentials, or a fresh token made from them."""


class ContractBroken(PermanentError):
    """The API answers what its contract does not allow, again and again, where nothing can be done without it."""


class RequestRefused(PermanentError):
    """The API refused one request for good, with `status`; it took `requests`, of which `retries` were repeated ones."""

    def __init__(self, message: str, *, status: int, requests: int, retries: int) -> None:
        super().__init__(message)
        self.status = status
        self.requests = requests
        self.retries = retries


class VehicleGone(RequestRefused):
    """403, 404 or 410 for one vehicle, or for the vehicles of one user: a fact about it, not a fault."""


class NotPermitted(RequestRefused):
    """403 for the organisation: the credentials are valid, but not for it."""


class OrganisationNotFound(RequestRefused):
    """404 or 410 for the organisation: its id or the host is wrong."""


class RequestFailed(TransientError):
    """One thing could not be read: its attempts are used up. It took `requests`, of which `retries` were repeated ones."""

    def __init__(self, message: str, *, requests: int, retries: int) -> None:
        super().__init__(message)
        self.requests = requests
        self.retries = retries


class RetryBudgetSpent(TransientError):
    """So many requests failed in this run that asking on makes no sense: whoever runs it should stop."""


class UnreadableAnswer(TransientError):
    """An answer that was not understood: not JSON, cut short, or of another shape. Asked again before it counts."""
