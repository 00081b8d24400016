"""Whether the API's own sums of a month are ours: pure arithmetic, with the doubt about how the API cuts its months.

How it does is not stated. So our month is cut in every way that makes sense. Which one is the API's, an amount proves that only
one makes exactly, or most of the other vehicles; then what does not agree by it differs. Only where nothing proves any, what the
sessions at the month's edges could make is no proof of a difference: it is shown, not judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

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

AGREES, EDGE, DIFFERS = "agrees", "edge", "differs"


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
class Judgement:
    """`outcome`: agrees, edge or differs. `cause`: what the edge is; None else.

    `apart`: the figures that do not agree by `cut`, the one that fits best. `cuts`: those that make the count and an amount
    exactly as the API gives them; all, where they do not matter, so that nothing is shown of the API's.
    """

    outcome: str
    cause: str | None = None
    apart: frozenset[str] = frozenset()
    cuts: frozenset[int] = ALL_CUTS
    cut: int = OURS


def own_figures(bundles: Sequence[Bundle], month: date, cut: int = OURS) -> Mapping[str, Decimal | None]:
    """Our figures of `month` (first day) by the cut of that number; None: there is no value to add up."""
    within = [bundle for bundle in bundles if bundle.months[cut] == month]
    return {name: _total(within, name) for name in FIGURES} | {"sessions": _count(within)}


def judge(
    api: Mapping[str, Decimal | None],
    bundles: Sequence[Bundle],
    month: date,
    share: Decimal,
    cuts: frozenset[int] = ALL_CUTS,
) -> Judgement:
    """Compare what `api` gives of `FIGURES` with our `bundles`; they agree where they differ by `share` of the larger at most.

    `cuts` are those that the vehicles show to be the API's. What the figures themselves make exact rules out others among them;
    by those that are left, a difference is one unless the sessions whose month depends on the cut can make it: where no amount
    is exact, the API may also split them at midnight.
    """
    given = {name: value for name in FIGURES if (value := api[name]) is not None}
    own = {cut: own_figures(bundles, month, cut) for cut in sorted(ALL_CUTS)}
    exact = {cut: _fitting(given, own[cut], share=Decimal(0)) for cut in own}
    shown = _shown(exact, own)
    counted = frozenset(cut for cut in shown if "sessions" in exact[cut] or "sessions" not in given)
    judgement = Judgement(AGREES, cuts=ALL_CUTS if shown == ALL_CUTS else counted)
    if len(_fitting(given, own[OURS], share)) == len(given):
        return judgement
    whole = frozenset(cut for cut, names in exact.items() if len(names) == len(given))
    likely = (whole & cuts) or whole or (shown & cuts) or cuts
    fitting = {cut: _fitting(given, own[cut], share) for cut in sorted(likely)}
    best = max(fitting, key=lambda cut: len(fitting[cut]))
    if len(fitting[best]) == len(given):
        return replace(judgement, outcome=EDGE, cause=f"agrees where the month is cut by {CUTS[best]}", cut=best)
    apart = frozenset(given) - fitting[best]
    # A count may be cut in another way than the amounts, unless the vehicles show that it is not.
    may_be = dict.fromkeys(AMOUNTS, likely) | {"sessions": cuts}
    if all(_within_edges(name, value, _cut_by(bundles, may_be[name]), month, share) for name, value in given.items()):
        return replace(
            judgement, outcome=EDGE, cause="within what the sessions at the month's edges can make", apart=apart, cut=best
        )
    return replace(judgement, outcome=DIFFERS, apart=apart, cut=best)


def possible_cuts(judgements: Iterable[Judgement]) -> frozenset[int]:
    """The cuts that the API may use, by what vehicles' months show: those that most of them show; all, where most show none."""
    showing = [judgement.cuts for judgement in judgements if judgement.cuts != ALL_CUTS]
    months = {cut: sum(cut in cuts for cuts in showing) for cut in ALL_CUTS}
    most = max(months.values())
    return frozenset(cut for cut in ALL_CUTS if months[cut] == most) if 2 * most > len(showing) else ALL_CUTS


def _shown(exact: Mapping[int, frozenset[str]], own: Mapping[int, Mapping[str, Decimal | None]]) -> frozenset[int]:
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
