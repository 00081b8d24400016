"""The quality rules, each declared once: what it means, how bad it is, which limits it has, where it comes from, what breaks it.

`breaks` is a condition in SQL over the columns that `models/facts.sql` and `models/neighbours.sql` give of a session; `{name}`
stands for a limit. Where the two are multiplied, the column is widened first: any number that can be stored must not overflow.
What lies on a limit to the last digit must not depend on how a double rounds: prices are judged as products of decimals, and
what has to be divided is rounded to the places that a limit has. A rule without `breaks` looks at something else than a single
session. `judged_by` says where it is judged, in files below `ev_sessions/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ev_sessions.errors import PermanentError
from ev_sessions.limits import Limits


class Family(StrEnum):
    """What a rule is about. Each family is one asset check."""

    IDENTITY = "identity"
    TIME = "time"
    ENERGY = "energy"
    STATE_OF_CHARGE = "state_of_charge"
    MONEY = "money"
    SEQUENCE = "sequence"
    VOLUME = "volume"


class Severity(StrEnum):
    """What breaking a rule leads to: kept out of what is derived, kept in and flagged, or only counted."""

    ERROR = "error"
    WARN = "warn"
    INFO = "info"


# Sessions of a vehicle that are more session days apart than this do not concern each other: a week's stay, the longest that is
# believed, and the day that its two ends may differ by.
NEIGHBOUR_DAYS = 8

# How far away a session can be that a verdict depends on: a neighbour counts unless it was counted twice itself, which its own
# neighbours tell.
REACH_DAYS = 2 * NEIGHBOUR_DAYS


class About(StrEnum):
    """What a rule is about, and its hits count.

    A session as it stands, by itself and among its neighbours; a record that the landing keeps out; a session day, with what it
    lost or got late; a vehicle's read; sums, which have checks of their own.
    """

    SESSION = "session"
    RECORD = "record"
    DAY = "day"
    READ = "read"
    SUMS = "sums"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, called as what is wrong where it is broken. `number` is the row of the specification that it comes from.

    Those about a session, and no others, have a condition: `breaks`.
    """

    number: int
    name: str
    family: Family
    severity: Severity
    meaning: str
    source: str
    breaks: str | None = None
    about: About = About.SESSION
    judged_by: str = "warehouse/models/judged.sql"
    limits: tuple[str, ...] = ()

    def meaning_under(self, limits: Limits, price_zone: str | None = None) -> str:
        """What it means, with the limits (those of `price_zone`) filled in."""
        return self.meaning.format(**{name: f"{limits.value(name, price_zone):f}" for name in self.limits})


_E, _W, _I = Severity.ERROR, Severity.WARN, Severity.INFO
_IDENTITY, _TIME, _ENERGY, _SOC = Family.IDENTITY, Family.TIME, Family.ENERGY, Family.STATE_OF_CHARGE
_MONEY, _SEQUENCE, _VOLUME = Family.MONEY, Family.SEQUENCE, Family.VOLUME
_RECORD, _DAY, _READ, _SUMS = About.RECORD, About.DAY, About.READ, About.SUMS

RULES = (
    Rule(1, "malformed", _IDENTITY, _E, "The record cannot be typed",
         "The API promises id and plug_in_time; every other value is null or of the contract's type",
         about=_RECORD, judged_by="ingest/batch.py"),
    Rule(2, "id_of_two_vehicles", _IDENTITY, _E, "The same id also stands under another vehicle",
         "An id names one session; which of the two is right cannot be told",
         about=_RECORD, judged_by="warehouse/sql/landing/7_quarantine.sql"),
    Rule(3, "no_end", _TIME, _W, "Neither unplugged nor an inferred end", "0.1 % of real home sessions",
         "session_end IS NULL"),
    Rule(4, "ends_before_plug_in", _TIME, _E, "The end lies before plug-in", "A stay cannot take less than no time",
         "session_end < plug_in_time"),
    Rule(5, "short_stay", _TIME, _W, "Plugged in for {stay_short_minutes} min at most", "0.13 % of real home sessions",
         "stay_seconds / 60 <= {stay_short_minutes}", limits=("stay_short_minutes",)),
    Rule(5, "long_stay", _TIME, _W, "Plugged in for more than {stay_long_hours} h", "2.5 % of real home sessions; never dropped",
         "stay_seconds / 3600 > {stay_long_hours}", limits=("stay_long_hours",)),
    Rule(5, "very_long_stay", _TIME, _W, "Plugged in for more than {stay_very_long_hours} h",
         "No real home session of 35,377; never dropped",
         "stay_seconds / 3600 > {stay_very_long_hours}", limits=("stay_very_long_hours",)),
    Rule(6, "in_the_future", _TIME, _E, "Plug-in or an end lies more than {future_minutes} min after the read",
         "The API lists completed sessions; a deadline may well lie ahead",
         "greatest(plug_in_time, unplug_time, inferred_session_end) > fetched_at + {future_minutes} * INTERVAL 1 MINUTE",
         limits=("future_minutes",)),
    Rule(7, "sentinel_date", _TIME, _E, "A stamp lies before {first_year}", "1970-01-01 and 0001-01-01 stand for unknown",
         "year(earliest_stamp) < {first_year}", limits=("first_year",)),
    Rule(7, "before_the_vehicle", _TIME, _E, "Plugged in more than {created_days} days before the vehicle was created",
         "A vehicle that did not exist did not charge",
         "plug_in_time < vehicle_created_at - {created_days} * INTERVAL 24 HOUR", limits=("created_days",)),
    Rule(8, "inferred_end_outside_stay", _TIME, _W,
         "The inferred end lies more than {inferred_end_minutes} min outside plug-in to unplug", "Specification",
         "inferred_session_end < plug_in_time - {inferred_end_minutes} * INTERVAL 1 MINUTE"
         " OR inferred_session_end > unplug_time + {inferred_end_minutes} * INTERVAL 1 MINUTE",
         limits=("inferred_end_minutes",)),
    Rule(8, "plan_reversed", _TIME, _W, "The planned charging ends before it starts", "Specification",
         "desired_charging_end_time < desired_charging_start_time"),
    Rule(8, "deadline_out_of_reach", _TIME, _W, "The deadline lies before plug-in or more than {deadline_days} days after it",
         "Specification",
         "charge_deadline < plug_in_time OR charge_deadline > plug_in_time + {deadline_days} * INTERVAL 24 HOUR",
         limits=("deadline_days",)),
    Rule(9, "soc_out_of_range", _SOC, _W,
         "A state of charge outside {soc_min_pct} to {soc_max_pct} % or a target below {target_soc_min_pct}: taken as unknown",
         "A percentage; what is out of range is no measurement",
         "(initial_as_sent, final_as_sent, target_as_sent) IS DISTINCT FROM (initial_soc_pct, final_soc_pct, target_soc_pct)",
         limits=("soc_min_pct", "soc_max_pct", "target_soc_min_pct")),
    Rule(10, "soc_fell", _SOC, _W, "The state of charge fell by more than {soc_loss_pp} pp", "Charging does not empty a battery",
         "soc_gain_pct < -{soc_loss_pp}", limits=("soc_loss_pp",)),
    Rule(10, "energy_without_gain", _SOC, _W, "More than {gain_expected_kwh} kWh, but the state of charge did not rise",
         "Specification", "energy_charged_kwh > {gain_expected_kwh} AND soc_gain_pct <= 0", limits=("gain_expected_kwh",)),
    Rule(10, "gain_without_energy", _SOC, _W, "A gain of {gain_pp} pp or more on less than {gain_needs_kwh} kWh", "Specification",
         "soc_gain_pct >= {gain_pp} AND energy_charged_kwh < {gain_needs_kwh}", limits=("gain_pp", "gain_needs_kwh")),
    Rule(11, "soc_as_fraction", _SOC, _W, "Every state of charge lies within 0 to 1 on more than {fraction_kwh} kWh",
         "Fractions sent for percentages",
         "energy_charged_kwh > {fraction_kwh} AND least(initial_as_sent, final_as_sent, target_as_sent) >= 0"
         " AND greatest(initial_as_sent, final_as_sent, target_as_sent) <= 1",
         limits=("fraction_kwh",)),
    Rule(12, "negative_energy", _ENERGY, _E, "Energy below 0", "Real rows down to -60.81 kWh",
         "energy_charged_kwh < 0"),
    Rule(13, "zero_energy", _ENERGY, _W, "No energy", "Plugged in without charging",
         "energy_charged_kwh = 0"),
    Rule(13, "little_energy", _ENERGY, _I, "Less than {energy_little_kwh} kWh", "1.2 % of real home sessions",
         "energy_charged_kwh > 0 AND energy_charged_kwh < {energy_little_kwh}", limits=("energy_little_kwh",)),
    Rule(14, "much_energy", _ENERGY, _W, "More than {energy_much_kwh} kWh", "Few batteries take it",
         "energy_charged_kwh > {energy_much_kwh}", limits=("energy_much_kwh",)),
    Rule(14, "too_much_energy", _ENERGY, _E, "More than {energy_too_much_kwh} kWh", "No car takes it",
         "energy_charged_kwh > {energy_too_much_kwh}", limits=("energy_too_much_kwh",)),
    Rule(15, "unit_slip", _ENERGY, _E, "More than {slip_kwh} kWh or {slip_kw} kW: most likely Wh or W",
         "A real row of 1,430 kWh",
         "energy_charged_kwh > {slip_kwh} OR greatest(avg_charge_power_kw, peak_charge_power_kw) > {slip_kw}",
         limits=("slip_kwh", "slip_kw")),
    Rule(16, "mean_above_peak", _ENERGY, _W, "Mean power more than {mean_over_peak} times the peak", "Specification",
         "avg_charge_power_kw > peak_charge_power_kw::DECIMAL(38, 6) * {mean_over_peak}", limits=("mean_over_peak",)),
    Rule(16, "unusual_peak", _ENERGY, _W,
         "Peak power above {peak_max_kw} kW, or outside {peak_min_kw} to {peak_home_kw} kW at home", "Specification",
         "peak_charge_power_kw > {peak_max_kw}"
         " OR (is_at_home AND NOT (peak_charge_power_kw BETWEEN {peak_min_kw} AND {peak_home_kw}))",
         limits=("peak_min_kw", "peak_home_kw", "peak_max_kw")),
    Rule(17, "energy_above_power", _ENERGY, _E,
         "More energy than {energy_over_peak} times what the peak power gives in the whole stay", "Physics",
         "stay_seconds > 0"
         " AND energy_charged_kwh"
         " > (peak_charge_power_kw::DECIMAL(38, 6) * {energy_over_peak} * stay_seconds / 3600)::DECIMAL(38, 6)",
         limits=("energy_over_peak",)),
    Rule(18, "charging_beyond_stay", _ENERGY, _W, "Charging took over {charging_slack_hours} h longer than the stay",
         "No real home session; 0.4 % without the slack",
         "charging_hours > (stay_seconds / 3600)::DECIMAL(38, 6) + {charging_slack_hours}", limits=("charging_slack_hours",)),
    Rule(19, "implausible_capacity", _SOC, _W,
         "Energy and gain imply a battery outside {capacity_min_kwh} to {capacity_max_kwh} kWh", "Specification",
         "NOT (implied_capacity_kwh::DECIMAL(38, 6) BETWEEN {capacity_min_kwh} AND {capacity_max_kwh})",
         limits=("capacity_min_kwh", "capacity_max_kwh")),
    Rule(19, "capacity_unlike_vehicle", _SOC, _W,
         "Energy and gain imply less than {capacity_ratio_min} or more than {capacity_ratio_max} times the vehicle's battery",
         "Specification",
         "battery_capacity_kwh > 0"
         " AND NOT (implied_capacity_kwh::DECIMAL(38, 6) BETWEEN {capacity_ratio_min} * battery_capacity_kwh::DECIMAL(38, 6)"
         " AND {capacity_ratio_max} * battery_capacity_kwh::DECIMAL(38, 6))",
         limits=("capacity_ratio_min", "capacity_ratio_max")),
    Rule(20, "unusual_cost", _MONEY, _W, "Cost outside {cost_unusual_min} to {cost_unusual_max} EUR/kWh", "Specification",
         "NOT (actual_cost_eur BETWEEN {cost_unusual_min} * priced_kwh AND {cost_unusual_max} * priced_kwh)",
         limits=("cost_unusual_min", "cost_unusual_max")),
    Rule(20, "impossible_cost", _MONEY, _E, "Cost outside {cost_impossible_min} to {cost_impossible_max} EUR/kWh",
         "Day-ahead hours of 4 EUR/kWh have happened",
         "NOT (actual_cost_eur BETWEEN {cost_impossible_min} * priced_kwh AND {cost_impossible_max} * priced_kwh)",
         limits=("cost_impossible_min", "cost_impossible_max")),
    Rule(20, "impossible_amount", _MONEY, _E, "Cost or savings beyond {amount_max_eur} EUR, of either sign",
         "The largest battery at the highest price; also where no energy is known",
         "greatest(abs(actual_cost_eur), abs(actual_savings_eur)) > {amount_max_eur}", limits=("amount_max_eur",)),
    Rule(21, "negative_cost", _MONEY, _I, "The customer was paid to charge", "0.5 % of real home sessions: prices below 0",
         "actual_cost_eur < 0"),
    Rule(21, "negative_savings", _MONEY, _I, "Steering cost more than it saved", "9.9 % of real home sessions: forecast errors",
         "actual_savings_eur < 0"),
    Rule(22, "no_counterfactual", _MONEY, _W, "Cost plus savings is not above 0, so no rate can be told", "Specification",
         "counterfactual_cost_eur <= 0"),
    Rule(22, "unusual_savings", _MONEY, _W, "Savings beyond {savings_per_kwh} EUR/kWh, of either sign", "Specification",
         "abs(actual_savings_eur) > {savings_per_kwh} * priced_kwh", limits=("savings_per_kwh",)),
    Rule(23, "incomplete_figures", _MONEY, _W, "Of cost, savings and energy some are known and some are not",
         "2.5 % of real home sessions",
         "figures_known BETWEEN 1 AND 2"),
    Rule(24, "overlap", _SEQUENCE, _W,
         "Begins more than {overlap_minutes} min before a session of the vehicle ends that began before it",
         "0.2 % of real home sessions: the later one of two", "begins_within", limits=("overlap_minutes",)),
    Rule(24, "counted_twice", _SEQUENCE, _E,
         "Shares more than {overlap_minutes} min, and has the same energy, as a session of the vehicle that was seen before it",
         "The one that was seen first stays; of those seen at once, the one plugged in first",
         "counted_twice", limits=("overlap_minutes",)),
    Rule(25, "split_stay", _SEQUENCE, _I, "Begins up to {split_minutes} min after the session before it: one stay, split",
         "1.5 % of real home sessions",
         "gap_seconds / 60 BETWEEN 0 AND {split_minutes}", limits=("split_minutes",)),
    Rule(26, "session_missing", _SEQUENCE, _W,
         "Begins over {missing_session_pp} pp fuller than the session before it ended: one between is missing", "Specification",
         "initial_soc_pct > previous_final_soc_pct + {missing_session_pp}", limits=("missing_session_pp",)),
    Rule(27, "place_contradicts_outcome", _IDENTITY, _W, "The outcome is not_at_home, the place is at home", "Specification",
         "session_outcome = 'not_at_home' AND is_at_home"),
    Rule(28, "unknown_outcome", _IDENTITY, _I, "A session_outcome that the API's documentation does not name", "Told once",
         "session_outcome <> 'not_at_home'"),
    Rule(28, "new_field", _IDENTITY, _I, "A field that the API's documentation does not name", "Told once",
         "extra IS NOT NULL"),
    Rule(29, "outside_window", _VOLUME, _E,
         "Outside the days asked for; above {outside_share} of a landing's rows, from {outside_vehicles} vehicles, nothing lands",
         "What the API's from and to filter on is not stated",
         about=_RECORD, judged_by="ingest/batch.py, warehouse/landing.py", limits=("outside_share", "outside_vehicles")),
    Rule(30, "count_mismatch", _VOLUME, _E, "Distinct ids and unreadable records are not as many as the API's total",
         "Pages shift while sessions complete", about=_READ, judged_by="ingest/fetch.py"),
    Rule(31, "unusual_volume", _VOLUME, _W,
         "A day with less than {volume_min} or more than {volume_max} times the median sessions, or energy, "
         "of the same weekday in the 8 weeks before it, at the same age",
         "Specification", about=_DAY, judged_by="warehouse/models/volume.sql", limits=("volume_min", "volume_max")),
    Rule(32, "vanished", _VOLUME, _W, "The API listed the session and does so no longer", "Kept in raw.session_versions",
         about=_DAY, judged_by="warehouse/models/rule_hits.sql"),
    Rule(32, "changed_after_final", _VOLUME, _W, "Appeared, changed or vanished after its day was final",
         "Final says when a day was read, not that it cannot change", about=_DAY, judged_by="warehouse/models/changes.sql"),
    Rule(33, "figures_disagree", _MONEY, _E, "A derived table, or what is published, does not add up to analytics.sessions",
         "0.00 EUR and 0 kWh of difference", about=_SUMS, judged_by="warehouse/figures.py"),
    Rule(34, "unreconciled", _MONEY, _W, "Count, energy or savings differ from the API's own by more than {reconciled_share}",
         "How the API cuts its periods is not stated: differences at the edges are shown, not judged",
         about=_SUMS, judged_by="warehouse/comparison.py", limits=("reconciled_share",)),
)  # fmt: skip

BY_NAME = {rule.name: rule for rule in RULES}


class UnknownRule(PermanentError, ValueError):
    """A name that no rule has, or only one that no single row breaks."""
