"""When a reconciliation went well."""

from __future__ import annotations

import pytest

from ev_sessions.reconciled import Reconciled, is_well

AGREES, EDGE, DIFFERS, UNEXPECTED, FAILED = Reconciled


@pytest.mark.parametrize(
    ("outcomes", "well"),
    [
        ([], True),
        ([AGREES], True),
        ([EDGE], True),
        ([AGREES, EDGE, FAILED], True),
        ([FAILED], False),
        ([AGREES, DIFFERS], False),
        ([AGREES, UNEXPECTED], False),
        ([FAILED, UNEXPECTED], False),
    ],
)
def test_all_is_well_where_something_could_be_compared_and_nothing_was_wrong(outcomes: list[Reconciled], *, well: bool) -> None:
    assert is_well(outcomes) is well
