"""The failures this project names, by what should happen next.

Only base classes that every floor shares belong here. A message is one line: what happened, to what, and what to do.
"""


class EvSessionsError(Exception):
    """A failure with a one-line message that a person can act on."""


class PermanentError(EvSessionsError):
    """Trying again changes nothing: credentials, contract, settings, a file that is not ours."""


class TransientError(EvSessionsError):
    """Trying again later may work: network, server errors, limits, locks."""
