"""Whether two sums of a month agree, with the doubt about how the API cuts its months."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ev_sessions.warehouse.agreement import (
    AGREES,
    ALL_CUTS,
    CUTS,
    DIFFERS,
    EDGE,
    FIGURES,
    Bundle,
    Judgement,
    judge,
    own_figures,
    possible_cuts,
)

FEBRUARY, MARCH, APRIL = date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1)
SHARE = Decimal("0.01")
BY_PLUG_IN = 0


def bundle(*months: date, sessions: int = 1, energy: object = 10, savings: object = 1) -> Bundle:
    """Sessions of one month by every cut, or of the months named, one for each cut."""
    by_cut = months * len(CUTS) if len(months) == 1 else months
    amounts = (None if value is None else Decimal(str(value)) for value in (energy, savings))
    return Bundle(by_cut, sessions, *amounts)


def at_the_end(**figures: object) -> Bundle:
    """Sessions that are plugged in in March and end in April."""
    return bundle(MARCH, MARCH, APRIL, MARCH, APRIL, **figures)  # type: ignore[arg-type]


def said(sessions: object = None, energy: object = None, savings: object = None) -> dict[str, Decimal | None]:
    """What the API gives."""
    values = (None if value is None else Decimal(str(value)) for value in (sessions, energy, savings))
    return dict(zip(FIGURES, values, strict=True))


def test_the_same_sums_agree() -> None:
    assert judge(said(20, 200, 20), [bundle(MARCH, sessions=20, energy=200, savings=20)], MARCH, SHARE).outcome == AGREES


@pytest.mark.parametrize(("savings", "outcome"), [(101, AGREES), (99, AGREES), ("101.02", DIFFERS), ("98.99", DIFFERS)])
def test_sums_agree_up_to_the_share_of_the_larger(savings: object, outcome: str) -> None:
    ours = [bundle(MARCH, sessions=20, energy=200, savings=100)]
    assert judge(said(20, 200, savings), ours, MARCH, SHARE).outcome == outcome


@pytest.mark.parametrize(("savings", "outcome"), [("0.06", AGREES), ("0.061", DIFFERS)])
def test_what_the_api_may_round_away_is_no_difference(savings: str, outcome: str) -> None:
    assert judge(said(1, 10, savings), [bundle(MARCH, savings="0.05")], MARCH, SHARE).outcome == outcome


def test_a_month_that_agrees_by_another_cut_is_an_edge_and_says_by_which() -> None:
    ours = [bundle(MARCH, sessions=20, energy=200, savings=20), at_the_end()]
    judged = judge(said(20, 200, 20), ours, MARCH, SHARE)
    assert judged == Judgement(EDGE, "agrees where the month is cut by the UTC day of the end", cuts=frozenset({2, 4}))


def test_an_amount_that_only_one_cut_makes_proves_it_so_that_the_other_amount_is_judged() -> None:
    ours = [bundle(MARCH, sessions=20, energy=200, savings=20), at_the_end(savings=5)]
    judged = judge(said(21, 210, 22), ours, MARCH, SHARE)
    assert judged == Judgement(DIFFERS, apart=frozenset({"savings_eur"}))


def test_an_amount_that_every_cut_makes_proves_none() -> None:
    ours = [bundle(MARCH, sessions=20, energy=200, savings=20), at_the_end(energy=0, savings=5)]
    assert judge(said(21, 200, 22), ours, MARCH, SHARE).outcome == EDGE


def test_a_count_may_be_cut_in_another_way_than_the_amounts() -> None:
    ours = [bundle(MARCH, sessions=20, energy=200, savings=20), at_the_end()]
    assert judge(said(21, 200, 20), ours, MARCH, SHARE).outcome == EDGE
    assert judge(said(22, 200, 20), ours, MARCH, SHARE).outcome == DIFFERS


def test_where_no_cut_is_proved_what_the_edges_can_make_is_shown_and_not_judged() -> None:
    ours = [bundle(MARCH, sessions=20, energy=200, savings=20), at_the_end(energy=10, savings=5)]
    judged = judge(said(21, 204, 22), ours, MARCH, SHARE)
    assert judged == Judgement(
        EDGE, "within what the sessions at the month's edges can make", frozenset({"energy_kwh", "savings_eur"})
    )
    assert judge(said(21, 204, 26), ours, MARCH, SHARE).outcome == DIFFERS


def test_what_the_api_does_not_give_is_not_compared() -> None:
    assert judge(said(savings=1), [bundle(MARCH)], MARCH, SHARE).outcome == AGREES
    assert judge(said(savings=2), [bundle(MARCH)], MARCH, SHARE).outcome == DIFFERS


def test_an_unknown_energy_adds_nothing_and_a_month_without_any_has_none() -> None:
    ours = [bundle(MARCH, energy=None), bundle(APRIL)]
    assert own_figures(ours, MARCH) == {"sessions": 1, "energy_kwh": None, "savings_eur": 1}
    assert judge(said(1, 0, 1), ours, MARCH, SHARE).outcome == AGREES


def test_the_vehicles_show_how_the_api_cuts_the_months_of_its_total() -> None:
    of_a_vehicle = [bundle(MARCH, sessions=20, energy=200, savings=20), at_the_end()]
    shown = possible_cuts([judge(said(21, 210, 21), of_a_vehicle, MARCH, SHARE)])
    assert list(shown) == [0, 1, 3]
    of_all = [bundle(MARCH, savings=1000), at_the_end(savings=100)]
    assert judge(said(savings=1050), of_all, MARCH, SHARE).outcome == EDGE
    assert judge(said(savings=1050), of_all, MARCH, SHARE, shown).outcome == DIFFERS
    assert judge(said(savings=1100), of_all, MARCH, SHARE, shown).outcome == AGREES


def test_a_vehicle_that_no_cut_fits_leaves_every_cut_possible() -> None:
    split = Judgement(EDGE, "within what the sessions at the month's edges can make")
    assert possible_cuts([Judgement(AGREES, cuts=frozenset({0})), split]) == ALL_CUTS
    assert possible_cuts([Judgement(AGREES, cuts=frozenset({0})), Judgement(EDGE, "", cuts=frozenset({2}))]) == ALL_CUTS
    assert possible_cuts([]) == list(ALL_CUTS)


AMOUNTS = st.none() | st.decimals(-1000, 1000, places=3)
BUNDLES = st.lists(
    st.builds(
        Bundle,
        st.tuples(*[st.sampled_from([FEBRUARY, MARCH, APRIL])] * len(CUTS)),
        st.integers(1, 50),
        AMOUNTS,
        AMOUNTS,
    ),
    max_size=8,
)


@given(ours=BUNDLES, cut=st.sampled_from(ALL_CUTS))
def test_the_same_sessions_never_differ_however_the_api_cuts_its_months(ours: list[Bundle], cut: int) -> None:
    judged = judge(own_figures(ours, MARCH, cut), ours, MARCH, SHARE)
    assert judged.outcome == (AGREES if BY_PLUG_IN in judged.cuts else EDGE)
    assert cut in judged.cuts
    assert cut in possible_cuts([judged])


@given(ours=BUNDLES, data=st.data())
def test_the_order_of_the_rows_does_not_matter(ours: list[Bundle], data: st.DataObject) -> None:
    api = dict(zip(FIGURES, data.draw(st.tuples(*[AMOUNTS] * len(FIGURES))), strict=True))
    shuffled = data.draw(st.permutations(ours))
    assert judge(api, ours, MARCH, SHARE) == judge(api, shuffled, MARCH, SHARE)


POSITIVE = st.decimals(1, 1000, places=3)


@given(inside=st.tuples(POSITIVE, POSITIVE), edge=st.tuples(POSITIVE, POSITIVE), share=st.fractions(0, 1))
def test_what_the_api_splits_at_midnight_is_no_difference(
    inside: tuple[Decimal, Decimal], edge: tuple[Decimal, Decimal], share: Fraction
) -> None:
    ours = [bundle(MARCH, energy=inside[0], savings=inside[1]), at_the_end(energy=edge[0], savings=edge[1])]
    part = Decimal(share.numerator) / share.denominator
    # A split that is as small as a rounding is taken for none.
    assume(part in {0, 1} or min(part, 1 - part) * min(edge) > Decimal("0.01"))
    energy, savings = (within + at_edge * part for within, at_edge in zip(inside, edge, strict=True))
    assert judge(said(2, energy, savings), ours, MARCH, SHARE).outcome != DIFFERS


@given(ours=BUNDLES, excess=st.decimals(25_000, 50_000, places=0))
def test_more_than_all_sessions_together_is_always_a_difference(ours: Sequence[Bundle], excess: Decimal) -> None:
    assert judge(said(savings=excess), ours, MARCH, SHARE).outcome == DIFFERS
