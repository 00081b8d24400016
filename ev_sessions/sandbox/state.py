"""The state of one simulated API: its clock, its tokens, its pace, what it counted, and the faults that it was ordered to commit.

Everything here may be steered from another thread than the one that serves.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from time import monotonic
from uuid import UUID

from ev_sessions.days import DayRange
from ev_sessions.sandbox.chance import share, stream
from ev_sessions.sandbox.faults import Cut, Delayed, Fault, Kind, Quirks, Refusal, Script, Truncated, drawn_fault
from ev_sessions.sandbox.fleet import SimulatedFleet
from ev_sessions.sandbox.options import SandboxOptionError, SandboxOptions
from ev_sessions.sandbox.truth import Truth
from ev_sessions.settings import variable

TOO_MANY = 429
UNAUTHORISED = 401


class Counts:
    """How many requests of each kind arrived, and what became of them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str) -> int:
        """Count one more; how many it is now."""
        with self._lock:
            self._counts[name] += 1
            return self._counts[name]

    def reset(self) -> None:
        """Begin at zero again."""
        with self._lock:
            self._counts.clear()

    @property
    def token(self) -> int:
        """Requests for a token."""
        return self._counts[Kind.TOKEN]

    @property
    def users(self) -> int:
        """Requests for the list of users."""
        return self._counts[Kind.USERS]

    @property
    def vehicles(self) -> int:
        """Requests for a user's vehicles."""
        return self._counts[Kind.VEHICLES]

    @property
    def sessions(self) -> int:
        """Requests for a page of sessions."""
        return self._counts[Kind.SESSIONS]

    @property
    def current(self) -> int:
        """Requests for the session under way."""
        return self._counts[Kind.CURRENT]

    @property
    def savings(self) -> int:
        """Requests for the API's own sums."""
        return self._counts[Kind.SAVINGS]

    @property
    def pages(self) -> int:
        """Pages of sessions that were sent in full."""
        return self._counts["pages"]

    @property
    def refused_429(self) -> int:
        """Answers 429, whatever the reason."""
        return self._counts["refused_429"]

    @property
    def unauthorised(self) -> int:
        """Answers 401."""
        return self._counts["unauthorised"]

    @property
    def faults(self) -> int:
        """Requests that met a fault."""
        return self._counts["faults"]

    @property
    def total(self) -> int:
        """Requests of all kinds."""
        return sum(self._counts[kind] for kind in Kind)

    def as_dict(self) -> dict[str, int]:
        """Every count by its name."""
        names = (*Kind, "pages", "refused_429", "unauthorised", "faults")
        return {"total": self.total} | {str(name): self._counts[name] for name in names}


class Tokens:
    """The access tokens that are valid."""

    def __init__(self, lifetime: float) -> None:
        self._lifetime = lifetime
        self._expiry: dict[str, float] = {}

    def issue(self) -> str:
        """A new token, valid for the lifetime (s)."""
        token = secrets.token_urlsafe(24)
        self._expiry[token] = monotonic() + self._lifetime
        return token

    @property
    def issued(self) -> list[str]:
        """Every token that has not been revoked, expired or not."""
        return list(self._expiry)

    def accepts(self, token: str) -> bool:
        """Whether it was issued, has not expired and was not revoked."""
        return self._expiry.get(token, 0.0) > monotonic()

    def revoke(self) -> None:
        """Refuse every token issued so far."""
        self._expiry.clear()


class Pace:
    """A ceiling of `rate` requests per second with a burst of one second's worth; 0: no ceiling."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._burst = max(1.0, rate)
        self._left = self._burst
        self._seen = monotonic()
        self._lock = Lock()

    def admits(self) -> bool:
        """Whether one more request fits."""
        if not self._rate:
            return True
        with self._lock:
            now = monotonic()
            self._left = min(self._burst, self._left + (now - self._seen) * self._rate)
            self._seen = now
            if self._left < 1:
                return False
            self._left -= 1
            return True

    @property
    def retry_after(self) -> int:
        """Whole seconds after which a request fits again."""
        return max(1, round(1 / self._rate)) if self._rate else 1


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who may ask for a token; functions of the seed."""

    client_id: str
    client_secret: str

    @classmethod
    def of(cls, seed: int) -> Credentials:
        """The credentials that belong to `seed`."""
        chance = stream(seed, "credentials")
        return cls(f"sandbox-{chance.getrandbits(32):08x}", f"not-a-secret-{chance.getrandbits(96):024x}")


class SandboxState:
    """What the routes of a sandbox answer from, and what a test steers.

    `quirks` maps a vehicle to what it does wrong. `truth` is not changed by faults; `withdrawn` holds the sessions that
    the API stopped listing on top of what the truth knows.
    """

    def __init__(self, options: SandboxOptions, truth: Truth | None = None) -> None:
        credentials = Credentials.of(options.seed)
        self.options = options
        self.truth = truth or SimulatedFleet(options)
        self.org_id: UUID = self.truth.org_id
        self.client_id = credentials.client_id
        self.client_secret = credentials.client_secret
        self.counts = Counts()
        self.tokens = Tokens(options.token_ttl)
        self.pace = Pace(options.rate_limit)
        self.quirks: dict[UUID, Quirks] = {}
        self.withdrawn: set[UUID] = set()
        self._now = options.now or self.truth.clock
        self._script = Script()
        self._attempts: Counter[str] = Counter()
        self._shifted: set[tuple[UUID, DayRange]] = set()

    @property
    def now(self) -> datetime:
        """The sandbox's clock, UTC. It stands still once it is set."""
        return self._now or datetime.now(UTC)

    @now.setter
    def now(self, instant: datetime) -> None:
        if instant.tzinfo is None:
            raise SandboxOptionError(f"the clock cannot be set to {instant}: give the time zone too")
        self._now = instant.astimezone(UTC)

    def settings_for(self, base_url: str) -> dict[str, str]:
        """The environment variables that point `ev_sessions` at this sandbox, served at `base_url`."""
        return {
            variable("api_url"): base_url,
            variable("org_id"): str(self.org_id),
            variable("client_id"): self.client_id,
            variable("client_secret"): self.client_secret,
        }

    def revoke_tokens(self) -> None:
        """Refuse every token issued so far."""
        self.tokens.revoke()

    def withdraw(self, session_ids: Iterable[UUID]) -> None:
        """Stop listing these sessions."""
        self.withdrawn = self.withdrawn | set(session_ids)

    def fail_next(
        self,
        times: int = 1,
        *,
        kind: str | None = Kind.SESSIONS,
        vehicle: UUID | None = None,
        status: int = 503,
        headers: Mapping[str, str] | None = None,
        body: bytes = b'{"detail": "sandbox fault"}',
    ) -> None:
        """Answer the next requests of that kind (None: any) with `status`, also 200 with a body of one's own."""
        self._order(Refusal(status, body, dict(headers or {})), times, kind, vehicle)

    def cut_next(self, times: int = 1, *, kind: str | None = Kind.SESSIONS, vehicle: UUID | None = None) -> None:
        """Reset the connection of the next requests without an answer."""
        self._order(Cut(), times, kind, vehicle)

    def truncate_next(self, times: int = 1, *, kind: str | None = Kind.SESSIONS, vehicle: UUID | None = None) -> None:
        """Break off the answers to the next requests in the middle."""
        self._order(Truncated(), times, kind, vehicle)

    def hang_next(self, times: int = 1, *, seconds: float, kind: str | None = Kind.SESSIONS, vehicle: UUID | None = None) -> None:
        """Hold back the answers to the next requests for `seconds`, or until the client hangs up."""
        self._order(Delayed(seconds), times, kind, vehicle)

    def at_request(self, count: int, action: Callable[[], None], *, kind: str = Kind.SESSIONS) -> None:
        """Call `action`, on the serving thread, when the `count`-th request of that kind arrives (since the last reset)."""
        self._script.at(Kind(kind), count, action)

    def arrived(self, kind: Kind, target: str, vehicle: UUID | None) -> Fault | None:
        """Count a request for `target`; the fault that it meets, if any."""
        self._script.arrived(kind, self.counts.add(kind))
        fault = self._script.take(kind, vehicle) or self._drawn(target)
        if fault is not None:
            self.counts.add("faults")
        return fault

    def answered(self, status: int) -> None:
        """Count the answers that clients ought to avoid."""
        if status == TOO_MANY:
            self.counts.add("refused_429")
        if status == UNAUTHORISED:
            self.counts.add("unauthorised")

    def shifts_now(self, vehicle: UUID, window: DayRange) -> bool:
        """Whether this window, read in several pages, is about to change; at most once."""
        key = vehicle, window
        quirks = self.quirks.get(vehicle)
        chosen = quirks is not None and quirks.shift is not None
        drifts = chosen or share(self.options.seed, "drift", *key) < self.options.drift
        if not drifts or key in self._shifted:
            return False
        self._shifted.add(key)
        return True

    def _drawn(self, target: str) -> Fault | None:
        if not self.options.fail_rate:
            return None
        self._attempts[target] += 1
        return drawn_fault(self.options.seed, self.options.fail_rate, target, self._attempts[target])

    def _order(self, fault: Fault, times: int, kind: str | None, vehicle: UUID | None) -> None:
        self._script.push(fault, times, None if kind is None else Kind(kind), vehicle)
