"""Whether two sums of a month agree, with the doubt about how the API cuts its months."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ev_sessions.reconciled import Reconciled
from ev_sessions.warehouse.comparison import (
    ALL_CUTS,
    CUTS,
    FIGURES,
    OURS,
    Bundle,
    Comparison,
    compare,
    own_figures,
    possible_cuts,
)

AGREES, EDGE, DIFFERS = Reconciled.AGREES, Reconciled.EDGE, Reconciled.DIFFERS
FEBRUARY, MARCH, APRIL = date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1)
SHARE = Decimal("0.01")


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
    assert compare(said(20, 200, 20), [bundle(MARCH, sessions=20, energy=200, savings=20)], MARCH, SHARE).outcome == AGREES


@pytest.mark.parametrize(("savings", "outcome"), [(101, AGREES), (99, AGREES), ("101.02", DIFFERS), ("98.99", DIFFERS)])
def test_sums_agree_up_to_the_share_of_the_larger(savings: object, outcome: str) -> None:
    ours = [bundle(MARCH, sessions=20, energy=200, savings=100)]
    assert compare(said(20, 200, savings), ours, MARCH, SHARE).outcome == outcome


@pytest.mark.parametrize(("savings", "outcome"), [("0.06", AGREES), ("0.061", DIFFERS)])
def test_what_the_api_may_round_away_is_no_difference(savings: str, outcome: str) -> None:
    assert compare(said(1, 10, savings), [bundle(MARCH, savings="0.05")], MARCH, SHARE).outcome == outcome


def test_a_month_that_agrees_by_another_cut_is_an_edge_and_says_by_which() -> None:
    ours = [bundle(MARCH, sessions=20, energy=200, savings=20), at_the_end()]
    found = compare(said(20, 200, 20), ours, MARCH, SHARE)
    assert found == Comparison(EDGE, "agrees where the month is cut by the UTC day of the end", cuts=frozenset({2, 4}), cut=2)


def test_an_amount_that_only_one_cut_makes_proves_it_so_that_the_other_amount_is_judged() -> None:
    ours = [bundle(MARCH, sessions=20, energy=200, savings=20), at_the_end(savings=5)]
    found = compare(said(21, 210, 22), ours, MARCH, SHARE)
    assert found == Comparison(DIFFERS, None, frozenset({"savings_eur"}), frozenset({0, 1, 3}))


def test_what_one_cut_makes_exactly_rules_out_another_that_is_only_near() -> None:
    ours = [bundle(MARCH, sessions=23, energy="319.5", savings="14.8"), at_the_end(energy="5.042", savings="0.47")]
    ours.append(bundle(FEBRUARY, FEBRUARY, MARCH, FEBRUARY, MARCH, energy="7.539", savings="1.23"))
    found = compare(said(24, "324.542", "16.03"), ours, MARCH, SHARE)
    assert own_figures(ours, MARCH, 2) == {"sessions": 24, "energy_kwh": Decimal("327.039"), "savings_eur": Decimal("16.03")}
    assert (found.outcome, found.apart, found.cuts) == (DIFFERS, frozenset({"savings_eur"}), frozenset({0, 1, 3}))


def test_a_count_beside_an_exact_energy_proves_the_cut_and_beside_exact_savings_none() -> None:
    without_energy = [bundle(MARCH, sessions=20, energy=200, savings=20), at_the_end(energy=0, savings=5)]
    assert compare(said(21, 200, 22), without_energy, MARCH, SHARE).outcome == DIFFERS
    # The API may split at midnight what has energy, but no savings.
    without_savings = [bundle(MARCH, sessions=20, energy=200, savings=20), at_the_end(energy=10, savings=0)]
    assert compare(said(21, 204, 20), without_savings, MARCH, SHARE).outcome == EDGE


def test_a_count_may_be_cut_in_another_way_than_the_amounts() -> None:
    ours = [bundle(MARCH, sessions=20, energy=200, savings=20), at_the_end()]
    assert compare(said(21, 200, 20), ours, MARCH, SHARE).outcome == EDGE
    assert compare(said(22, 200, 20), ours, MARCH, SHARE).outcome == DIFFERS


def test_where_no_cut_is_proved_what_the_edges_can_make_is_shown_and_not_judged() -> None:
    ours = [bundle(MARCH, sessions=20, energy=200, savings=20), at_the_end(energy=10, savings=5)]
    found = compare(said(21, 204, 22), ours, MARCH, SHARE)
    within = "within what the sessions at the month's edges can make"
    assert found == Comparison(EDGE, within, frozenset({"energy_kwh", "savings_eur"}), cuts=frozenset())
    assert compare(said(21, 204, 26), ours, MARCH, SHARE).outcome == DIFFERS


def test_what_the_api_does_not_give_is_not_compared() -> None:
    assert compare(said(savings=1), [bundle(MARCH)], MARCH, SHARE).outcome == AGREES
    assert compare(said(savings=2), [bundle(MARCH)], MARCH, SHARE).outcome == DIFFERS


def test_an_unknown_energy_adds_nothing_and_a_month_without_any_has_none() -> None:
    ours = [bundle(MARCH, energy=None), bundle(APRIL)]
    assert own_figures(ours, MARCH) == {"sessions": 1, "energy_kwh": None, "savings_eur": 1}
    assert compare(said(1, 0, 1), ours, MARCH, SHARE).outcome == AGREES


def test_the_vehicles_show_how_the_api_cuts_the_months_of_its_total() -> None:
    of_a_vehicle = [bundle(MARCH, sessions=20, energy=200, savings=20), at_the_end()]
    shown = possible_cuts([compare(said(21, 210, 21), of_a_vehicle, MARCH, SHARE)])
    assert shown == {0, 1, 3}
    of_all = [bundle(MARCH, savings=1000), at_the_end(savings=100)]
    assert compare(said(savings=1050), of_all, MARCH, SHARE).outcome == EDGE
    assert compare(said(savings=1050), of_all, MARCH, SHARE, shown).outcome == DIFFERS
    assert compare(said(savings=1100), of_all, MARCH, SHARE, shown).outcome == AGREES


def test_most_vehicles_decide_how_the_api_cuts_its_months() -> None:
    by_plug_in, by_end = Comparison(AGREES, cuts=frozenset({0, 1, 3})), Comparison(EDGE, "", cuts=frozenset({2, 4}))
    by_utc = Comparison(AGREES, cuts=frozenset({0, 1, 2}))
    in_no_way, says_nothing = Comparison(DIFFERS, cuts=frozenset()), Comparison(AGREES)
    assert possible_cuts([by_plug_in, by_plug_in, by_end, says_nothing, says_nothing]) == {0, 1, 3}
    assert possible_cuts([by_plug_in, by_plug_in, in_no_way]) == {0, 1, 3}
    assert possible_cuts([by_plug_in, by_utc]) == {0, 1}
    assert possible_cuts([by_plug_in, by_end]) == ALL_CUTS
    assert possible_cuts([by_plug_in, in_no_way]) == ALL_CUTS
    assert possible_cuts([says_nothing]) == possible_cuts([]) == ALL_CUTS


def test_a_vehicle_shows_a_cut_that_makes_its_count_and_an_amount_exactly() -> None:
    ours = [bundle(MARCH, sessions=20, energy=200, savings=20), at_the_end()]
    shown = [
        (said(21, 210, 21), {0, 1, 3}),
        (said(21, 210, 24), {0, 1, 3}),
        (said(20, 200, 24), {2, 4}),
        (said(savings=21), {0, 1, 3}),
        (said(21, "210.5", 24), set()),
        (said(21, 200, 20), set()),
    ]
    assert [compare(api, ours, MARCH, SHARE).cuts for api, _ in shown] == [cuts for _, cuts in shown]
    assert compare(said(21, 210, 24), [bundle(MARCH, sessions=20)], MARCH, SHARE).cuts == ALL_CUTS


def test_the_other_vehicles_decide_where_a_vehicle_itself_proves_no_cut() -> None:
    ours = [bundle(MARCH, sessions=20, energy=200, savings=20), at_the_end()]
    api = said(21, 206, "20.6")
    assert compare(api, ours, MARCH, SHARE).outcome == EDGE
    found = compare(api, ours, MARCH, SHARE, frozenset({0, 1}))
    assert (found.outcome, found.apart) == (DIFFERS, frozenset({"energy_kwh", "savings_eur"}))
    one_is_missing = compare(said(20, 210, 21), ours, MARCH, SHARE, frozenset({0, 1}))
    assert (one_is_missing.outcome, one_is_missing.apart) == (DIFFERS, frozenset({"sessions"}))


def test_what_another_cut_makes_exactly_is_an_edge_though_most_vehicles_show_ours() -> None:
    ours = [bundle(MARCH, sessions=20, energy=200, savings=20), at_the_end()]
    found = compare(said(20, 200, 20), ours, MARCH, SHARE, frozenset({0, 1, 3}))
    assert (found.outcome, found.cause) == (EDGE, "agrees where the month is cut by the UTC day of the end")


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
# Whose energy is known, as that of nearly all sessions.
CHARGED = BUNDLES.map(lambda bundles: [replace(each, energy_kwh=each.energy_kwh or Decimal(7)) for each in bundles])


def alike(one: Mapping[str, Decimal | None], other: Mapping[str, Decimal | None]) -> bool:
    """Whether count and energy are the same but for what the API may round away."""
    count, energy = (abs((one[name] or Decimal(0)) - (other[name] or Decimal(0))) for name in ("sessions", "energy_kwh"))
    return count == 0 and energy <= Decimal("0.01")


@given(ours=BUNDLES, cut=st.sampled_from(sorted(ALL_CUTS)), shown=st.frozensets(st.sampled_from(sorted(ALL_CUTS)), min_size=1))
def test_the_same_sessions_never_differ_however_the_api_cuts_its_months(
    ours: list[Bundle], cut: int, shown: frozenset[int]
) -> None:
    found = compare(own_figures(ours, MARCH, cut), ours, MARCH, SHARE, shown)
    assert found.outcome in ({AGREES} if cut == OURS else {AGREES, EDGE})


@given(ours=CHARGED, cut=st.sampled_from(sorted(ALL_CUTS)))
def test_a_vehicle_that_was_copied_right_shows_the_cut_of_the_api(ours: list[Bundle], cut: int) -> None:
    api = {name: value or Decimal(0) for name, value in own_figures(ours, MARCH, cut).items()}
    found = compare(api, ours, MARCH, SHARE)
    assert cut in found.cuts
    assert cut in possible_cuts([found])


@given(ours=CHARGED, savings=st.decimals(-10_000, 10_000, places=2))
def test_wrong_savings_beside_a_count_and_an_energy_that_only_our_cut_makes_are_never_an_edge(
    ours: list[Bundle], savings: Decimal
) -> None:
    own, *others = (own_figures(ours, MARCH, cut) for cut in sorted(ALL_CUTS))
    assume(own["energy_kwh"] is not None and not any(alike(own, other) for other in others))
    right = own["savings_eur"] or Decimal(0)
    assume(abs(savings - right) > max(SHARE * max(abs(savings), abs(right)), Decimal("0.01")))
    found = compare({**own, "savings_eur": savings}, ours, MARCH, SHARE)
    assert (found.outcome, found.apart) == (DIFFERS, frozenset({"savings_eur"}))


@given(ours=BUNDLES, data=st.data())
def test_the_order_of_the_rows_does_not_matter(ours: list[Bundle], data: st.DataObject) -> None:
    api = dict(zip(FIGURES, data.draw(st.tuples(*[AMOUNTS] * len(FIGURES))), strict=True))
    shuffled = data.draw(st.permutations(ours))
    assert compare(api, ours, MARCH, SHARE) == compare(api, shuffled, MARCH, SHARE)


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
    assert compare(said(2, energy, savings), ours, MARCH, SHARE).outcome != DIFFERS


@given(ours=BUNDLES, excess=st.decimals(25_000, 50_000, places=0))
def test_more_than_all_sessions_together_is_always_a_difference(ours: Sequence[Bundle], excess: Decimal) -> None:
    assert compare(said(savings=excess), ours, MARCH, SHARE).outcome == DIFFERS
