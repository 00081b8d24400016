"""The measures of a group once more, from its sessions, in plain Python and exact fractions, to compare those in SQL with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

Row = dict[str, Any]
Known = Callable[[Row], bool]


def measures_of(rows: Sequence[Row]) -> Row:
    """Every measure of the group that has the sessions `rows` (of analytics.sessions); ratios, means and quantiles are floats."""
    both = {
        "cost": _known("actual_savings_eur", "actual_cost_eur"),
        "energy": _known("actual_savings_eur", "energy_charged_kwh"),
        "energy_cost": _known("actual_cost_eur", "energy_charged_kwh"),
        "forecast": _known("actual_savings_eur", "expected_savings_eur"),
        "idle": _known("idle_hours"),
    }
    placed = {place: [row for row in rows if row["is_at_home"] is at_home] for place, at_home in _PLACES.items()}
    deadlines = Counter(row["deadline_outcome"] for row in rows)
    forecasts = list(filter(both["forecast"], rows))
    sums = {
        "active_vehicles": len({row["electric_vehicle_id"] for row in rows}),
        "active_users": len({row["user_id"] for row in rows}),
        "sessions": len(rows),
        "sessions_with_energy": _count(rows, "energy_charged_kwh"),
        "sessions_without_energy": len(rows) - _count(rows, "energy_charged_kwh"),
        "energy_kwh": _sum(rows, "energy_charged_kwh"),
        "flagged_sessions": sum(bool(row["flags"]) for row in rows),
        "sessions_with_end": _count(rows, "session_end"),
        "plug_in_hours": _sum(rows, "plug_in_hours"),
        "charging_hours": _sum(rows, "charging_hours"),
        "idle_hours": _sum(rows, "idle_hours"),
        "sessions_with_idle": _count(rows, "idle_hours"),
        "plug_in_with_idle_hours": _sum(filter(both["idle"], rows), "plug_in_hours"),
        **{f"{place}_sessions": len(there) for place, there in placed.items()},
        **{f"{place}_energy_kwh": _sum(there, "energy_charged_kwh") for place, there in placed.items()},
        "peak_charge_power_kw": max(_values(rows, "peak_charge_power_kw"), default=None),
        "sessions_with_soc": _count(rows, "soc_gain_pct"),
        "sessions_with_cost": _count(rows, "actual_cost_eur"),
        "cost_eur": _sum(rows, "actual_cost_eur"),
        "sessions_with_savings": _count(rows, "actual_savings_eur"),
        "savings_eur": _sum(rows, "actual_savings_eur"),
        "negative_savings_sessions": sum(saved < 0 for saved in _values(rows, "actual_savings_eur")),
        "negative_savings_eur": _total([min(saved, Decimal(0)) for saved in _values(rows, "actual_savings_eur")]),
        "expected_savings_eur": _sum(rows, "expected_savings_eur"),
        "sessions_with_counterfactual": sum(map(both["cost"], rows)),
        "counterfactual_eur": _total([row["actual_cost_eur"] + row["actual_savings_eur"] for row in filter(both["cost"], rows)]),
        "savings_with_cost_eur": _sum(filter(both["cost"], rows), "actual_savings_eur"),
        "savings_with_energy_eur": _sum(filter(both["energy"], rows), "actual_savings_eur"),
        "energy_with_savings_kwh": _sum(filter(both["energy"], rows), "energy_charged_kwh"),
        "cost_with_energy_eur": _sum(filter(both["energy_cost"], rows), "actual_cost_eur"),
        "energy_with_cost_kwh": _sum(filter(both["energy_cost"], rows), "energy_charged_kwh"),
        "sessions_with_forecast": len(forecasts),
        "expected_with_savings_eur": _sum(forecasts, "expected_savings_eur"),
        "savings_with_expected_eur": _sum(forecasts, "actual_savings_eur"),
        "forecast_bias_eur": _total([row["actual_savings_eur"] - row["expected_savings_eur"] for row in forecasts]),
        "absolute_forecast_error_eur": _total(
            [abs(row["actual_savings_eur"] - row["expected_savings_eur"]) for row in forecasts]
        ),
        **{f"deadlines_{outcome}": deadlines[outcome] for outcome in ("met", "missed", "left_early", "unknown")},
        "sessions_by_outcome": dict(Counter(_values(rows, "session_outcome"))),
        "sessions_without_outcome": len(rows) - _count(rows, "session_outcome"),
    }
    return sums | _ratios(sums, rows) | _spread(rows)


def _ratios(sums: Row, rows: Sequence[Row]) -> Row:
    sessions, energy = sums["sessions"], sums["energy_kwh"]
    known_place = sums["at_home_sessions"] + sums["away_sessions"]
    known_place_energy = _total([sums[name] for name in ("at_home_energy_kwh", "away_energy_kwh") if sums[name] is not None])
    judged = sums["deadlines_met"] + sums["deadlines_missed"]
    return {
        "flagged_share": _ratio(sums["flagged_sessions"], sessions),
        "flexibility_ratio": _ratio(sums["idle_hours"], sums["plug_in_with_idle_hours"]),
        "flexibility_coverage": _ratio(sums["sessions_with_idle"], sessions),
        "at_home_share": _ratio(sums["at_home_sessions"], known_place),
        "at_home_coverage": _ratio(known_place, sessions),
        "at_home_energy_share": _ratio(sums["at_home_energy_kwh"] or 0, known_place_energy),
        "at_home_energy_coverage": _ratio(known_place_energy or 0, energy),
        "mean_soc_gain_pct": _ratio(_sum(rows, "soc_gain_pct"), sums["sessions_with_soc"]),
        "soc_coverage": _ratio(sums["sessions_with_soc"], sessions),
        "savings_rate": _ratio(sums["savings_with_cost_eur"], sums["counterfactual_eur"]),
        "savings_rate_coverage": _ratio(sums["sessions_with_counterfactual"], sessions),
        "savings_per_kwh": _ratio(sums["savings_with_energy_eur"], sums["energy_with_savings_kwh"]),
        "savings_coverage": _ratio(sums["energy_with_savings_kwh"] or 0, energy),
        "cost_per_kwh": _ratio(sums["cost_with_energy_eur"], sums["energy_with_cost_kwh"]),
        "cost_coverage": _ratio(sums["energy_with_cost_kwh"] or 0, energy),
        "forecast_mae_eur": _ratio(sums["absolute_forecast_error_eur"], sums["sessions_with_forecast"]),
        "forecast_realisation": _ratio(sums["savings_with_expected_eur"], sums["expected_with_savings_eur"]),
        "forecast_coverage": _ratio(sums["sessions_with_forecast"], sessions),
        "deadline_met_ratio": _ratio(sums["deadlines_met"], judged),
        "deadline_coverage": _ratio(judged, _count(rows, "charge_deadline")),
    }


def _spread(rows: Sequence[Row]) -> Row:
    spread: Row = {}
    for name, column in (("energy_kwh", "energy_charged_kwh"), ("plug_in_hours", "plug_in_hours")):
        values = sorted(_values(rows, column))
        spread |= {
            f"mean_{name}": _ratio(_total(values), len(values)),
            f"median_{name}": _quantile(values, Fraction(1, 2)),
            f"p95_{name}": _quantile(values, Fraction(95, 100)),
        }
    return spread


_PLACES = {"at_home": True, "away": False, "unknown_place": None}


def _known(*columns: str) -> Known:
    return lambda row: all(row[column] is not None for column in columns)


def _values(rows: Iterable[Row], column: str) -> list[Any]:
    return [row[column] for row in rows if row[column] is not None]


def _count(rows: Iterable[Row], column: str) -> int:
    return len(_values(rows, column))


def _total(values: Sequence[Decimal]) -> Decimal | None:
    """Null is not zero: no value has no sum."""
    return sum(values, Decimal(0)) if values else None


def _sum(rows: Iterable[Row], column: str) -> Decimal | None:
    return _total(_values(rows, column))


def _ratio(numerator: Decimal | int | None, denominator: Decimal | int | None) -> float | None:
    if numerator is None or denominator is None or denominator <= 0:
        return None
    return float(Fraction(numerator) / Fraction(denominator))


def _quantile(values: Sequence[Decimal], share: Fraction) -> float | None:
    """Between the two values next to the place, by the distance from each."""
    if not values:
        return None
    place = share * (len(values) - 1)
    below = int(place)
    steps = [Fraction(low) + (Fraction(high) - Fraction(low)) * (place - below) for low, high in pairwise(values)]
    return float(steps[below]) if below < len(steps) else float(values[-1])
