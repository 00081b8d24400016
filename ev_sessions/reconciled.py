"""How comparing a month with the API's own sums can end, and when all is well.

Asking, comparing, checking and telling share it; how outcomes come about stands where they are made.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Reconciled(StrEnum):
    """What came of one month, as `raw.reconciliations` has it. Only the first three are of a month that could be compared."""

    AGREES = "agrees"
    EDGE = "edge"
    DIFFERS = "differs"
    UNEXPECTED = "unexpected"
    FAILED = "failed"


COMPARED = frozenset({Reconciled.AGREES, Reconciled.EDGE, Reconciled.DIFFERS})


def is_well(outcomes: Iterable[Reconciled]) -> bool:
    """Whether nothing differs, nothing was unexpected and, where anything was asked at all, something could be compared."""
    found = set(outcomes)
    return found.isdisjoint({Reconciled.DIFFERS, Reconciled.UNEXPECTED}) and found != {Reconciled.FAILED}
