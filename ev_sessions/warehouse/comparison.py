"""Whether the API's own sums of a month are ours: pure arithmetic, with the doubt about how the API cuts its months.

How it does is not stated, so our month is cut in every way that makes sense. What comes of a month is the first that holds:

| case | outcome |
| --- | --- |
| every figure that the API gives agrees with ours, cut by the day that it lists sessions under | agrees |
| every one agrees by one of the likely cuts | edge |
| every one is within what the sessions at the edges can make: those that the likely cuts put into different months | edge |
| anything else: the cut that fits best is the one to explain | differs |

Likely are those of the cuts

1. that make every figure exactly, of those that the vehicles show (`possible_cuts`; all where they show none);
2. where there is none, that make every figure exactly;
3. where there is none, that an exact amount proves, of those that the vehicles show;
4. where there is none, that the vehicles show.

So what does not agree by the one cut that is proved differs. Where several are left, what the edges make is shown, not judged.
A count may be cut in another way than the amounts: for it, all cuts are likely that the vehicles show.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from ev_sessions.reconciled import Reconciled

AMOUNTS = ("energy_kwh", "savings_eur")
FIGURES = ("sessions", *AMOUNTS)

CUTS = (
    "the day that the API lists the session under",
    "the UTC day of the plug-in",
    "the UTC day of the end",
    "the local day of the plug-in",
    "the local day of the end",
)
"""The days by which a month may be cut. Our own figures are by the first."""

# What the API may round away, in kWh and EUR; a count is whole.
_ROUNDING = Decimal("0.01")

ALL_CUTS = frozenset(range(len(CUTS)))
OURS = 0


@dataclass(frozen=True, slots=True)
class Bundle:
    """The sums of the sessions that fall into the same month by each of the `CUTS` (first days, in the order of the cuts).

    `energy_kwh` and `savings_eur` are None where none of the sessions has any.
    """

    months: tuple[date, ...]
    sessions: int
    energy_kwh: Decimal | None
    savings_eur: Decimal | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of comparing one month. `cause`: what the edge is, or why nothing could be compared; None else.

    `apart`: the figures that do not agree by `cut`, the one that fits best. `cuts`: those that make the count and an amount
    exactly as the API gives them; all, where they do not matter, so that nothing is shown of the API's.
    """

    outcome: Reconciled
    cause: str | None = None
    apart: frozenset[str] = frozenset()
    cuts: frozenset[int] = ALL_CUTS
    cut: int = OURS


def own_figures(bundles: Sequence[Bundle], month: date, cut: int = OURS) -> Mapping[str, Decimal | None]:
    """Our figures of `month` (first day) by the cut of that number; None: there is no value to add up."""
    within = [bundle for bundle in bundles if bundle.months[cut] == month]
    return {name: _total(within, name) for name in FIGURES} | {"sessions": _count(within)}


def compare(
    api: Mapping[str, Decimal | None],
    bundles: Sequence[Bundle],
    month: date,
    share: Decimal,
    cuts: frozenset[int] = ALL_CUTS,
) -> Comparison:
    """Compare what `api` gives of `FIGURES` with our `bundles`; they agree where they differ by `share` of the larger at most.

    `cuts` are those that the vehicles show to be the API's.
    """
    given = {name: value for name in FIGURES if (value := api[name]) is not None}
    own = {cut: own_figures(bundles, month, cut) for cut in sorted(ALL_CUTS)}
    exact = {cut: _fitting(given, own[cut], share=Decimal(0)) for cut in own}
    proved = _proved(exact, own)
    found = Comparison(Reconciled.AGREES, cuts=_shown(given, exact, proved))
    if _fitting(given, own[OURS], share) == given.keys():
        return found
    likely = _likely_cuts(given, exact, proved, cuts)
    fitting = {cut: _fitting(given, own[cut], share) for cut in sorted(likely)}
    best = max(fitting, key=lambda cut: len(fitting[cut]))
    found = replace(found, apart=frozenset(given) - fitting[best], cut=best)
    if not found.apart:
        return replace(found, outcome=Reconciled.EDGE, cause=f"agrees where the month is cut by {CUTS[best]}")
    may_be = dict.fromkeys(AMOUNTS, likely) | {"sessions": cuts}
    if all(_within_edges(name, value, _cut_by(bundles, may_be[name]), month, share) for name, value in given.items()):
        return replace(found, outcome=Reconciled.EDGE, cause="within what the sessions at the month's edges can make")
    return replace(found, outcome=Reconciled.DIFFERS)


def possible_cuts(comparisons: Iterable[Comparison]) -> frozenset[int]:
    """The cuts that the API may use, by what vehicles' months show: those that most of them show; all, where most show none."""
    showing = [comparison.cuts for comparison in comparisons if comparison.cuts != ALL_CUTS]
    months = {cut: sum(cut in cuts for cuts in showing) for cut in ALL_CUTS}
    most = max(months.values())
    return frozenset(cut for cut in ALL_CUTS if months[cut] == most) if 2 * most > len(showing) else ALL_CUTS


def _likely_cuts(
    given: Mapping[str, Decimal], exact: Mapping[int, frozenset[str]], proved: frozenset[int], cuts: frozenset[int]
) -> frozenset[int]:
    """The cuts that may be the API's in this month; `cuts` are those that the vehicles show."""
    whole = frozenset(cut for cut, names in exact.items() if names == given.keys())
    return (whole & cuts) or whole or (proved & cuts) or cuts


def _shown(given: Mapping[str, Decimal], exact: Mapping[int, frozenset[str]], proved: frozenset[int]) -> frozenset[int]:
    """The cuts that the month shows to others: of those that are `proved`, the ones that make the count as well."""
    if proved == ALL_CUTS:
        return ALL_CUTS
    return frozenset(cut for cut in proved if "sessions" in exact[cut] or "sessions" not in given)


def _proved(exact: Mapping[int, frozenset[str]], own: Mapping[int, Mapping[str, Decimal | None]]) -> frozenset[int]:
    """The cuts that amounts prove best, by which of them are `exact`: all where every cut is the same; none where no amount is.

    Energy proves most, and a count beside it: with savings it proves none, since sessions without any can be split unseen.
    """
    if all(figures == own[OURS] for figures in own.values()):
        return ALL_CUTS
    proof = {
        cut: ("energy_kwh" in names, {"sessions", "energy_kwh"} <= names, "savings_eur" in names) for cut, names in exact.items()
    }
    best = max(proof.values())
    return frozenset(cut for cut in proof if proof[cut] == best) if any(best) else frozenset()


def _cut_by(bundles: Sequence[Bundle], cuts: Iterable[int]) -> Sequence[Bundle]:
    return [replace(bundle, months=tuple(bundle.months[cut] for cut in cuts)) for bundle in bundles]


def _fitting(given: Mapping[str, Decimal], own: Mapping[str, Decimal | None], share: Decimal) -> frozenset[str]:
    return frozenset(name for name, value in given.items() if abs(value - _known(own[name])) <= _slack(value, own[name], share))


def _within_edges(name: str, value: Decimal, bundles: Sequence[Bundle], month: date, share: Decimal) -> bool:
    sure = _known(_total([bundle for bundle in bundles if set(bundle.months) == {month}], name))
    doubtful = [_known(_total([bundle], name)) for bundle in bundles if month in bundle.months and set(bundle.months) != {month}]
    least = sure + sum((part for part in doubtful if part < 0), start=Decimal(0))
    most = sure + sum((part for part in doubtful if part > 0), start=Decimal(0))
    return least - _slack(value, least, share) <= value <= most + _slack(value, most, share)


def _slack(value: Decimal, own: Decimal | None, share: Decimal) -> Decimal:
    return max(share * max(abs(value), abs(_known(own))), _ROUNDING)


def _total(bundles: Sequence[Bundle], name: str) -> Decimal | None:
    values = [value for bundle in bundles if (value := getattr(bundle, name)) is not None]
    return sum(map(Decimal, values), start=Decimal(0)) if values else None


def _count(bundles: Sequence[Bundle]) -> Decimal:
    return Decimal(sum(bundle.sessions for bundle in bundles))


def _known(value: Decimal | None) -> Decimal:
    # Whoever adds up, the API too, passes over what has no value.
    return Decimal(0) if value is None else value
