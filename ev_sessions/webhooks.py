"""Sends short messages to addresses that are secrets: never named in an error, a log or an event.

httpx's own connections serve here, unlike in `ev_sessions.partner_api`: it is one message now and then.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import httpx

from ev_sessions.errors import PermanentError, TransientError

LONGEST_SECONDS = 8.0
"""The longest that sending takes, whatever the other side, the network or the names' server do (s)."""

_PAUSES_BEFORE_ATTEMPTS = (0.0, 0.5, 1.0)
_TIMEOUT_SECONDS = 2.0

# Asking for less, and time-outs on the other side: these pass. The rest of 4xx does not.
_PASSING_REFUSALS = frozenset({408, 425, 429})


class WebhookRefused(PermanentError):
    """The address does not take the message, and will not: it is wrong, or no longer valid."""


class WebhookUnreachable(TransientError):
    """The message did not arrive in any attempt."""


def post(url: str, message: Mapping[str, object]) -> None:
    """POST `message` to `url` as JSON. Raises as `call` does."""
    _within_limit("POST", url, message)


def call(url: str) -> None:
    """GET `url`, whatever it answers with 2xx.

    Raises:
        WebhookRefused: it answers otherwise, in a way that does not pass.
        WebhookUnreachable: it could not be reached, or it is ill.
    """
    _within_limit("GET", url, None)


def _within_limit(method: str, url: str, message: Mapping[str, object] | None) -> None:
    # A look-up of a name has no time limit of its own, so somebody else waits for it.
    sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="webhook")
    try:
        sender.submit(_send, method, url, message).result(LONGEST_SECONDS)
    except TimeoutError:
        raise WebhookUnreachable(f"no answer within {LONGEST_SECONDS:g} s") from None
    finally:
        sender.shutdown(wait=False)


def _send(method: str, url: str, message: Mapping[str, object] | None) -> None:
    for pause in _PAUSES_BEFORE_ATTEMPTS:
        time.sleep(pause)
        outcome = _attempt(method, url, message)
        if outcome is None:
            return
    raise WebhookUnreachable(f"{outcome}, {len(_PAUSES_BEFORE_ATTEMPTS)} times")


def _attempt(method: str, url: str, message: Mapping[str, object] | None) -> str | None:
    """Send once; what went wrong in a way that may pass, or None.

    Of an error only the class is told: its text may hold the address. Besides httpx's own there are those of reading the
    machine's certificates (OSError) and of a malformed proxy, host or port (ValueError).
    """
    try:
        with (
            httpx.Client(timeout=_TIMEOUT_SECONDS) as client,
            # What it answers besides the status is of no interest, however long it is.
            client.stream(method, url, json=message) as answer,
        ):
            status = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return f"failed with {type(error).__name__}"
    if answer.is_success:
        return None
    if status < httpx.codes.INTERNAL_SERVER_ERROR and status not in _PASSING_REFUSALS:
        raise WebhookRefused(f"the address answers {status}; see whether it is still valid")
    return f"the address answers {status}"
