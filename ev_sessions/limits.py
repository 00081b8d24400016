"""The limits by which the quality rules judge: their defaults, units and meanings, and how the setting LIMITS replaces them.

Which rule uses which limit stands with the rules, in `ev_sessions.warehouse.rules`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit. `by_zone`: price zones may have one of their own, since their prices differ."""

    name: str
    default: Decimal
    unit: str
    meaning: str
    by_zone: bool = False


def _limit(name: str, default: str, unit: str, meaning: str, *, by_zone: bool = False) -> Limit:
    return Limit(name, Decimal(default), unit, meaning, by_zone)


LIMITS = (
    _limit("outside_share", "0.01", "ratio", "Share of a landing's rows outside their windows above which nothing lands"),
    _limit("outside_vehicles", "2", "vehicles", "Vehicles that such rows must come from before nothing lands"),
    _limit("stay_short_minutes", "3", "min", "A stay up to this long is hardly one"),
    _limit("stay_long_hours", "48", "h", "A stay above this is long"),
    _limit("stay_very_long_hours", "168", "h", "A stay above this is very long"),
    _limit("future_minutes", "10", "min", "How far ahead of the read a stamp may lie, for clocks differ"),
    _limit("first_year", "2015", "year", "No stamp lies before this year"),
    _limit("created_days", "1", "days", "How long before its vehicle's creation a session may begin"),
    _limit("inferred_end_minutes", "5", "min", "How far the inferred end may lie outside the stay"),
    _limit("deadline_days", "7", "days", "How long after plug-in a deadline may lie"),
    _limit("soc_min_pct", "0", "%", "Lowest state of charge"),
    _limit("soc_max_pct", "100", "%", "Highest state of charge"),
    _limit("target_soc_min_pct", "1", "%", "Lowest target"),
    _limit("soc_loss_pp", "1", "pp", "Loss of charge over a stay that measuring explains"),
    _limit("gain_expected_kwh", "1", "kWh", "Energy above which the state of charge must have risen"),
    _limit("gain_pp", "5", "pp", "Gain from which there must have been energy"),
    _limit("gain_needs_kwh", "0.5", "kWh", "The energy that such a gain takes at least"),
    _limit("fraction_kwh", "1", "kWh", "Energy above which states of charge of 0 to 1 are taken for fractions"),
    _limit("energy_little_kwh", "0.5", "kWh", "Energy below this is little"),
    _limit("energy_much_kwh", "100", "kWh", "Energy above this is much"),
    _limit("energy_too_much_kwh", "250", "kWh", "Energy above this fits into no car"),
    _limit("slip_kwh", "1000", "kWh", "Energy above this is most likely in Wh"),
    _limit("slip_kw", "500", "kW", "Power above this is most likely in W"),
    _limit("mean_over_peak", "1.02", "ratio", "How far the mean power may exceed the peak"),
    _limit("peak_min_kw", "0.5", "kW", "Lowest usual peak power at home"),
    _limit("peak_home_kw", "22", "kW", "Highest usual peak power at home"),
    _limit("peak_max_kw", "360", "kW", "Highest usual peak power anywhere"),
    _limit("energy_over_peak", "1.1", "ratio", "How far energy may exceed what the peak power gives in the whole stay"),
    _limit("charging_slack_hours", "0.1", "h", "How much longer than the stay the charging may seem"),
    _limit("capacity_min_kwh", "5", "kWh", "Smallest battery"),
    _limit("capacity_max_kwh", "150", "kWh", "Largest battery"),
    _limit("capacity_ratio_min", "0.7", "ratio", "Smallest share of the known battery that energy and gain may imply"),
    _limit("capacity_ratio_max", "1.3", "ratio", "Largest share of it"),
    _limit("cost_unusual_min", "-0.5", "EUR/kWh", "Lowest usual cost", by_zone=True),
    _limit("cost_unusual_max", "1.0", "EUR/kWh", "Highest usual cost", by_zone=True),
    _limit("cost_impossible_min", "-1", "EUR/kWh", "Lowest possible cost", by_zone=True),
    _limit("cost_impossible_max", "5", "EUR/kWh", "Highest possible cost: day-ahead hours of 4 have happened", by_zone=True),
    _limit("amount_max_eur", "1250", "EUR", "Highest possible cost or savings, of either sign: 250 kWh at 5 EUR", by_zone=True),
    _limit("savings_per_kwh", "0.60", "EUR/kWh", "Highest usual savings, of either sign", by_zone=True),
    _limit("overlap_minutes", "5", "min", "Time that two stays of a vehicle may share"),
    _limit("split_minutes", "5", "min", "Gap up to which two sessions are one stay that was split"),
    _limit("missing_session_pp", "2", "pp", "Gain between two sessions above which one between them is missing"),
    _limit("volume_min", "0.5", "ratio", "Smallest share of the usual sessions or energy of a day"),
    _limit("volume_max", "2", "ratio", "Largest share of them"),
    _limit("reconciled_share", "0.01", "ratio", "How far our sums may differ from the API's own"),
)

_BY_NAME = {limit.name: limit for limit in LIMITS}
_RANGES = (
    ("soc_min_pct", "soc_max_pct"),
    ("target_soc_min_pct", "soc_max_pct"),
    ("peak_min_kw", "peak_home_kw"),
    ("peak_min_kw", "peak_max_kw"),
    ("capacity_min_kwh", "capacity_max_kwh"),
    ("capacity_ratio_min", "capacity_ratio_max"),
    ("cost_unusual_min", "cost_unusual_max"),
    ("cost_impossible_min", "cost_impossible_max"),
    ("volume_min", "volume_max"),
)
# Limits are as fine as the numbers that they are held against, and no stamp that is so many days away overflows.
_TOO_LARGE, _PLACES = 10**6, 6
_ZONE = re.compile(r"[A-Z0-9_]+")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits in force. `replaced` has those that are not the default: by name, or as `ZONE:name` for one price zone."""

    replaced: Mapping[str, Decimal] = field(default_factory=dict)

    @classmethod
    def of(cls, replaced: Mapping[str, object]) -> Limits:
        """The defaults with `replaced` laid over them.

        Raises:
            ValueError: a limit that does not exist, or that zones cannot have, a value that is not a finite number, or a range,
                of all or of a zone, whose lower limit is above its upper one.
        """
        limits = cls({name: _number(name, value) for name, value in replaced.items() if _known(name)})
        for lower, upper in _RANGES:
            for zone in (None, *sorted({**limits.zones(lower), **limits.zones(upper)})):
                limits._require_range(lower, upper, zone)
        return limits

    def value(self, name: str, price_zone: str | None = None) -> Decimal:
        """The limit `name`, of `price_zone` where that has its own; KeyError where there is no such limit."""
        return self.replaced.get(f"{price_zone}:{name}", self.replaced.get(name, _BY_NAME[name].default))

    def zones(self, name: str) -> dict[str, Decimal]:
        """The price zones that have a limit `name` of their own."""
        split = {key: key.rpartition(":") for key in self.replaced}
        return {zone: self.replaced[key] for key, (zone, _, limit) in split.items() if zone and limit == name}

    @property
    def price_zones(self) -> frozenset[str]:
        """The price zones that have any limit of their own."""
        return frozenset(zone for key in self.replaced if (zone := key.rpartition(":")[0]))

    def _require_range(self, lower: str, upper: str, price_zone: str | None) -> None:
        least, most = self.value(lower, price_zone), self.value(upper, price_zone)
        if least > most:
            where = f", for the price zone {price_zone}" if price_zone else ""
            raise ValueError(f"the limit {lower!r} is {least}, above {upper!r}, {most}{where}")


def _known(key: str) -> bool:
    zone, separator, name = key.rpartition(":")
    if name not in _BY_NAME:
        raise ValueError(f"there is no limit {name!r}")
    if separator and not (_BY_NAME[name].by_zone and _ZONE.fullmatch(zone)):
        raise ValueError(f"the limit {name!r} cannot be set for the price zone {zone!r}")
    return True


def _number(name: str, value: object) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"the limit {name!r} is {value!r}, which is not a number") from None
    if not number.is_finite() or abs(number) >= _TOO_LARGE or number != round(number, _PLACES):
        raise ValueError(f"the limit {name!r} is {value!r}, which is not a number below 10^6 with {_PLACES} places at most")
    return number
