"""The table of rules and the limits that they judge by: what holds of every one, and how limits are replaced."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ev_sessions
from ev_sessions.limits import LIMITS, Limit, Limits
from ev_sessions.warehouse.rules import RULES, About, Family, Rule, Severity

NAMES = [rule.name for rule in RULES]
BY_ZONE = [limit for limit in LIMITS if limit.by_zone]

rules = pytest.mark.parametrize("rule", RULES, ids=NAMES)


def names_in(text: str | None) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text or ""))


def test_every_rule_of_the_specification_is_declared() -> None:
    assert {rule.number for rule in RULES} == set(range(1, 35))


def test_no_two_rules_share_a_name_and_no_two_limits() -> None:
    assert Counter(NAMES).most_common(1)[0][1] == 1
    assert Counter(limit.name for limit in LIMITS).most_common(1)[0][1] == 1


def test_every_family_has_a_rule_and_every_severity() -> None:
    assert {rule.family for rule in RULES} == set(Family)
    assert {rule.severity for rule in RULES} == set(Severity)


@rules
def test_a_rule_names_the_limits_that_it_judges_by_and_no_others(rule: Rule) -> None:
    assert names_in(rule.breaks) <= set(rule.limits)
    assert names_in(rule.meaning) <= set(rule.limits)
    assert set(rule.limits) <= names_in(rule.breaks) | names_in(rule.meaning)


@rules
def test_a_rule_says_what_it_means_in_one_line_that_a_name_and_a_colon_can_precede(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z][a-z_]*", rule.name)
    assert rule.meaning
    assert "\n" not in rule.meaning + rule.source


def test_every_limit_is_used_by_a_rule_and_no_rule_uses_one_that_is_not_there() -> None:
    assert {name for rule in RULES for name in rule.limits} == {limit.name for limit in LIMITS}


@rules
def test_a_rule_names_files_that_are_there_as_those_that_judge_it(rule: Rule) -> None:
    package = Path(ev_sessions.__file__).parent
    assert [path for path in rule.judged_by.split(", ") if not (package / path).is_file()] == []


def test_a_rule_has_a_condition_just_where_it_is_about_a_session() -> None:
    assert {rule for rule in RULES if rule.breaks} == {rule for rule in RULES if rule.about is About.SESSION}


def test_a_rule_tells_its_meaning_with_the_limits_of_a_zone_or_of_all() -> None:
    (rule,) = [rule for rule in RULES if rule.name == "unusual_cost"]
    limits = Limits.of({"cost_unusual_max": 2, "SE_1:cost_unusual_max": "0.90"})
    assert rule.meaning_under(limits) == "Cost outside -0.5 to 2 EUR/kWh"
    assert rule.meaning_under(limits, "SE_1") == "Cost outside -0.5 to 0.90 EUR/kWh"
    assert rule.meaning_under(limits, "PT") == rule.meaning_under(limits)


# Limits


@pytest.mark.parametrize("limit", LIMITS, ids=[limit.name for limit in LIMITS])
def test_a_limit_has_its_default_until_it_is_replaced(limit: Limit) -> None:
    replaced = Limits.of({limit.name: limit.default + Decimal("0.25")})
    assert Limits().value(limit.name) == limit.default
    assert replaced.value(limit.name) == limit.default + Decimal("0.25")
    assert {other.name for other in LIMITS if replaced.value(other.name) != other.default} == {limit.name}


@given(st.sampled_from(BY_ZONE), st.none() | st.integers(5, 999), st.none() | st.integers(5, 999))
def test_a_zones_own_limit_counts_before_the_general_one_and_that_before_the_default(
    limit: Limit, general: int | None, own: int | None
) -> None:
    # What is the lowest stays below what is the highest.
    general, own = (value if value is None or limit.default > 0 else -value for value in (general, own))
    given_ones = {limit.name: general, f"SE_1:{limit.name}": own}
    limits = Limits.of({name: value for name, value in given_ones.items() if value is not None})
    for_all = limit.default if general is None else general
    assert limits.value(limit.name) == limits.value(limit.name, "PT") == for_all
    assert limits.value(limit.name, "SE_1") == (for_all if own is None else own)
    assert limits.zones(limit.name) == ({} if own is None else {"SE_1": own})


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("no_such_limit", 1, "there is no limit 'no_such_limit'"),
        ("SE_1:no_such_limit", 1, "there is no limit 'no_such_limit'"),
        ("SE_1:stay_long_hours", 1, "'stay_long_hours' cannot be set for the price zone 'SE_1'"),
        ("se 1:cost_unusual_max", 1, "cannot be set for the price zone 'se 1'"),
        (":cost_unusual_max", 1, "cannot be set for the price zone ''"),
        ("'; DROP:cost_unusual_max", 1, "cannot be set for the price zone"),
        ("stay_long_hours", "much", "'stay_long_hours' is 'much', which is not a number"),
        ("stay_long_hours", "1000000", "which is not a number below 10^6"),
        ("stay_long_hours", "1e30", "which is not a number below 10^6"),
        ("stay_long_hours", "0.0000001", "with 6 places at most"),
        ("stay_long_hours", "NaN", "which is not a number"),
        ("stay_long_hours", "-Infinity", "which is not a number"),
        ("stay_long_hours", "", "which is not a number"),
        ("stay_long_hours", None, "which is not a number"),
        ("stay_long_hours", True, "which is not a number"),
    ],
)
def test_a_limit_that_does_not_exist_or_is_no_number_is_told(name: str, value: object, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        Limits.of({name: value})


@pytest.mark.parametrize(
    ("replaced", "told"),
    [
        ({"cost_impossible_min": 5, "cost_impossible_max": -1}, "'cost_impossible_min' is 5, above 'cost_impossible_max', -1"),
        ({"cost_impossible_min": "5.1"}, "'cost_impossible_min' is 5.1, above 'cost_impossible_max', 5"),
        ({"SE_1:cost_unusual_max": -1}, "'cost_unusual_min' is -0.5, above 'cost_unusual_max', -1, for the price zone SE_1"),
        ({"cost_unusual_min": 1, "PT:cost_unusual_max": "0.9"}, "for the price zone PT"),
        ({"soc_min_pct": 90, "soc_max_pct": 10}, "'soc_min_pct' is 90, above 'soc_max_pct', 10"),
        ({"soc_max_pct": "0.5"}, "'target_soc_min_pct' is 1, above 'soc_max_pct', 0.5"),
        ({"peak_min_kw": 23}, "'peak_min_kw' is 23, above 'peak_home_kw', 22"),
        ({"peak_home_kw": 400, "peak_min_kw": 361}, "'peak_min_kw' is 361, above 'peak_max_kw', 360"),
        ({"capacity_min_kwh": 151}, "'capacity_min_kwh' is 151, above 'capacity_max_kwh', 150"),
        ({"capacity_ratio_max": "0.6"}, "'capacity_ratio_min' is 0.7, above 'capacity_ratio_max', 0.6"),
        ({"volume_min": 3}, "'volume_min' is 3, above 'volume_max', 2"),
    ],
)
def test_what_is_the_lowest_is_not_above_what_is_the_highest_in_any_zone(replaced: Mapping[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)) as refusal:
        Limits.of(replaced)
    assert "\n" not in str(refusal.value)


def test_what_is_the_lowest_may_also_be_what_is_the_highest_and_a_zone_may_have_both_elsewhere() -> None:
    limits = Limits.of({"volume_min": 2, "SE_1:cost_unusual_min": 3, "SE_1:cost_unusual_max": 4})
    assert (limits.value("volume_min"), limits.value("cost_unusual_min", "SE_1")) == (Decimal(2), Decimal(3))
