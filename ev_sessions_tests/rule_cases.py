"""Sessions that break a quality rule, each beside one that just does not.

A case says in which fields its sessions differ from one as it should be (`AS_IT_SHOULD_BE`): plugged in at noon, away at six. A
timedelta among the fields is a stamp, so long after plug-in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

Fields = Mapping[str, Any]

SECOND, MINUTE, HOUR, ONE_DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_NONE = timedelta(0)
AWAY = 18 * HOUR

AS_IT_SHOULD_BE: Fields = {
    "unplug_time": AWAY,
    "inferred_session_end": AWAY,
    "desired_charging_start_time": 10 * HOUR,
    "desired_charging_end_time": 14 * HOUR,
    "charge_deadline": AWAY,
    "target_soc_pct": Decimal(80),
    "initial_soc_pct": Decimal(40),
    "final_soc_pct": Decimal(80),
    "energy_charged_kwh": Decimal(24),
    "avg_charge_power_kw": Decimal(7),
    "peak_charge_power_kw": Decimal(7),
    "actual_cost_eur": Decimal("4.8"),
    "expected_savings_eur": Decimal(1),
    "actual_savings_eur": Decimal("1.2"),
    "is_at_home": True,
    # The one outcome that the documentation names does not go with a car at home.
    "session_outcome": None,
}


@dataclass(frozen=True, slots=True)
class Case:
    """Fields that break `rule`, and fields that just do not.

    `limit`: one of its limits, and a `relaxed` value for it by which the breaking session does not break the rule either.
    `of_vehicle` are fields of the vehicle; `neighbour` those of another session of it, which may have a plug_in_time.
    """

    rule: str
    breaks: Fields
    spares: Fields
    limit: str | None = None
    relaxed: str = ""
    of_vehicle: Fields = field(default_factory=dict)
    of_sparing_vehicle: Fields | None = None
    neighbour: Fields = field(default_factory=dict)
    sparing_neighbour: Fields | None = None

    @property
    def name(self) -> str:
        """What tells the case from others in a report."""
        return f"{self.rule}-{'-'.join(dict.fromkeys([*self.breaks, *self.neighbour, *self.of_vehicle]))}"


def fields_on(day: date, changes: Fields) -> dict[str, Any]:
    """The fields of a session plugged in at noon of `day`: those of one as it should be but for `changes`."""
    given = {**AS_IT_SHOULD_BE, **changes}
    plug_in = given.get("plug_in_time", _NONE)
    noon = datetime.combine(day, time(12), UTC)
    begin = plug_in if isinstance(plug_in, datetime) else noon + plug_in
    return {name: _instant(begin, value) for name, value in given.items()} | {"plug_in_time": begin}


def _instant(begin: datetime, value: object) -> object:
    return begin + value if isinstance(value, timedelta) else value


def _number(**fields: str | int | None) -> Fields:
    return {name: None if value is None else Decimal(value) for name, value in fields.items()}


def _soc(initial: str | None, final: str | None, target: str | None = "80", energy: str | None = "24") -> Fields:
    return _number(initial_soc_pct=initial, final_soc_pct=final, target_soc_pct=target, energy_charged_kwh=energy)


def _until(end: timedelta, **others: object) -> Fields:
    return {"unplug_time": end, "inferred_session_end": None, "charge_deadline": None, **others}


def _per_ten_kwh(cost: str | None = "2", savings: str | None = "1") -> Fields:
    return _number(energy_charged_kwh=10, actual_cost_eur=cost, actual_savings_eur=savings)


def _of_gain(gain: str, energy: str) -> Fields:
    return _soc("40", str(40 + Decimal(gain)), "50", energy)


_BARELY_2015 = datetime(2015, 1, 1, tzinfo=UTC)
_LATE_2014 = _BARELY_2015 - SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)
_YEAR_9999 = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_STAMPS = tuple(name for name, value in AS_IT_SHOULD_BE.items() if isinstance(value, timedelta))

_TIME = (
    Case("no_end", {"unplug_time": None, "inferred_session_end": None}, {"unplug_time": None}),
    Case("ends_before_plug_in", _until(-SECOND), _until(_NONE)),
    Case(
        "ends_before_plug_in",
        {"unplug_time": None, "inferred_session_end": -SECOND},
        {"unplug_time": None, "inferred_session_end": _NONE},
    ),
    Case("ends_before_plug_in", {"unplug_time": -SECOND}, {"inferred_session_end": -HOUR}),
    Case("short_stay", _until(3 * MINUTE), _until(3 * MINUTE + SECOND), "stay_short_minutes", "2.5"),
    Case("long_stay", _until(48 * HOUR + SECOND), _until(48 * HOUR), "stay_long_hours", "49"),
    Case("very_long_stay", _until(168 * HOUR + SECOND), _until(168 * HOUR), "stay_very_long_hours", "169"),
    *(
        Case(
            "in_the_future",
            {**ends, "fetched_at": end - 10 * MINUTE - SECOND},
            {**ends, "fetched_at": end - 10 * MINUTE, "charge_deadline": 5 * ONE_DAY},
            "future_minutes",
            "10.5",
        )
        for end, ends in {
            AWAY: _until(AWAY),
            5 * HOUR: {"unplug_time": 2 * HOUR, "inferred_session_end": 5 * HOUR},
            _NONE: _until(-HOUR),
        }.items()
    ),
    *(Case("sentinel_date", {name: _LATE_2014}, {name: _BARELY_2015}, "first_year", "2014") for name in _STAMPS),
    Case("sentinel_date", {"plug_in_time": _LATE_2014}, {"plug_in_time": _BARELY_2015}, "first_year", "2014"),
    Case("sentinel_date", {"unplug_time": _EPOCH}, {"unplug_time": None}),
    Case("sentinel_date", {"desired_charging_start_time": _YEAR_ONE}, {"desired_charging_start_time": None}),
    Case(
        "before_the_vehicle",
        {},
        {},
        "created_days",
        "2",
        of_vehicle={"created_at": ONE_DAY + SECOND},
        of_sparing_vehicle={"created_at": ONE_DAY},
    ),
    Case(
        "inferred_end_outside_stay",
        {"inferred_session_end": AWAY + 5 * MINUTE + SECOND},
        {"inferred_session_end": AWAY + 5 * MINUTE},
        "inferred_end_minutes",
        "6",
    ),
    Case(
        "inferred_end_outside_stay",
        {"inferred_session_end": -5 * MINUTE - SECOND},
        {"inferred_session_end": -5 * MINUTE},
        "inferred_end_minutes",
        "6",
    ),
    Case(
        "plan_reversed",
        {"desired_charging_start_time": HOUR, "desired_charging_end_time": HOUR - SECOND},
        {"desired_charging_start_time": HOUR, "desired_charging_end_time": HOUR},
    ),
    Case("deadline_out_of_reach", {"charge_deadline": -SECOND}, {"charge_deadline": _NONE}),
    Case(
        "deadline_out_of_reach",
        {"charge_deadline": 7 * ONE_DAY + SECOND},
        {"charge_deadline": 7 * ONE_DAY},
        "deadline_days",
        "8",
    ),
    Case("deadline_out_of_reach", {"charge_deadline": _YEAR_9999}, {"charge_deadline": None}),
)  # fmt: skip

_STATE_OF_CHARGE = (
    Case("soc_out_of_range", _soc("-0.000001", "80"), _soc("0", "80"), "soc_min_pct", "-1"),
    Case("soc_out_of_range", _soc("40", "-0.000001"), _soc("40", "0"), "soc_min_pct", "-1"),
    Case("soc_out_of_range", _soc("40", "100.000001"), _soc("40", "100"), "soc_max_pct", "101"),
    Case("soc_out_of_range", _soc("100.000001", "80"), _soc("100", "80"), "soc_max_pct", "101"),
    Case("soc_out_of_range", _soc("40", "80", "100.000001"), _soc("40", "80", "100"), "soc_max_pct", "101"),
    Case("soc_out_of_range", _soc("40", "80", "0.999999"), _soc("40", "80", "1"), "target_soc_min_pct", "0.5"),
    Case("soc_fell", _soc("40", "38.999999"), _soc("40", "39"), "soc_loss_pp", "2"),
    Case("energy_without_gain", _soc("40", "40"), _soc("40", "40.000001")),
    Case(
        "energy_without_gain",
        _soc("40", "39.5", energy="1.000001"),
        _soc("40", "39.5", energy="1"),
        "gain_expected_kwh",
        "2",
    ),
    Case("gain_without_energy", _soc("40", "45", energy="0.4"), _soc("40", "44.999999", energy="0.4"), "gain_pp", "6"),
    Case("gain_without_energy", _soc("40", "46", energy="0.499999"), _soc("40", "46", energy="0.5"), "gain_needs_kwh", "0.4"),
    Case("soc_as_fraction", _soc("0.4", "0.8", "0.8"), _soc("0.4", "1.1", "0.8")),
    Case("soc_as_fraction", _soc("0.4", "1", None), _soc("0.4", "80", None)),
    Case("soc_as_fraction", _soc("0", "1", "1", "1.000001"), _soc("0", "1", "1", "1"), "fraction_kwh", "2"),
    Case("implausible_capacity", _of_gain("10", "0.4999"), _of_gain("10", "0.5"), "capacity_min_kwh", "4"),
    Case("implausible_capacity", _of_gain("10", "15.0001"), _of_gain("10", "15"), "capacity_max_kwh", "151"),
    Case("implausible_capacity", _of_gain("10", "0.1"), _of_gain("9.999999", "0.1")),
    *(
        Case(
            "capacity_unlike_vehicle",
            _of_gain("10", breaking),
            _of_gain("10", sparing),
            limit,
            relaxed,
            of_vehicle=_number(battery_capacity_kwh=60),
        )
        for breaking, sparing, limit, relaxed in (
            ("4.1999", "4.2", "capacity_ratio_min", "0.6"),
            ("7.8001", "7.8", "capacity_ratio_max", "1.4"),
        )
    ),
    Case(
        "capacity_unlike_vehicle",
        _of_gain("10", "10"),
        _of_gain("10", "10"),
        of_vehicle=_number(battery_capacity_kwh=60),
        of_sparing_vehicle={"battery_capacity_kwh": None},
    ),
    Case(
        "capacity_unlike_vehicle",
        _of_gain("10", "10"),
        _of_gain("10", "10"),
        of_vehicle=_number(battery_capacity_kwh="0.000001"),
        of_sparing_vehicle=_number(battery_capacity_kwh=0),
    ),
)  # fmt: skip

_ENERGY = (
    Case("negative_energy", _number(energy_charged_kwh="-0.000001"), _number(energy_charged_kwh=0)),
    Case("zero_energy", _number(energy_charged_kwh=0), _number(energy_charged_kwh="0.000001")),
    Case("little_energy", _number(energy_charged_kwh="0.499999"), _number(energy_charged_kwh="0.5"), "energy_little_kwh", "0.4"),
    Case("little_energy", _number(energy_charged_kwh="0.000001"), _number(energy_charged_kwh=0)),
    Case("much_energy", _number(energy_charged_kwh="100.000001"), _number(energy_charged_kwh=100), "energy_much_kwh", "101"),
    Case(
        "too_much_energy",
        _number(energy_charged_kwh="250.000001"),
        _number(energy_charged_kwh=250),
        "energy_too_much_kwh",
        "251",
    ),
    Case("unit_slip", _number(energy_charged_kwh="1000.000001"), _number(energy_charged_kwh=1000), "slip_kwh", "1001"),
    Case("unit_slip", _number(avg_charge_power_kw="500.000001"), _number(avg_charge_power_kw=500), "slip_kw", "501"),
    Case("unit_slip", _number(peak_charge_power_kw="500.000001"), _number(peak_charge_power_kw=500), "slip_kw", "501"),
    Case(
        "mean_above_peak",
        _number(avg_charge_power_kw="10.200001", peak_charge_power_kw=10),
        _number(avg_charge_power_kw="10.2", peak_charge_power_kw=10),
        "mean_over_peak",
        "1.03",
    ),
    Case("unusual_peak", _number(peak_charge_power_kw="0.499999"), _number(peak_charge_power_kw="0.5"), "peak_min_kw", "0.4"),
    *(
        Case(
            "unusual_peak",
            _number(peak_charge_power_kw="0.499999"),
            {"is_at_home": place, **_number(peak_charge_power_kw="0.499999")},
        )
        for place in (False, None)
    ),
    Case("unusual_peak", _number(peak_charge_power_kw="22.000001"), _number(peak_charge_power_kw=22), "peak_home_kw", "23"),
    *(
        Case(
            "unusual_peak",
            {"is_at_home": place, **_number(peak_charge_power_kw="360.000001")},
            {"is_at_home": place, **_number(peak_charge_power_kw=360)},
            "peak_max_kw",
            "361",
        )
        for place in (False, None)
    ),
    Case(
        "energy_above_power",
        {**_until(10 * HOUR), **_number(energy_charged_kwh="110.0001", peak_charge_power_kw=10)},
        {**_until(10 * HOUR), **_number(energy_charged_kwh=110, peak_charge_power_kw=10)},
        "energy_over_peak",
        "1.2",
    ),
    Case("energy_above_power", _until(SECOND), {"unplug_time": None, "inferred_session_end": None}),
    Case("energy_above_power", _until(SECOND), _until(_NONE)),
    Case(
        "charging_beyond_stay",
        {**_until(10 * HOUR), **_number(energy_charged_kwh="10.1001", avg_charge_power_kw=1)},
        {**_until(10 * HOUR), **_number(energy_charged_kwh="10.1", avg_charge_power_kw=1)},
        "charging_slack_hours",
        "0.2",
    ),
    Case(
        "charging_beyond_stay",
        {**_until(HOUR), **_number(avg_charge_power_kw="0.000001")},
        {**_until(HOUR), **_number(avg_charge_power_kw=0)},
    ),
)  # fmt: skip

_MONEY = (
    Case("unusual_cost", _per_ten_kwh("10.0001"), _per_ten_kwh("10"), "cost_unusual_max", "1.1"),
    Case("unusual_cost", _per_ten_kwh("-5.0001"), _per_ten_kwh("-5"), "cost_unusual_min", "-0.6"),
    Case("impossible_cost", _per_ten_kwh("50.0001"), _per_ten_kwh("50"), "cost_impossible_max", "6"),
    Case("impossible_cost", _per_ten_kwh("-10.0001"), _per_ten_kwh("-10"), "cost_impossible_min", "-2"),
    Case("impossible_cost", _number(energy_charged_kwh="0.000001"), _number(energy_charged_kwh=0)),
    *(
        Case(
            "impossible_amount",
            _number(**{amount: f"{sign}1250.000001", "energy_charged_kwh": energy}),
            _number(**{amount: f"{sign}1250", "energy_charged_kwh": energy}),
            "amount_max_eur",
            "1251",
        )
        for amount in ("actual_cost_eur", "actual_savings_eur")
        for sign in ("", "-")
        for energy in ("0", None, "24")
    ),
    Case("negative_cost", _number(actual_cost_eur="-0.000001"), _number(actual_cost_eur=0)),
    Case("negative_savings", _number(actual_savings_eur="-0.000001"), _number(actual_savings_eur=0)),
    Case(
        "no_counterfactual",
        _number(actual_cost_eur=1, actual_savings_eur=-1),
        _number(actual_cost_eur=1, actual_savings_eur="-0.999999"),
    ),
    Case("unusual_savings", _per_ten_kwh(savings="6.0001"), _per_ten_kwh(savings="6"), "savings_per_kwh", "0.7"),
    Case("unusual_savings", _per_ten_kwh(savings="-6.0001"), _per_ten_kwh(savings="-6"), "savings_per_kwh", "0.7"),
    *(
        Case(
            "incomplete_figures",
            dict.fromkeys(missing),
            dict.fromkeys(("actual_cost_eur", "actual_savings_eur", "energy_charged_kwh")),
        )
        for missing in (
            ("actual_cost_eur",),
            ("actual_savings_eur",),
            ("energy_charged_kwh",),
            ("actual_cost_eur", "actual_savings_eur"),
            ("actual_cost_eur", "energy_charged_kwh"),
            ("actual_savings_eur", "energy_charged_kwh"),
        )
    ),
    Case("incomplete_figures", {"actual_cost_eur": None}, {"expected_savings_eur": None}),
)  # fmt: skip

# Another session of the vehicle that was there the day before, and what makes the two one.
_EARLIER: Fields = {"plug_in_time": -ONE_DAY, **_number(energy_charged_kwh=20)}


def _before(end: timedelta, **others: object) -> Fields:
    """A session plugged in a day before the case's own that ends so long after the plug-in of that."""
    return {**_EARLIER, **_until(ONE_DAY + end), **others}


_SEEN_FIRST = {"first_seen_at": datetime(2026, 5, 1, tzinfo=UTC)}
_SAME_ENERGY = _number(energy_charged_kwh=24)

_SEQUENCE = (
    Case(
        "overlap",
        {},
        {},
        "overlap_minutes",
        "6",
        neighbour=_before(5 * MINUTE + SECOND),
        sparing_neighbour=_before(5 * MINUTE),
    ),
    Case(
        "counted_twice",
        {},
        {},
        "overlap_minutes",
        "6",
        neighbour=_before(5 * MINUTE + SECOND, **_SAME_ENERGY, **_SEEN_FIRST),
        sparing_neighbour=_before(5 * MINUTE, **_SAME_ENERGY, **_SEEN_FIRST),
    ),
    Case(
        "counted_twice",
        {},
        {},
        neighbour=_before(HOUR, **_SAME_ENERGY, **_SEEN_FIRST),
        sparing_neighbour=_before(HOUR, **_number(energy_charged_kwh="24.000001"), **_SEEN_FIRST),
    ),
    Case(
        "counted_twice",
        {},
        _SEEN_FIRST,
        neighbour=_before(HOUR, **_SAME_ENERGY),
    ),
    Case(
        "counted_twice",
        {"energy_charged_kwh": Decimal(24)},
        {"energy_charged_kwh": None},
        neighbour=_before(HOUR, **_SAME_ENERGY, **_SEEN_FIRST),
        sparing_neighbour=_before(HOUR, energy_charged_kwh=None, **_SEEN_FIRST),
    ),
    Case("split_stay", {}, {}, neighbour=_before(_NONE), sparing_neighbour=_before(SECOND)),
    Case(
        "split_stay",
        {},
        {},
        "split_minutes",
        "4",
        neighbour=_before(-5 * MINUTE),
        sparing_neighbour=_before(-5 * MINUTE - SECOND),
    ),
    *(
        Case(
            "session_missing",
            _number(initial_soc_pct=40),
            _number(initial_soc_pct=40),
            limit,
            "3",
            neighbour=_before(-end, **_number(final_soc_pct="37.999999")),
            sparing_neighbour=_before(-end, **_number(final_soc_pct=final)),
        )
        for end, final, limit in ((HOUR, 38, "missing_session_pp"), (20 * HOUR, None, None))
    ),
)  # fmt: skip

_IDENTITY = (
    Case(
        "place_contradicts_outcome",
        {"session_outcome": "not_at_home", "is_at_home": True},
        {"session_outcome": "not_at_home", "is_at_home": False},
    ),
    Case(
        "place_contradicts_outcome",
        {"session_outcome": "not_at_home", "is_at_home": True},
        {"session_outcome": "not_at_home", "is_at_home": None},
    ),
    Case("unknown_outcome", {"session_outcome": "Not_At_Home"}, {"session_outcome": "not_at_home", "is_at_home": False}),
    Case("unknown_outcome", {"session_outcome": ""}, {"session_outcome": None}),
    Case("new_field", {"extra": '{"grid_signal":"eco"}'}, {"extra": None}),
)  # fmt: skip

CASES = (*_TIME, *_STATE_OF_CHARGE, *_ENERGY, *_MONEY, *_SEQUENCE, *_IDENTITY)
