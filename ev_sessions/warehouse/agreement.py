"""Whether the API's own sums of a month are ours: pure arithmetic, with the doubt about how the API cuts its months.

How it does is not stated. So our month is cut in every way that makes sense; and where no cut fits, what the sessions at the
month's edges could make is no proof of a difference: it is shown, not judged. What vehicles show of the API's way of cutting,
which is one for all, is held against its sum over all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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

ALL_CUTS = range(len(CUTS))

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

    `apart`: the figures that do not agree by the cut that fits best. `cuts`: the numbers of those by which all figures agree.
    """

    outcome: str
    cause: str | None = None
    apart: frozenset[str] = frozenset()
    cuts: frozenset[int] = frozenset()


def own_figures(bundles: Sequence[Bundle], month: date, cut: int = 0) -> Mapping[str, Decimal | None]:
    """Our figures of `month` (first day) by the cut of that number; None: there is no value to add up."""
    within = [bundle for bundle in bundles if bundle.months[cut] == month]
    return {name: _total(within, name) for name in FIGURES} | {"sessions": _count(within)}


def judge(
    api: Mapping[str, Decimal | None],
    bundles: Sequence[Bundle],
    month: date,
    share: Decimal,
    cuts: Collection[int] = ALL_CUTS,
) -> Judgement:
    """Compare what `api` gives of `FIGURES` with our `bundles`; they agree where they differ by `share` of the larger at most.

    `cuts` are those that the API may use. An amount that is the same by one of them, and another by others, proves it to be the
    API's, so that the other amount is judged by it. Else a difference is one only where the sessions whose month depends on the
    cut cannot make it: the API may also split their amounts at midnight.
    """
    given = {name: value for name in FIGURES if (value := api[name]) is not None}
    own = {cut: own_figures(bundles, month, cut) for cut in cuts}
    fitting = {cut: _fitting(given, own[cut], share) for cut in cuts}
    best = max(fitting, key=lambda cut: len(fitting[cut]))
    if len(fitting[best]) == len(given):
        agreeing = frozenset(cut for cut, names in fitting.items() if len(names) == len(given))
        cause = f"agrees where the month is cut by {CUTS[best]}" if best else None
        return Judgement(EDGE if best else AGREES, cause, cuts=agreeing)
    apart = frozenset(given) - fitting[best]
    proved = any(_proves(given[name], own[best][name], [own[cut][name] for cut in cuts]) for name in AMOUNTS if name in given)
    possible = [replace(bundle, months=tuple(bundle.months[cut] for cut in cuts)) for bundle in bundles]
    in_doubt = all(_within_edges(name, given[name], possible, month, share) for name in given)
    if in_doubt and not (proved and apart.intersection(AMOUNTS)):
        return Judgement(EDGE, "within what the sessions at the month's edges can make", apart)
    return Judgement(DIFFERS, apart=apart)


def possible_cuts(judgements: Iterable[Judgement]) -> Collection[int]:
    """The cuts that the API may use, by what vehicles' months show: those by which all agree that agree at all.

    All of them, where some month is cut in none of these ways.
    """
    judged = list(judgements)
    if any(judgement.outcome == EDGE and not judgement.cuts for judgement in judged):
        return ALL_CUTS
    common = frozenset(ALL_CUTS).intersection(*(judgement.cuts for judgement in judged if judgement.cuts))
    return sorted(common) or ALL_CUTS


def _fitting(given: Mapping[str, Decimal], own: Mapping[str, Decimal | None], share: Decimal) -> frozenset[str]:
    return frozenset(name for name, value in given.items() if abs(value - _known(own[name])) <= _slack(value, own[name], share))


def _proves(value: Decimal, own: Decimal | None, by_all_cuts: Iterable[Decimal | None]) -> bool:
    """Whether `value` is `own`, which not every cut makes so."""
    is_own = abs(value - _known(own)) <= _ROUNDING
    return is_own and any(abs(_known(other) - _known(own)) > _ROUNDING for other in by_all_cuts)


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
